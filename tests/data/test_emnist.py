"""EMNIST's file names, its transposed images and the names of its classes."""

import gzip
import struct

import numpy as np
import pytest

from fcnn.data import load_dataset
from fcnn.errors import InputError


def write_idx(path, array):
    array = np.asarray(array, np.uint8)
    path.write_bytes(gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()))


def write_split(folder, stem, labels):
    """Writes images with a white first row, as EMNIST stores them: with a white first column."""
    images = np.zeros((len(labels), 28, 28))
    images[:, :, 0] = 255
    write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
    write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels)


def write_variant(folder, variant, labels):
    write_split(folder, f"emnist-{variant}-train", labels)
    write_split(folder, f"emnist-{variant}-test", labels)


def test_images_are_upright(tmp_path):
    write_variant(tmp_path, "balanced", [0, 46])
    image = load_dataset("emnist", tmp_path).test.images[0, :, :, 0]
    assert (image[0] == 255).all()
    assert (image[1:] == 0).all()


@pytest.mark.parametrize(
    ("variant", "num_classes", "label", "class_name"),
    [
        ("balanced", 47, 46, "t"),
        ("bymerge", 47, 36, "a"),
        ("byclass", 62, 61, "z"),
        ("digits", 10, 9, "9"),
        ("mnist", 10, 3, "3"),
    ],
)
def test_class_names(tmp_path, variant, num_classes, label, class_name):
    write_variant(tmp_path, variant, [0, label])
    dataset = load_dataset("emnist", tmp_path)
    assert dataset.name == f"emnist:{variant}"
    assert dataset.num_classes == len(dataset.class_names) == num_classes
    assert dataset.class_names[dataset.train.labels[1]] == class_name


def test_letters_are_numbered_from_one_in_the_files(tmp_path):
    write_variant(tmp_path, "letters", [1, 26])
    dataset = load_dataset("emnist:letters", tmp_path)
    assert [dataset.class_names[label] for label in dataset.train.labels] == ["A", "Z"]
    write_split(tmp_path, "emnist-letters-test", [1, 0])
    with pytest.raises(InputError, match="from 1 to 26, found 0 at position 1"):
        load_dataset("emnist:letters", tmp_path)


def test_several_variants_in_a_folder_need_a_choice(tmp_path):
    write_variant(tmp_path, "digits", [9])
    write_variant(tmp_path, "letters", [26])
    with pytest.raises(InputError, match="choose one of emnist:digits, emnist:letters"):
        load_dataset("emnist", tmp_path)
    assert load_dataset("emnist:digits", tmp_path).num_classes == 10


@pytest.mark.parametrize(("last_label", "num_classes"), [(9, 10), (26, 26), (46, 47), (61, 62)])
def test_under_the_names_of_mnist(tmp_path, last_label, num_classes):
    write_split(tmp_path, "train", [1, last_label])
    write_split(tmp_path, "t10k", [last_label])
    assert load_dataset("emnist", tmp_path).num_classes == num_classes


def test_refuses_labels_of_no_variant(tmp_path):
    write_split(tmp_path, "train", [1, 99])
    with pytest.raises(InputError, match="found 99"):
        load_dataset("emnist", tmp_path)


def test_refuses_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="train-labels-idx1-ubyte"):
        load_dataset("emnist", tmp_path)
