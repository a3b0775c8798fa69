"""What a data set is once it is loaded: arrays in host memory and the names of the classes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8


class Split(NamedTuple):
    """The examples of one split, in the order of their files.

    Attributes:
        images: pixels from 0 to 255.
        labels: the class of each image, from 0.
    """

    images: UInt8[np.ndarray, "n height width channel"]
    labels: Int32[np.ndarray, "n"]


class Dataset(NamedTuple):
    """An image classification data set.

    Attributes:
        name: the name it was loaded by.
        train: the examples to train on.
        test: the examples to evaluate on, of the same image shape.
        num_classes: number of classes.
        class_names: the name of each class, indexed by label.
        validation: examples to make choices by, kept from training; None where nothing was held out.
    """

    name: str
    train: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    validation: Split | None = None
