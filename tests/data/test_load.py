"""The names that `load_dataset` takes."""

import pytest

from fcnn.data import load_dataset
from fcnn.errors import InputError


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("mnsit", "mnist"), ("cifar", "cifar10"), ("fashion-mnist", "fashion_mnist"), ("emnist:letter", "emnist:letters")],
)
def test_an_unknown_name_shows_the_nearest(name, nearest):
    with pytest.raises(InputError, match=f"unknown data set '{name}'.*{nearest}"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "emnist", "emnist:letters", "cifar10", "cifar100"])
def test_what_is_not_embedded_needs_a_folder(name):
    with pytest.raises(InputError, match=rf"'{name}' needs a data_dir \(--data-dir\): the folder of .*(ubyte|bin)"):
        load_dataset(name)


@pytest.mark.parametrize(("name", "archive"), [("cifar10", "cifar-10-binary"), ("cifar100", "cifar-100-binary")])
def test_where_cifar_is_published_is_said(tmp_path, name, archive):
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=rf"published in https://www\.cs\.toronto\.edu/.*/{archive}\.tar\.gz$"):
            load_dataset(name, folder)


@pytest.mark.parametrize("name", ["mnist", "emnist", "cifar10"])
def test_a_folder_that_does_not_exist(tmp_path, name):
    with pytest.raises(InputError, match=r"nowhere: no such folder; expected the folder of"):
        load_dataset(name, tmp_path / "nowhere")
