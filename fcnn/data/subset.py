"""A few examples of a set, the same number of each class."""

import numpy as np

from fcnn.data.dataset import Split
from fcnn.data.order import epoch_order
from fcnn.errors import InputError


def balanced_subset(split: Split, size: int, seed: int) -> Split:
    """Returns examples of a split drawn at random, as many of each class that occurs in it.

    Where the classes do not divide the size, or a class runs out of examples, the others have more.

    Args:
        split: what to draw from.
        size: number of examples.
        seed: seed of the drawing, 0 or more.

    Returns:
        `size` examples, in random order.

    Raises:
        InputError: the size is below 1 or larger than the split, or the seed is negative.
    """
    if not 1 <= size <= len(split.labels):
        raise InputError(f"expected a subset of 1 to {len(split.labels)} examples, found the size {size}")
    order = epoch_order(seed, 0, len(split.labels))
    labels = split.labels[order]
    by_class = np.argsort(labels, kind="stable")
    _, first, count = np.unique(labels[by_class], return_index=True, return_counts=True)
    # How many of its class come before an example: taking the smallest ranks takes from all classes in turn.
    rank = np.empty_like(by_class)
    rank[by_class] = np.arange(len(labels)) - np.repeat(first, count)
    chosen = np.sort(np.argsort(rank, kind="stable")[:size])
    rows = order[chosen]
    return Split(split.images[rows], split.labels[rows])
