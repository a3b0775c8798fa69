"""CIFAR-10 and CIFAR-100 in their published binary form (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcnn.data.dataset import Dataset, Split
from fcnn.data.idx import read_file
from fcnn.data.idx_folder import check_labels
from fcnn.errors import InputError

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class BinaryForm(NamedTuple):
    """How a set is laid out in files.

    Attributes:
        address: where the archive of the files is published.
        folder: the folder in which it unpacks.
        train_files: files of training examples.
        test_files: files of test examples.
        train_records: number of examples in each training file.
        test_records: number of examples in each test file.
        label_bytes: bytes before the pixels of an example; the last of them is the class.
        names_file: the classes' names, one a line.
        num_classes: number of classes.
    """

    address: str
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    train_records: int
    test_records: int
    label_bytes: int
    names_file: str
    num_classes: int


BINARY_FORMS = {
    "cifar10": BinaryForm(
        address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        folder="cifar-10-batches-bin",
        train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test_files=("test_batch.bin",),
        train_records=10_000,
        test_records=10_000,
        label_bytes=1,
        names_file="batches.meta.txt",
        num_classes=10,
    ),
    # The first label byte is the coarse class, of 20; the second the fine one, of 100.
    "cifar100": BinaryForm(
        address="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        folder="cifar-100-binary",
        train_files=("train.bin",),
        test_files=("test.bin",),
        train_records=50_000,
        test_records=10_000,
        label_bytes=2,
        names_file="fine_label_names.txt",
        num_classes=100,
    ),
}


def load_cifar(name: str, folder: Path, form: BinaryForm) -> Dataset:
    """Returns CIFAR-10 or CIFAR-100, the latter with its 100 fine classes.

    Args:
        name: the data set's name.
        folder: where the files are, or the folder of the published archive is.
        form: the layout of the files.

    Raises:
        InputError: a file is missing, is not of the published size, or holds a label outside the classes.
    """
    if (folder / form.folder).is_dir():
        folder = folder / form.folder
    for file in (form.names_file, *form.train_files, *form.test_files):
        if not (folder / file).exists():
            raise InputError(f"{folder / file}: no such file; the files of {name} are published in {form.address}")
    class_names = _read_class_names(folder / form.names_file, form.num_classes)
    train = _read_split(folder, form.train_files, form.train_records, form)
    test = _read_split(folder, form.test_files, form.test_records, form)
    return Dataset(name, train, test, form.num_classes, class_names)


def _read_split(folder: Path, files: tuple[str, ...], records: int, form: BinaryForm) -> Split:
    images = np.empty((len(files), records, _SIDE, _SIDE, 3), np.uint8)
    labels = np.empty((len(files), records), np.int32)
    for i, file in enumerate(files):
        path = folder / file
        content = read_file(path)
        expected = records * (form.label_bytes + _PIXELS)
        if len(content) != expected:
            fault = "truncated" if len(content) < expected else "trailing bytes"
            raise InputError(f"{path}: {fault}: expected {expected} bytes ({records} examples), found {len(content)}")
        table = np.frombuffer(content, np.uint8).reshape(records, -1)
        classes = table[:, form.label_bytes - 1]
        check_labels(classes, str(path), form.num_classes)
        labels[i] = classes
        images[i] = table[:, form.label_bytes :].reshape(records, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return Split(images.reshape(-1, _SIDE, _SIDE, 3), labels.reshape(-1))


def _read_class_names(path: Path, num_classes: int) -> tuple[str, ...]:
    names = tuple(read_file(path).decode("utf-8", errors="replace").split())
    if len(names) != num_classes:
        raise InputError(f"{path}: expected the names of {num_classes} classes, found {len(names)}")
    return names
