"""What training draws its batches from: a set, an order, a batch size."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from fcnn.arrays import Examples, count_examples, named_arrays
from fcnn.data.order import Batch, batch_indices, count_batches, prefetch


class Loader(NamedTuple):
    """The training batches of a set: which examples make batch b of epoch e is a function of (seed, e, b) alone.

    Examples that fill no batch at the end of an epoch are left out of that epoch.

    Attributes:
        split: the examples: a `Split`, or a mapping of named arrays that all begin with the examples, such as
            {"image": [n, height, width, channel], "label": [n, height, width]}.
        batch_size: examples in a batch.
        seed: of the order.
    """

    split: Examples
    batch_size: int
    seed: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch.

        Raises:
            InputError: if the batch size is below 1 or larger than the set, or the arrays differ in length.
        """
        return count_batches(count_examples(named_arrays(self.split)), self.batch_size)

    def indices(self, epoch: int) -> Int32[np.ndarray, "step batch"]:
        """Returns which examples make each batch of an epoch."""
        return batch_indices(self.seed, epoch, count_examples(named_arrays(self.split)), self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from number `start` on, the next ones gathered in the background.

        A batch has every array of the examples, under its name.
        """
        arrays = named_arrays(self.split)
        return prefetch({name: array[rows] for name, array in arrays.items()} for rows in self.indices(epoch)[start:])
