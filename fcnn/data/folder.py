"""Photos in a folder for each class: which there are, and which of them to train and to evaluate on."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image

from fcnn.data.dataset import Split
from fcnn.data.hold_out import count_held_out, stratified_mask
from fcnn.data.image_files import ImageFiles, Transform, evaluation_crop, read_images
from fcnn.data.order import epoch_order
from fcnn.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png")
_TRAIN_FOLDERS, _VALIDATION_FOLDERS, _TEST_FOLDER = ("train", "training"), ("val", "validation", "valid"), "test"


class ImageFolder(NamedTuple):
    """A data set of photos.

    Attributes:
        name: the name it was loaded by.
        train: the files to train on, see `FolderLoader`.
        test: the examples to evaluate on, through the evaluation transform.
        num_classes: number of classes.
        class_names: the name of each class, indexed by label.
        validation: examples to make choices by, through the evaluation transform; None where nothing was held out.
    """

    name: str
    train: ImageFiles
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    validation: Split | None = None


def load_image_folder(
    folder: Path,
    *,
    transform: Transform = evaluation_crop,
    broken: str = "refuse",
    test_share: float = 0.2,
    validation: int | float = 0,
    seed: int = 0,
) -> ImageFolder:
    """Returns the photos of a folder, JPEG and PNG, a class in each of its folders.

    The classes' folders are in `train` (or `training`) and `val` (or `validation`, `valid`, `test`); if there is no
    `train`, they are in `folder` itself, and a share of each class, drawn by the seed, is kept for evaluation. With
    `train`, `val` and `test` all there, `val` is the validation split; without `test`, `val` is what is tested on.
    Every file is read once, in parallel, so that a broken one is found here and not in the middle of training.

    Args:
        folder: where the photos are.
        transform: evaluation transform, such as `fcnn.preprocess("resnet18").cut`.
        broken: what to do with a file that cannot be read as an image: "refuse", or "skip" it with a warning that
            names it.
        test_share: share of each class to evaluate on, where the folder is not split.
        validation: a number of examples or a share of them to hold out from those to train on.
        seed: of these drawings, 0 or more.

    Raises:
        InputError: there is no such folder, it is not laid out like that, an image is broken and refused, or that many
            examples cannot be held out.
    """
    parts, class_names = _find_parts(folder, test_share, seed)
    if validation and "validate" in parts:
        raise InputError(
            f"{folder}: has a folder to validate on beside train and test: leave out validation={validation}"
        )
    splits = {}
    for what, files in parts.items():
        # Of the photos to train on only that they can be read is wanted.
        wanted = partial(_one_pixel_of, transform) if what == "train" else transform
        parts[what], splits[what] = read_images(files, wanted, broken)
        without = sorted(set(class_names) - {class_names[label] for label in parts[what].labels})
        if without:
            raise InputError(
                f"{folder}: expected images of each class to {what} on, found none of {', '.join(without)}"
            )
    train = parts["train"]
    size = count_held_out(len(train.labels), validation, str(folder))
    if size:
        held = stratified_mask(train.labels, size, seed, class_names)
        splits["validate"] = _choose(train, held).decode(transform)
        train = _choose(train, ~held)
    return ImageFolder(
        f"folder:{folder}", train, splits["evaluate"], len(class_names), class_names, splits.get("validate")
    )


def _find_parts(folder: Path, test_share: float, seed: int) -> tuple[dict[str, ImageFiles], tuple[str, ...]]:
    """Returns the files to "train", "evaluate" and, if the folder has them, "validate" on, and the classes' names."""
    if not 0 < test_share < 1:
        raise InputError(f"the share to evaluate on must be between 0 and 1, got {test_share}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with class folders in train/ and val/, or in itself")
    folders = find_part_folders(folder)
    if not folders:
        examples, class_names = _find_examples(folder)
        train, test = _split(examples, class_names, test_share, seed)
        return {"train": train, "evaluate": test}, class_names
    found = {what: _find_examples(part) for what, part in folders.items()}
    _, class_names = found["train"]
    for _, others in found.values():
        if others != class_names:
            differing = ", ".join(sorted(set(class_names) ^ set(others)))
            raise InputError(f"{folder}: expected the same classes to train and evaluate on, only one has {differing}")
    return {what: files for what, (files, _) in found.items()}, class_names


def find_part_folders(folder: Path) -> dict[str, Path]:
    """Returns the folders to "train", "evaluate" and, where there are three, to "validate" on; none if not split.

    Args:
        folder: with train/ and val/, and perhaps test/, by one of their names, or neither.

    Raises:
        InputError: there is a folder to train on and none to evaluate on.
    """
    train = _first_folder(folder, _TRAIN_FOLDERS)
    if train is None:
        return {}
    validation, test = _first_folder(folder, _VALIDATION_FOLDERS), _first_folder(folder, (_TEST_FOLDER,))
    if validation is not None and test is not None:
        return {"train": train, "validate": validation, "evaluate": test}
    only = validation or test
    if only is None:
        raise InputError(
            f"{folder}: expected {', '.join((*_VALIDATION_FOLDERS, _TEST_FOLDER))} beside {train.name}, found none of "
            f"them; folder:{train} splits the images there by a seed"
        )
    return {"train": train, "evaluate": only}


def _one_pixel_of(transform: Transform, image: Image.Image) -> np.ndarray:
    """Returns little of an image that the transform takes."""
    return np.asarray(transform(image))[:1, :1]


def _first_folder(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _find_examples(folder: Path) -> tuple[ImageFiles, tuple[str, ...]]:
    """Returns the files of all classes, those of a class sorted and together, and the classes' names."""
    class_names = tuple(sorted(path.name for path in visible(folder.iterdir()) if path.is_dir()))
    if len(class_names) < 2:
        raise InputError(f"{folder}: expected a folder for each of at least two classes, found {len(class_names)}")
    paths, labels = [], []
    for label, name in enumerate(class_names):
        files = sorted(path for path in visible((folder / name).rglob("*")) if path.suffix.lower() in ENDINGS)
        files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        if not files:
            raise InputError(f"{folder / name}: expected images ({', '.join(ENDINGS)}), found none")
        paths += files
        labels += [label] * len(files)
    return ImageFiles(tuple(paths), np.array(labels, np.int32)), class_names


def visible(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the paths but those of hidden files, such as `._photo.jpg`, which macOS adds to archives."""
    return (path for path in paths if not path.name.startswith("."))


def _split(
    files: ImageFiles, class_names: Sequence[str], test_share: float, seed: int
) -> tuple[ImageFiles, ImageFiles]:
    """Returns the files to train and to evaluate on: the share of each class, and at least one image."""
    for_test = np.zeros(len(files.labels), bool)
    for label, name in enumerate(class_names):
        rows = np.flatnonzero(files.labels == label)
        if len(rows) < 2:
            raise InputError(
                f"class {name}: expected at least two images, to train and to evaluate on, found {len(rows)}"
            )
        count = min(max(round(test_share * len(rows)), 1), len(rows) - 1)
        for_test[rows[epoch_order(seed, label, len(rows))[:count]]] = True
    return _choose(files, ~for_test), _choose(files, for_test)


def _choose(files: ImageFiles, chosen: Bool[np.ndarray, "n"]) -> ImageFiles:
    rows = np.flatnonzero(chosen)
    return ImageFiles(tuple(files.paths[row] for row in rows), files.labels[rows])
