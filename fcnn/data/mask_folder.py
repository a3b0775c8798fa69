"""Photos and masks in folders: PASCAL VOC 2012's segmentation set, and one's own in images/ and masks/."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from fcnn.data.folder import find_part_folders
from fcnn.data.hold_out import count_held_out
from fcnn.data.mask_evaluation import MaskEvaluation
from fcnn.data.mask_files import IGNORE, MaskFiles, read_mask_files
from fcnn.data.mask_pairs import Pairs, drawn_parts, find_pairs, is_pair_folder, listed_parts, read_lines, read_list
from fcnn.data.order import epoch_order
from fcnn.errors import InputError

VOC_CLASS_NAMES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


class SegmentationFolder(NamedTuple):
    """A data set of photos in which every pixel has a label.

    Attributes:
        name: the name it was loaded by.
        train: the files to train on, see `MaskLoader`.
        test: the examples to evaluate on, whole.
        num_classes: number of classes, the background among them.
        class_names: the name of each class, indexed by label.
        validation: examples to make choices by, whole; None where nothing was held out.
    """

    name: str
    train: MaskFiles
    test: MaskEvaluation
    num_classes: int
    class_names: tuple[str, ...]
    validation: MaskEvaluation | None = None


def load_voc2012(
    folder: Path,
    *,
    train: str = "train",
    test: str = "val",
    resize: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
) -> SegmentationFolder:
    """Returns PASCAL VOC 2012's segmentation set: 1,464 photos to train and 1,449 to evaluate on, of 21 classes.

    Args:
        folder: `VOCdevkit`, its folder `VOC2012`, or the folder that holds `VOCdevkit`.
        train: which file of `ImageSets/Segmentation` names the examples to train on.
        test: which one names those to evaluate on; the labels of VOC's own test split are not published.
        resize: shorter side of the examples to evaluate on, see `MaskEvaluation`.
        validation: a number of examples or a share of them to hold out from those to train on.
        seed: of that drawing, 0 or more.

    Raises:
        InputError: a file is missing or broken, a mask does not fit its photo or the classes, an example is in both
            splits, or that many cannot be held out.
    """
    lists = Path("ImageSets") / "Segmentation"
    places = (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012")
    root = next((place for place in places if (place / lists).is_dir()), None)
    if root is None:
        raise InputError(f"{folder}: expected VOCdevkit, its folder VOC2012, or the folder of VOCdevkit: no {lists}")
    parts = {
        what: read_list(root / lists / f"{split}.txt", root / "JPEGImages", root / "SegmentationClass")
        for what, split in (("train", train), ("evaluate", test))
    }
    return _load("voc2012_segmentation", root, parts, VOC_CLASS_NAMES, resize, validation, seed)


def load_mask_folder(
    folder: Path,
    *,
    resize: int | None = None,
    test_share: float = 0.2,
    validation: int | float = 0,
    seed: int = 0,
) -> SegmentationFolder:
    """Returns photos in `images/` and masks of the same names in `masks/`.

    Both are in `train/` and `val/` (by the names that `load_image_folder` takes), or in `folder` itself. There the
    files `train.txt` and `val.txt` may name the examples of either, one a line, without ending; if they are missing, a
    share drawn by the seed is kept for evaluation. Where `test/` or `test.txt` is there too, `val` is the validation
    split. A mask is a PNG whose pixels are class numbers from 0, with a palette or grey; 255 is for pixels that do not
    count. `classes.txt` names the classes, one a line; without it, they are numbered as the masks do.

    Args:
        folder: where the photos and masks are.
        resize: shorter side of the examples to evaluate on, see `MaskEvaluation`.
        test_share: share of the examples to evaluate on, where the folder is not split.
        validation: a number of examples or a share of them to hold out from those to train on.
        seed: of these drawings, 0 or more.

    Raises:
        InputError: the folder is not laid out like that, a file is missing or broken, a mask does not fit its photo or
            the classes, an example is in two splits, or that many cannot be held out.
    """
    if not 0 < test_share < 1:
        raise InputError(f"the share to evaluate on must be between 0 and 1, got {test_share}")
    names = folder / "classes.txt"
    class_names = tuple(read_lines(names)) if names.is_file() else None
    if is_pair_folder(folder):
        parts = listed_parts(folder) or drawn_parts(folder, test_share, seed)
    else:
        parts = {what: find_pairs(part) for what, part in find_part_folders(folder).items()}
    return _load(f"folder:{folder}", folder, parts, class_names, resize, validation, seed)


def _load(
    name: str,
    folder: Path,
    parts: Mapping[str, Pairs],
    class_names: tuple[str, ...] | None,
    resize: int | None,
    validation: int | float,
    seed: int,
) -> SegmentationFolder:
    if validation and "validate" in parts:
        raise InputError(
            f"{folder}: has a part to validate on beside train and test: leave out validation={validation}"
        )
    _refuse_overlaps(folder, parts)
    read = {what: read_mask_files(*zip(*pairs, strict=True)) for what, pairs in parts.items()}
    present = np.concatenate([labels for _, labels in read.values()])
    masks = [mask for files, _ in read.values() for mask in files.mask_paths]
    class_names = _check_classes(folder, masks, present, class_names)
    files = {what: each for what, (each, _) in read.items()}
    size = count_held_out(len(files["train"].sizes), validation, str(folder))
    if size:
        # Another address than that of the examples to test on.
        order = epoch_order(seed, 1, len(files["train"].sizes))
        files["validate"] = files["train"].choose(np.sort(order[:size]))
        files["train"] = files["train"].choose(np.sort(order[size:]))
    whole = {what: MaskEvaluation(each, resize) for what, each in files.items() if what != "train"}
    return SegmentationFolder(
        name, files["train"], whole["evaluate"], len(class_names), class_names, whole.get("validate")
    )


def _check_classes(
    folder: Path, masks: list[Path], present: Bool[np.ndarray, "n 256"], class_names: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Returns the classes' names once all labels are found to be among them."""
    found = np.flatnonzero(present.any(axis=0)).tolist()
    labels = [label for label in found if label != IGNORE]
    if found == [0, IGNORE]:
        mask = masks[int(present[:, IGNORE].argmax())]
        raise InputError(
            f"{mask}: holds 0 and {IGNORE} only, as all masks of {folder} do, and {IGNORE} is what does not count: "
            f"write the foreground as 1"
        )
    if class_names is None:
        if labels != list(range(len(labels))) or len(labels) < 2:
            some = ", ".join(map(str, labels[:10])) + (", ..." if len(labels) > 10 else "")
            raise InputError(
                f"{folder}: expected labels from 0 on without a gap, at least two, found {some}: number them so, or "
                f"name all classes in classes.txt, one a line"
            )
        return tuple(map(str, labels))
    if not 2 <= len(class_names) <= IGNORE:
        raise InputError(f"{folder}: expected the names of 2 to {IGNORE} classes, found {len(class_names)}")
    outside = present.copy()
    outside[:, [*range(len(class_names)), IGNORE]] = False
    if outside.any():
        row, label = np.argwhere(outside)[0]
        raise InputError(
            f"{masks[row]}: has the label {label}, expected one of {len(class_names)} classes (0 to "
            f"{len(class_names) - 1}), or {IGNORE} for what does not count"
        )
    return class_names


def _refuse_overlaps(folder: Path, parts: Mapping[str, Pairs]) -> None:
    seen: dict[Path, str] = {}
    for what, pairs in parts.items():
        if not pairs:
            raise InputError(f"{folder}: expected examples to {what} on, found none")
        for image, _ in pairs:
            if image in seen:
                raise InputError(f"{image}: is to {seen[image]} and to {what} on: leave it in one of the two splits")
            seen[image] = what
