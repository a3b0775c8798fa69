"""A validation split: examples taken from those to train on, by which choices are made instead of the test set."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Int32

from fcnn.data.dataset import Dataset, Split
from fcnn.data.order import epoch_order
from fcnn.errors import InputError


def hold_out(dataset: Dataset, validation: int | float, seed: int) -> Dataset:
    """Returns the data set with a validation split taken from its training examples, as `stratified_mask` draws it.

    Args:
        dataset: without a validation split.
        validation: a number of examples, or a share of them below 1; 0 leaves the set as it is.
        seed: of the drawing, 0 or more.

    Raises:
        InputError: as `count_held_out` and `stratified_mask`.
    """
    images, labels = dataset.train
    size = count_held_out(len(labels), validation, dataset.name)
    if size == 0:
        return dataset
    held = stratified_mask(labels, size, seed, dataset.class_names)
    return dataset._replace(train=Split(images[~held], labels[~held]), validation=Split(images[held], labels[held]))


def count_held_out(total: int, validation: int | float, source: str) -> int:
    """Returns how many examples a validation split has.

    Args:
        total: number of training examples.
        validation: a number of examples (an integer), or a share of them (a float below 1), which is rounded.
        source: what the examples are from, for the messages.

    Raises:
        InputError: it is neither, nothing would be held out, or nothing would be left to train on.
    """
    if isinstance(validation, float):
        if not 0 <= validation < 1:
            raise InputError(
                f"expected validation as a share from 0 to below 1, or as a whole number of examples, got {validation}"
            )
        size = round(validation * total)
    else:
        size = int(validation)
    if not 0 <= size < total:
        raise InputError(
            f"{source}: expected a validation split of 0 to {total - 1} of its {total} training examples, "
            f"got validation={validation}"
        )
    if size == 0 and validation > 0:
        raise InputError(f"{source}: validation={validation} of {total} training examples is none: take a larger share")
    return size


def stratified_mask(
    labels: Int[np.ndarray, "n"], size: int, seed: int, class_names: Sequence[str]
) -> Bool[np.ndarray, "n"]:
    """Returns which examples are held out: of each class its share, drawn at random.

    The numbers of the classes are whole and add up to `size`: each is its share rounded down, and the classes that lose
    most by that have one more (the method of the largest remainder). A function of the arguments alone.

    Args:
        labels: the class of each example.
        size: how many to hold out, from 0 to below the number of examples.
        seed: of the drawing, 0 or more.
        class_names: the name of each class, for the message.

    Raises:
        InputError: a class would be left without an example to train on, or the seed is negative.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    held = np.zeros(len(labels), bool)
    for label, (count, of_class) in enumerate(zip(_apportion(counts, size), counts, strict=True)):
        if 0 < count == of_class:
            raise InputError(
                f"{size} validation examples leave class {class_names[label]} none of its {of_class} to train on: "
                f"take fewer, or add examples of the class"
            )
        rows = np.flatnonzero(labels == label)
        held[rows[epoch_order(seed, label, len(rows))[:count]]] = True
    return held


def _apportion(counts: Int[np.ndarray, "class"], size: int) -> Int32[np.ndarray, "class"]:
    """Returns whole numbers in proportion to the counts that add up to the size."""
    share, remainder = np.divmod(counts * size, counts.sum())
    share[np.argsort(-remainder, kind="stable")[: size - share.sum()]] += 1
    return share.astype(np.int32)
