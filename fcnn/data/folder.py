"""Photos in a folder for each class: which there are, and which of them to train and to evaluate on."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fcnn.data.dataset import Split
from fcnn.data.image_files import ImageFiles, Transform, evaluation_crop, read_images
from fcnn.data.order import epoch_order
from fcnn.errors import InputError

_ENDINGS = (".jpg", ".jpeg", ".png")
_TRAIN_FOLDERS, _TEST_FOLDERS = ("train", "training"), ("val", "validation", "valid", "test")


class ImageFolder(NamedTuple):
    """A data set of photos.

    Attributes:
        name: the name it was loaded by.
        train: the files to train on, see `FolderLoader`.
        test: the examples to evaluate on, through the evaluation transform.
        num_classes: number of classes.
        class_names: the name of each class, indexed by label.
    """

    name: str
    train: ImageFiles
    test: Split
    num_classes: int
    class_names: tuple[str, ...]


def load_image_folder(
    folder: Path,
    *,
    transform: Transform = evaluation_crop,
    broken: str = "refuse",
    test_share: float = 0.2,
    seed: int = 0,
) -> ImageFolder:
    """Returns the photos of a folder, JPEG and PNG, a class in each of its folders.

    The classes' folders are in `train` (or `training`) and `val` (or `validation`, `valid`, `test`); if there is no
    `train`, they are in `folder` itself, and a share of each class, drawn by the seed, is kept for evaluation. Every
    file is read once, in parallel, so that a broken one is found here and not in the middle of training.

    Args:
        folder: where the photos are.
        transform: evaluation transform, such as `fcnn.preprocess("resnet18").cut`.
        broken: what to do with a file that cannot be read as an image: "refuse", or "skip" it with a warning that
            names it.
        test_share: share of each class to evaluate on, where the folder is not split.
        seed: of that drawing, 0 or more.

    Raises:
        InputError: there is no such folder, it is not laid out like that, or an image is broken and refused.
    """
    if not 0 < test_share < 1:
        raise InputError(f"the share to evaluate on must be between 0 and 1, got {test_share}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with class folders in train/ and val/, or in itself")
    train_folder = _first_folder(folder, _TRAIN_FOLDERS)
    if train_folder is not None:
        test_folder = _first_folder(folder, _TEST_FOLDERS)
        if test_folder is None:
            raise InputError(
                f"{folder}: expected {', '.join(_TEST_FOLDERS)} beside {train_folder.name}, found none of them; "
                f"folder:{train_folder} splits the images there by a seed"
            )
        train, class_names = _find_examples(train_folder)
        test, test_class_names = _find_examples(test_folder)
        if class_names != test_class_names:
            differing = ", ".join(sorted(set(class_names) ^ set(test_class_names)))
            raise InputError(f"{folder}: expected the same classes to train and evaluate on, only one has {differing}")
    else:
        examples, class_names = _find_examples(folder)
        train, test = _split(examples, class_names, test_share, seed)
    train, _ = read_images(train, partial(_one_pixel_of, transform), broken)
    test, test_split = read_images(test, transform, broken)
    for what, files in (("train", train), ("evaluate", test)):
        without = sorted(set(class_names) - {class_names[label] for label in files.labels})
        if without:
            raise InputError(
                f"{folder}: expected images of each class to {what} on, found none of {', '.join(without)}"
            )
    return ImageFolder(f"folder:{folder}", train, test_split, len(class_names), class_names)


def _one_pixel_of(transform: Transform, image: Image.Image) -> np.ndarray:
    """Returns little of an image that the transform takes."""
    return np.asarray(transform(image))[:1, :1]


def _first_folder(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _find_examples(folder: Path) -> tuple[ImageFiles, tuple[str, ...]]:
    """Returns the files of all classes, those of a class sorted and together, and the classes' names."""
    class_names = tuple(sorted(path.name for path in _visible(folder.iterdir()) if path.is_dir()))
    if len(class_names) < 2:
        raise InputError(f"{folder}: expected a folder for each of at least two classes, found {len(class_names)}")
    paths, labels = [], []
    for label, name in enumerate(class_names):
        files = sorted(path for path in _visible((folder / name).rglob("*")) if path.suffix.lower() in _ENDINGS)
        files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        if not files:
            raise InputError(f"{folder / name}: expected images ({', '.join(_ENDINGS)}), found none")
        paths += files
        labels += [label] * len(files)
    return ImageFiles(tuple(paths), np.array(labels, np.int32)), class_names


def _visible(paths: Iterable[Path]) -> Iterator[Path]:
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
    train, test = (
        ImageFiles(tuple(files.paths[i] for i in rows), files.labels[rows])
        for rows in (np.flatnonzero(~for_test), np.flatnonzero(for_test))
    )
    return train, test
