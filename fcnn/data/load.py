"""Data sets by name."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

from fcnn.data import cifar, emnist, idx_folder
from fcnn.data.dataset import Dataset
from fcnn.data.folder import ImageFolder, load_image_folder
from fcnn.data.hold_out import hold_out
from fcnn.data.image_files import Transform
from fcnn.data.mask_folder import SegmentationFolder, load_mask_folder, load_voc2012
from fcnn.data.mask_pairs import is_mask_folder
from fcnn.data.tensorflow_datasets import load_tensorflow_dataset
from fcnn.errors import InputError, unknown_name

_FILES = {
    **dict.fromkeys(idx_folder.CLASS_NAMES, "train-images-idx3-ubyte.gz and the three other idx files"),
    "emnist": "the idx files, such as emnist-balanced-train-images-idx3-ubyte.gz",
    **{f"emnist:{variant}": f"emnist-{variant}-train-images-idx3-ubyte.gz and so on" for variant in emnist.CLASS_NAMES},
    **{
        name: f"{form.train_files[0]} and so on, published in {form.address}"
        for name, form in cifar.BINARY_FORMS.items()
    },
    "voc2012_segmentation": "VOCdevkit, published in http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
}

_Arrays = Literal["mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "cifar100"]


@overload
def load_dataset(
    name: _Arrays, data_dir: str | Path | None = None, *, validation: int | float = 0, seed: int = 0
) -> Dataset: ...


@overload
def load_dataset(
    name: Literal["voc2012_segmentation"],
    data_dir: str | Path | None = None,
    *,
    validation: int | float = 0,
    seed: int = 0,
    **options: Any,
) -> SegmentationFolder: ...


# An option tells what is in a folder.
@overload
def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    resize: int | None,
    validation: int | float = 0,
    seed: int = 0,
    **options: Any,
) -> SegmentationFolder: ...


@overload
def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    transform: Transform,
    validation: int | float = 0,
    seed: int = 0,
    **options: Any,
) -> ImageFolder: ...


@overload
def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    validation: int | float = 0,
    seed: int = 0,
    **options: Any,
) -> Dataset | ImageFolder | SegmentationFolder: ...


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    validation: int | float = 0,
    seed: int = 0,
    **options: Any,
) -> Dataset | ImageFolder | SegmentationFolder:
    """Returns a data set of images, read into memory.

    - `mnist`: without `data_dir` the published files, which come with the package; their SHA-256 is checked. With it,
      the files of MNIST or of any set published in its form: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
      `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, each as it is or with `.gz`.
    - `fashion_mnist`, `kmnist`: the same files, with the names of their classes. Debian's `dataset-fashion-mnist`
      installs the former's in `/usr/share/datasets/fashion-mnist`.
    - `emnist`, or `emnist:VARIANT` where the folder holds several (`balanced`, `byclass`, `bymerge`, `digits`,
      `letters`, `mnist`): files as `emnist-balanced-train-images-idx3-ubyte.gz`. They store the images transposed and
      number the letters from 1; what is returned is upright and numbered from 0.
    - `cifar10`, `cifar100`: the binary form, in `data_dir` or in its folder `cifar-10-batches-bin` or
      `cifar-100-binary`; of CIFAR-100 the fine classes.
    - `tfds:NAME`: an image classification set of TensorFlow Datasets, prepared in `data_dir` (by default
      `~/tensorflow_datasets`). If it is not yet prepared and TensorFlow is installed, it is prepared first.
    - `folder:PATH`: photos, JPEG and PNG, in class folders in `train` and `val`, or in PATH itself and then split by a
      seed; see `load_image_folder`. The photos to train on stay in their files, and `FolderLoader` cuts them anew in
      every epoch; those to evaluate on are arrays. With `images/` and `masks/` in PATH, or in its `train` and `val`: a
      label for every pixel; see `load_mask_folder`, `MaskLoader` and `MaskEvaluation`.
    - `voc2012_segmentation`: PASCAL VOC 2012 in `data_dir`, the folder `VOCdevkit` or `VOC2012`, with a label for every
      pixel; see `load_voc2012`. All stay in their files, and those to evaluate on make their batches themselves.

    Args:
        name: one of the names above.
        data_dir: the folder of the files; needed by all but `mnist`, `tfds:NAME` and `folder:PATH`.
        validation: how many of the training examples to hold out as `.validation`, a number (5000) or a share (0.1),
            drawn by the seed: of each class its part, where an example has one class. What chooses a checkpoint or a
            rate should look at these, not at the test split.
        seed: of that drawing, and of the split of a folder that is not split; 0 or more.
        **options: of `load_image_folder`, `load_mask_folder` or `load_voc2012`, for those data sets only.

    Returns:
        uint8 images [n, height, width, channel] and int32 labels [n] of the training, the test and, where one is held
        out, the validation split, and the classes.

    Raises:
        InputError: no such name or option, a file that is missing, truncated, corrupt or mislabelled, or a validation
            split that the training examples cannot give.
    """
    if name.startswith("folder:"):
        if data_dir is not None:
            raise InputError(f"{name!r} names the folder itself: leave out data_dir {str(data_dir)!r}")
        path = name.removeprefix("folder:")
        if not path:
            raise InputError("folder: names no folder, expected folder:PATH")
        folder = Path(path).expanduser()
        load = load_mask_folder if is_mask_folder(folder) else load_image_folder
        _check_options("folder:PATH", load, options)
        return load(folder, validation=validation, seed=seed, **options)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if name == "voc2012_segmentation":
        _check_options(name, load_voc2012, options)
        return load_voc2012(_existing(name, folder), validation=validation, seed=seed, **options)
    if options:
        raise InputError(
            f"the data set {name!r} takes no options, only folder:PATH and voc2012_segmentation do: "
            f"leave out {', '.join(options)}"
        )
    return hold_out(_load_arrays(name, folder), validation, seed)


def _check_options(kind: str, load: Callable, options: Mapping[str, Any]) -> None:
    known = [option for option in inspect.signature(load).parameters if option != "folder"]
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {kind}", option, known)


def _existing(name: str, folder: Path | None) -> Path:
    if folder is None:
        raise InputError(f"the data set {name!r} needs a data_dir (--data-dir): the folder of {_FILES[name]}")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of {_FILES[name]}")
    return folder


def _load_arrays(name: str, folder: Path | None) -> Dataset:
    if name.startswith("tfds:"):
        return load_tensorflow_dataset(name.removeprefix("tfds:"), folder)
    if name not in _FILES:
        raise unknown_name("data set", name, [*_FILES, "folder:PATH", "tfds:NAME"])
    if name == "mnist" and folder is None:
        return idx_folder.load_embedded_mnist()
    folder = _existing(name, folder)
    if name in idx_folder.CLASS_NAMES:
        return idx_folder.load_idx_folder(name, folder)
    if name in cifar.BINARY_FORMS:
        return cifar.load_cifar(name, folder, cifar.BINARY_FORMS[name])
    _, _, variant = name.partition(":")
    return emnist.load_emnist(folder, variant or None)
