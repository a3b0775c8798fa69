"""From a batch as it is stored to what the network sees."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from fcnn.errors import InputError
from fcnn.training.batch import AskedBatch, Batch, checked_batch
from fcnn.training.contracts import TaskContract
from fcnn.training.pixels import Prepare, to_unit_range


def evaluation_inputs(batch: Batch, prepare: Prepare | None, asked: set[str]) -> AskedBatch:
    """Returns a batch as a network sees it in evaluation.

    Args:
        batch: the batch.
        prepare: from images in 0..1 to the network's input; None leaves them.
        asked: the set to which the names of the entries that are read are added.
    """
    return AskedBatch(prepared(as_floats(checked_batch(batch)), prepare), asked)


def as_floats(batch: dict[str, Array]) -> dict[str, Array]:
    """Returns a batch whose images, if it has any, are in 0..1."""
    return batch | {"image": to_unit_range(batch["image"])} if "image" in batch else batch


def prepared(batch: dict[str, Array], prepare: Prepare | None) -> dict[str, Array]:
    """Returns a batch whose images, if it has any, are the network's input."""
    return batch | {"image": prepare(batch["image"])} if prepare is not None and "image" in batch else batch


def check_values(task: TaskContract | None, batch: Mapping[str, Any]) -> None:
    """Has a task check the values of a batch, where the host has them as they are.

    Args:
        task: the task; None, and one without a check, refuse nothing.
        batch: the batch.

    Raises:
        InputError: if the task refuses it, or an entry holds no numbers.
    """
    for name, array in batch.items():
        if getattr(getattr(array, "dtype", None), "kind", None) in ("O", "S", "U"):
            raise InputError(f"the entry {name!r} of the batch must hold numbers, got {array.dtype}: leave it out")
    sizes = {np.shape(array)[:1] for array in batch.values()}
    # A batch of unequal arrays is the step's to refuse.
    if task is None or task.check is None or len(sizes) != 1 or not all(map(_is_at_hand, batch.values())):
        return
    arrays = {name: np.asarray(array) for name, array in batch.items()}
    task.check(AskedBatch({"mask": np.ones(sizes.pop(), np.float32), **arrays}, set()))


def _is_at_hand(array: Any) -> bool:
    if isinstance(array, Tracer):
        return False
    if isinstance(array, jax.Array):
        return [device.platform for device in array.devices()] == ["cpu"]
    return True
