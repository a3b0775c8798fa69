"""Folders of idx files, and the MNIST that comes with the package."""

import gzip
import hashlib
import struct
from importlib import resources

import numpy as np
import pytest

from fcnn.data import load_dataset
from fcnn.data.idx_folder import load_embedded_mnist
from fcnn.errors import InputError


def write_idx(path, array):
    array = np.asarray(array, np.uint8)
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_folder(folder, suffix="", train=(6, 4, 5), test=(3, 4, 5)):
    generator = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": generator.integers(0, 256, train),
        "train-labels-idx1-ubyte": np.arange(train[0]) % 10,
        "t10k-images-idx3-ubyte": generator.integers(0, 256, test),
        "t10k-labels-idx1-ubyte": np.arange(test[0]) % 10,
    }
    for name, array in arrays.items():
        write_idx(folder / f"{name}{suffix}", array)
    return arrays


def test_embedded_mnist_is_the_published_one():
    dataset = load_dataset("mnist")
    assert dataset.train.images.shape == (60_000, 28, 28, 1)
    assert dataset.test.images.shape == (10_000, 28, 28, 1)
    assert dataset.train.images.dtype == dataset.test.images.dtype == np.uint8
    assert dataset.train.labels.dtype == dataset.test.labels.dtype == np.int32
    assert dataset.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(dataset.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.num_classes == 10
    assert dataset.class_names == tuple("0123456789")
    # The MD5 that torchvision lists for the file of test images without gzip: no pixel is out of its place.
    header = struct.pack(">4I", 0x803, 10_000, 28, 28)
    assert hashlib.md5(header + dataset.test.images.tobytes()).hexdigest() == "2646ac647ad5339dbf082846283269ea"


def test_licence_and_hashes_stand_beside_the_files():
    folder = resources.files("fcnn.data").joinpath("mnist")
    text = folder.joinpath("README.md").read_text()
    assert "CC BY-SA 3.0" in text
    for file in folder.iterdir():
        if file.name.endswith(".gz"):
            assert hashlib.sha256(file.read_bytes()).hexdigest() in text


def test_a_changed_embedded_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    write_folder(tmp_path / "mnist", ".gz")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz: expected SHA-256 440fca.*found"):
        load_embedded_mnist()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_reads_a_folder(tmp_path, name, suffix):
    arrays = write_folder(tmp_path, suffix)
    dataset = load_dataset(name, str(tmp_path))
    np.testing.assert_array_equal(dataset.train.images[..., 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(dataset.train.labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(dataset.test.images[..., 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(dataset.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert dataset.name == name
    assert len(set(dataset.class_names)) == dataset.num_classes == 10


def rename(folder, old, new):
    (folder / old).rename(folder / new)


FAULTS = {
    "missing": (
        lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(),
        "expected the file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz, found neither",
    ),
    "images where labels belong": (
        lambda folder: (
            rename(folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte")
            or write_idx(folder / "train-images-idx3-ubyte", np.zeros((6, 4, 5)))
        ),
        "train-labels-idx1-ubyte: expected labels",
    ),
    "labels of another split": (
        lambda folder: write_idx(folder / "train-labels-idx1-ubyte", [0, 1, 2]),
        "train-labels-idx1-ubyte: expected 6 labels",
    ),
    "a label outside the classes": (
        lambda folder: write_idx(folder / "t10k-labels-idx1-ubyte", [0, 10, 2]),
        "t10k-labels-idx1-ubyte: expected labels from 0 to 9, found 10 at position 1",
    ),
    "images of two sizes": (
        lambda folder: write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((3, 5, 5))),
        "expected test images of the training images' shape (4, 5, 1), found (5, 5, 1)",
    ),
    "no images": (
        lambda folder: write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((0, 4, 5))),
        "t10k-images-idx3-ubyte: expected images, found the shape (0, 4, 5)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses_a_folder_with(tmp_path, fault):
    spoil, words = FAULTS[fault]
    write_folder(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError) as caught:
        load_dataset("mnist", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
