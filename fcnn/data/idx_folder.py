"""Data sets of four idx files: MNIST, which comes with the package, Fashion-MNIST and KMNIST."""

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fcnn.data.dataset import Dataset, Split
from fcnn.data.idx import parse_idx, read_file
from fcnn.errors import InputError

DIGITS = tuple("0123456789")

CLASS_NAMES = {
    "mnist": DIGITS,
    "fashion_mnist": (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}

# The canonical files, as TensorFlow Datasets and others register them for the download.
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def load_embedded_mnist() -> Dataset:
    """Returns MNIST from the files that come with the package.

    Raises:
        InputError: a file of the installation is missing or is not the published one.
    """
    return Dataset("mnist", _embedded_split("train"), _embedded_split("t10k"), len(DIGITS), DIGITS)


def load_idx_folder(name: str, folder: Path) -> Dataset:
    """Returns the data set whose idx files, gzipped or not, lie in a folder under the names of MNIST.

    Args:
        name: a key of `CLASS_NAMES`.
        folder: where `train-images-idx3-ubyte` and the three other files are.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    class_names = CLASS_NAMES[name]
    train = read_split(folder, "train", len(class_names))
    test = read_split(folder, "t10k", len(class_names))
    check_image_shapes(train, test, str(folder))
    return Dataset(name, train, test, len(class_names), class_names)


def read_split(folder: Path, stem: str, num_classes: int, first_label: int = 0) -> Split:
    """Returns one split of a folder of idx files.

    Args:
        folder: where the files are.
        stem: how the names of the images' and the labels' file begin, `train` or `t10k` for MNIST.
        num_classes: number of classes.
        first_label: the label of the first class in the file.

    Raises:
        InputError: a file is missing, damaged, or does not fit the other.
    """
    images_path = _find(folder, f"{stem}-images-idx3-ubyte")
    labels_path = _find(folder, f"{stem}-labels-idx1-ubyte")
    images = parse_idx(read_file(images_path), str(images_path), dimensions=3)
    labels = read_labels(folder, stem)
    return make_split(images, labels, str(images_path), str(labels_path), num_classes, first_label)


def read_labels(folder: Path, stem: str) -> UInt8[np.ndarray, "n"]:
    """Returns the labels of one split of a folder of idx files, as they are stored.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = _find(folder, f"{stem}-labels-idx1-ubyte")
    return parse_idx(read_file(path), str(path), dimensions=1)


def make_split(
    images: UInt8[np.ndarray, "images height width"],
    labels: UInt8[np.ndarray, "labels"],
    images_source: str,
    labels_source: str,
    num_classes: int,
    first_label: int = 0,
) -> Split:
    """Returns images and labels as a split, once they are found to belong together.

    Args:
        images: grey images.
        labels: classes from `first_label` on.
        images_source: name of the images' file, for the messages.
        labels_source: name of the labels' file, for the messages.
        num_classes: number of classes.
        first_label: the label of the first class.

    Raises:
        InputError: there are no images, not as many labels as images, or a label outside the classes.
    """
    if images.size == 0:
        raise InputError(f"{images_source}: expected images, found the shape {images.shape}")
    if len(labels) != len(images):
        raise InputError(
            f"{labels_source}: expected {len(images)} labels, as many as images in {images_source}, found {len(labels)}"
        )
    check_labels(labels, labels_source, num_classes, first_label)
    return Split(images[..., np.newaxis], labels.astype(np.int32) - np.int32(first_label))


def check_labels(labels: UInt8[np.ndarray, "labels"], source: str, num_classes: int, first_label: int = 0) -> None:
    """Refuses labels outside the classes.

    Args:
        labels: at least one label.
        source: name of their file, for the message.
        num_classes: number of classes.
        first_label: the label of the first class.

    Raises:
        InputError: a label is outside the classes.
    """
    last_label = first_label + num_classes - 1
    outside = (labels < first_label) | (labels > last_label)
    if outside.any():
        position = int(outside.argmax())
        raise InputError(
            f"{source}: expected labels from {first_label} to {last_label}, found {labels[position]} "
            f"at position {position}"
        )


def check_image_shapes(train: Split, test: Split, source: str) -> None:
    """Refuses splits whose images differ in shape.

    Raises:
        InputError: they differ.
    """
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(
            f"{source}: expected test images of the training images' shape {train.images.shape[1:]}, "
            f"found {test.images.shape[1:]}"
        )


def _find(folder: Path, name: str) -> Path:
    candidates = (folder / name, folder / f"{name}.gz")
    for path in candidates:
        if path.exists():
            return path
    raise InputError(f"{folder}: expected the file {name} or {name}.gz, found neither")


def _embedded_split(stem: str) -> Split:
    images_name, labels_name = f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz"
    images = parse_idx(_read_embedded(images_name), images_name, dimensions=3)
    labels = parse_idx(_read_embedded(labels_name), labels_name, dimensions=1)
    return make_split(images, labels, images_name, labels_name, len(DIGITS))


def _read_embedded(name: str) -> bytes:
    file = resources.files("fcnn.data").joinpath("mnist", name)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}: install fcnn again") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != _MNIST_SHA256[name]:
        raise InputError(f"{file}: expected SHA-256 {_MNIST_SHA256[name]}, found {digest}: install fcnn again")
    return content
