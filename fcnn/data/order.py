"""The order of the examples in an epoch, and batches made ready ahead of time."""

import queue
import threading
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float64, Int32, Shaped

from fcnn.errors import InputError

Batch = dict[str, Shaped[np.ndarray, "batch ..."]]


def epoch_order(seed: int, epoch: int, size: int) -> Int32[np.ndarray, "size"]:
    """Returns the order in which an epoch visits the examples, a function of the seed and the epoch alone.

    It sorts the raw numbers of a Philox generator: NumPy guarantees that these, and `SeedSequence`, stay the same in
    every version and on every machine, which it does not for `Generator.permutation`.

    Args:
        seed: seed of the run, 0 or more.
        epoch: number of the epoch, from 0.
        size: number of examples.

    Returns:
        A permutation of 0 to size - 1.

    Raises:
        InputError: the seed or the epoch is negative.
    """
    if seed < 0 or epoch < 0:
        raise InputError(f"expected a seed and an epoch of 0 or more, found seed {seed}, epoch {epoch}")
    generator = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return np.argsort(generator.random_raw(size), kind="stable").astype(np.int32)


def uniform_numbers(count: int, seed: int, *address: int) -> Float64[np.ndarray, "{count}"]:
    """Returns random numbers from 0 to below 1 that belong to an address, the same in every version of NumPy.

    Args:
        count: how many.
        seed: seed of the run, 0 or more.
        address: what they are for, such as an epoch and an example, each 0 or more.
    """
    generator = np.random.Philox(np.random.SeedSequence(seed, spawn_key=address))
    return (generator.random_raw(count) >> np.uint64(11)) * 2.0**-53


def batch_indices(seed: int, epoch: int, size: int, batch_size: int) -> Int32[np.ndarray, "step {batch_size}"]:
    """Returns which examples make each batch of an epoch; those that fill no batch at its end are left out.

    Args:
        seed: seed of the run, 0 or more.
        epoch: number of the epoch, from 0.
        size: number of examples.
        batch_size: examples in a batch.

    Raises:
        InputError: as `count_batches` and `epoch_order`.
    """
    steps = count_batches(size, batch_size)
    return epoch_order(seed, epoch, size)[: steps * batch_size].reshape(steps, batch_size)


def count_batches(size: int, batch_size: int) -> int:
    """Returns the number of full batches in a number of examples.

    Raises:
        InputError: if the batch size is below 1 or larger than the number of examples.
    """
    if not 1 <= batch_size <= size:
        raise InputError(f"the batch size must be from 1 to {size}, the number of examples, got {batch_size}")
    return size // batch_size


def prefetch(batches: Iterable[Batch], size: int = 2) -> Iterator[Batch]:
    """Yields the batches while a background thread makes the next ones ready.

    An exception in `batches` is raised here, after the batches before it. The thread starts with the first batch asked
    for, and ends when the iterator does: used up, closed or dropped.

    Args:
        batches: what to yield.
        size: number of batches to keep ready.
    """
    ready: queue.Queue[tuple[Batch | None, BaseException | None]] = queue.Queue(size)
    abandoned = threading.Event()

    def put(batch: Batch | None, error: BaseException | None) -> None:
        while not abandoned.is_set():
            try:
                ready.put((batch, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        try:
            for batch in batches:
                put(batch, None)
                if abandoned.is_set():
                    return
            put(None, None)
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=produce, name="fcnn-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        abandoned.set()
        thread.join()
