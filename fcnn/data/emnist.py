"""EMNIST (Cohen, Afshar, Tapson, van Schaik 2017, arXiv:1702.05373): handwritten digits and letters."""

import string
from pathlib import Path

import numpy as np

from fcnn.data.dataset import Dataset, Split
from fcnn.data.idx_folder import check_image_shapes, read_labels, read_split
from fcnn.errors import InputError

# The merged sets count a lower-case letter that looks like its capital as the capital (section II-B).
_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"

CLASS_NAMES = {
    "balanced": tuple(_MERGED),
    "byclass": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "bymerge": tuple(_MERGED),
    "digits": tuple(string.digits),
    "letters": tuple(string.ascii_uppercase),
    "mnist": tuple(string.digits),
}


def load_emnist(folder: Path, variant: str | None) -> Dataset:
    """Returns a set of EMNIST from its idx files, gzipped or not.

    The files are named as `emnist-balanced-train-images-idx3-ubyte.gz`, or as those of MNIST where somebody has renamed
    them. Their images are stored transposed, and the labels of `letters` begin at 1: both are set right here.

    Args:
        folder: where the files are.
        variant: a key of `CLASS_NAMES`, or None for the one in the folder.

    Raises:
        InputError: a file is missing, damaged or does not fit the others, or the folder holds several variants.
    """
    prefixed = [name for name in CLASS_NAMES if any(folder.glob(f"emnist-{name}-train-images-idx3-ubyte*"))]
    if variant is None and len(prefixed) > 1:
        names = ", ".join(f"emnist:{name}" for name in prefixed)
        raise InputError(f"{folder}: expected one set of EMNIST, found several: choose one of {names}")
    if variant is None and prefixed:
        variant = prefixed[0]
    if variant in prefixed:
        train_stem, test_stem = f"emnist-{variant}-train", f"emnist-{variant}-test"
    else:
        train_stem, test_stem = "train", "t10k"
        variant = variant or _variant_by_labels(folder, train_stem)
    class_names = CLASS_NAMES[variant]
    first_label = 1 if variant == "letters" else 0
    train = _upright(read_split(folder, train_stem, len(class_names), first_label))
    test = _upright(read_split(folder, test_stem, len(class_names), first_label))
    check_image_shapes(train, test, str(folder))
    return Dataset(f"emnist:{variant}", train, test, len(class_names), class_names)


def _upright(split: Split) -> Split:
    return Split(np.ascontiguousarray(split.images.swapaxes(1, 2)), split.labels)


def _variant_by_labels(folder: Path, stem: str) -> str:
    labels = read_labels(folder, stem)
    variants = {9: "digits", 26: "letters", 46: "balanced", 61: "byclass"}
    last_label = int(labels.max(initial=0))
    if last_label not in variants:
        raise InputError(
            f"{folder}: expected the labels of a set of EMNIST to end at 9, 26, 46 or 61, found {last_label}: "
            f"name the set, as in emnist:balanced"
        )
    return variants[last_label]
