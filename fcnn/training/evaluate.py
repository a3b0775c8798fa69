"""Evaluation that counts every example once."""

from collections.abc import Callable, Iterator

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Integer, Shaped

from fcnn import parallel
from fcnn.errors import InputError
from fcnn.training.batch import Batch, Metrics
from fcnn.training.fetch import fetch
from fcnn.training.state import TrainState
from fcnn.training.step import PredictStep


def evaluate(
    state: TrainState,
    evaluate_batch: Callable[[TrainState, Batch], Metrics],
    split: tuple,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
) -> dict[str, float]:
    """Returns the means over a whole set: "loss", "top1", and "top5" with more than five classes.

    Exact on any batch size and number of devices: the last batch is padded and masked, sums and counts are added up and
    divided once.

    Args:
        state: what to evaluate.
        evaluate_batch: what `make_eval_step` returned.
        split: (images [n, height, width, channel], labels [n]), such as `dataset.test`.
        batch_size: examples a call; with a mesh, rounded up to a multiple of its devices.
        mesh: the mesh that the step was made for.

    Raises:
        InputError: if the set is empty or the labels are not as many as the images.
    """
    sums = list(fetch(evaluate_batch(state, batch) for batch in _padded_batches(*split, batch_size, mesh)))
    totals = {name: sum(float(each[name]) for each in sums) for name in sums[0]}
    count = totals.pop("count")
    return {name: total / count for name, total in totals.items()}


def predict(
    state: TrainState, predict_batch: PredictStep, split: tuple, *, batch_size: int, mesh: Mesh | None = None
) -> Float[np.ndarray, "n ..."]:
    """Returns what a network gives for every example of a set, its logits, in the set's order.

    Args:
        state: whose network.
        predict_batch: what `make_predict_step` returned, or the `predict` of what `make_eval_step` returned.
        split: (images, labels).
        batch_size: examples a call.
        mesh: the mesh that the step was made for.
    """
    outputs = [np.asarray(predict_batch(state, batch)) for batch in _padded_batches(*split, batch_size, mesh)]
    return np.concatenate(outputs)[: len(split[1])]


def _padded_batches(
    images: Shaped[np.ndarray, "n height width channel"],
    labels: Integer[np.ndarray, " label"],
    batch_size: int,
    mesh: Mesh | None,
) -> Iterator[Batch]:
    """Yields the examples in their order, the last batch filled up with zeros whose mask is 0."""
    if len(images) != len(labels) or len(images) == 0:
        raise InputError(
            f"to evaluate takes as many labels as images and at least one: got {len(images)} and {len(labels)}"
        )
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, got {batch_size}")
    batch_size = min(batch_size, len(images))
    if mesh is not None:
        batch_size += -batch_size % mesh.size
    for start in range(0, len(images), batch_size):
        count = min(batch_size, len(images) - start)
        batch = {
            "image": images[start : start + count],
            "label": labels[start : start + count],
            "mask": np.ones(count, np.float32),
        }
        if count < batch_size:
            batch = {name: np.pad(x, ((0, batch_size - count), *((0, 0),) * (x.ndim - 1))) for name, x in batch.items()}
        yield batch if mesh is None else parallel.shard_batch(mesh, batch)
