"""The calls of an epoch: one step with a batch from the host, or several with examples that live on the device."""

import math
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh

from fcnn import parallel
from fcnn.arrays import named_arrays
from fcnn.training.contracts import Loader, ResidentLoader
from fcnn.training.inputs import check_values
from fcnn.training.step import scan_steps


def plan_calls(
    step: Callable, loader: Loader, *, steps_per_call: int, resident_bytes: int, mesh: Mesh | None
) -> tuple[Callable, Callable[[int, int], Iterator[tuple]]]:
    """Returns how to do some steps, and what with from a position of an epoch on.

    Args:
        step: the train step.
        loader: the batches.
        steps_per_call: steps in one compiled call, where the examples are on the device.
        resident_bytes: examples up to this size are put on the device whole.
        mesh: the mesh of the step.

    Returns:
        `(state, *arguments) -> (state, metrics)`, and `(epoch, start) -> the arguments of each call`.

    Raises:
        InputError: if the examples hold values that the task cannot use.
    """
    task = getattr(step, "task", None)
    arrays = named_arrays(loader.split) if isinstance(loader, ResidentLoader) else {}
    if not isinstance(loader, ResidentLoader) or sum(array.nbytes for array in arrays.values()) > resident_bytes:

        def batches(epoch, start):
            for batch in loader.batches(epoch, start):
                check_values(task, batch)
                yield (batch if mesh is None else parallel.shard_batch(mesh, batch),)

        return step, batches

    check_values(task, arrays)
    examples = jax.device_put(arrays) if mesh is None else parallel.replicate(mesh, arrays)
    several = scan_steps(step, mesh)
    # Calls of equal length, if they can be: every other length is compiled anew.
    length = math.ceil(loader.steps_per_epoch / math.ceil(loader.steps_per_epoch / steps_per_call))

    def index_blocks(epoch, start):
        indices = loader.indices(epoch)
        for first in range(start, len(indices), length):
            block = indices[first : first + length]
            yield examples, block if mesh is None else parallel.replicate(mesh, block)

    return several, index_blocks
