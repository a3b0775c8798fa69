"""Which photo belongs to which mask in a folder, and which pairs are in which split."""

from pathlib import Path

from fcnn.data.folder import ENDINGS, visible
from fcnn.data.order import epoch_order
from fcnn.errors import InputError

# The photo and the mask of each example.
Pairs = list[tuple[Path, Path]]


def is_mask_folder(folder: Path) -> bool:
    """Returns whether a folder, or its folder to train on, has `images` and `masks`."""
    return is_pair_folder(folder) or any(is_pair_folder(folder / name) for name in ("train", "training"))


def is_pair_folder(folder: Path) -> bool:
    """Returns whether a folder has `images` and `masks`."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def listed_parts(folder: Path) -> dict[str, Pairs]:
    """Returns the examples that the split files of a folder name; none if there is no such file.

    Args:
        folder: with `images`, `masks` and perhaps `train.txt`, `val.txt` and `test.txt`; of all three, `val.txt` names
            those to validate on.

    Raises:
        InputError: one of the files is missing beside another, or names an example that is not there.
    """
    files = {name: folder / f"{name}.txt" for name in ("train", "val", "test")}
    there = {name for name, path in files.items() if path.is_file()}
    if not there:
        return {}
    if "train" not in there or len(there) < 2:
        missing = "train.txt" if "train" not in there else "val.txt or test.txt"
        raise InputError(f"{folder}: expected {missing} beside {', '.join(f'{name}.txt' for name in sorted(there))}")
    whats = {"train": "train", "val": "validate" if "test" in there else "evaluate", "test": "evaluate"}
    return {whats[name]: read_list(files[name], folder / "images", folder / "masks") for name in files if name in there}


def drawn_parts(folder: Path, test_share: float, seed: int) -> dict[str, Pairs]:
    """Returns the examples of a folder to train and to evaluate on, at least one of each.

    Args:
        folder: with `images` and `masks`.
        test_share: share of the examples to evaluate on.
        seed: of the drawing, 0 or more.

    Raises:
        InputError: there are fewer than two examples, or a photo or mask without the other.
    """
    pairs = find_pairs(folder)
    if len(pairs) < 2:
        raise InputError(f"{folder}: expected at least two examples, to train and to evaluate on, found {len(pairs)}")
    count = min(max(round(test_share * len(pairs)), 1), len(pairs) - 1)
    drawn = set(epoch_order(seed, 0, len(pairs))[:count].tolist())
    return {
        "train": [pair for row, pair in enumerate(pairs) if row not in drawn],
        "evaluate": [pair for row, pair in enumerate(pairs) if row in drawn],
    }


def find_pairs(folder: Path) -> Pairs:
    """Returns the photos in a folder's `images` with their masks in `masks`, sorted by name.

    Raises:
        InputError: a folder is missing, or a photo or mask has none of the same name beside it.
    """
    if not is_pair_folder(folder):
        raise InputError(f"{folder}: expected the folders images and masks")
    images, masks = _by_stem(folder / "images", ENDINGS), _by_stem(folder / "masks", (".png",))
    for stem in sorted(images.keys() ^ masks.keys()):
        path, what, other = (images[stem], "mask", "masks") if stem in images else (masks[stem], "photo", "images")
        raise InputError(f"{path}: has no {what} of the same name in {folder / other}")
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def read_list(path: Path, images: Path, masks: Path) -> Pairs:
    """Returns the examples that a split file names.

    Args:
        path: text file with a name a line, without ending or with the photo's.
        images: folder of the photos.
        masks: folder of the masks.

    Raises:
        InputError: the file cannot be read, or names a photo or mask that is not there.
    """
    image_of, mask_of = _by_stem(images, ENDINGS), _by_stem(masks, (".png",))
    pairs = []
    for name in read_lines(path):
        stem = Path(name).stem if name.lower().endswith(ENDINGS) else name
        for what, folder, files in (("photo", images, image_of), ("mask", masks, mask_of)):
            if stem not in files:
                raise InputError(f"{path}: names {name}, whose {what} is not in {folder}")
        pairs.append((image_of[stem], mask_of[stem]))
    return pairs


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(visible(folder.iterdir())):
        if path.suffix.lower() in endings:
            if path.stem in found:
                raise InputError(f"{path}: has the same name as {found[path.stem].name}: remove or rename one of them")
            found[path.stem] = path
    return found


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a text file without those that are empty."""
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from error
