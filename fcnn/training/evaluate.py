"""Evaluation that counts every example once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from fcnn import parallel
from fcnn.arrays import EvaluationBatches, count_examples, named_arrays
from fcnn.errors import InputError
from fcnn.training.batch import Batch, Metrics
from fcnn.training.evaluation_step import EvalStep
from fcnn.training.fetch import fetch
from fcnn.training.inputs import check_values
from fcnn.training.metrics import add_sums, finish
from fcnn.training.state import TrainState

Examples = Mapping[str, Any] | tuple | EvaluationBatches


def evaluate(
    state: TrainState,
    evaluate_batch: Callable[[TrainState, Batch], Metrics],
    examples: Examples,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
) -> dict[str, float]:
    """Returns the metrics over a whole set: the losses, and those of the task.

    Exact on any batch size and number of devices: the last batch is padded and masked, sums are added up and divided
    once. A task's records are brought to the host without the padded examples.

    Args:
        state: what to evaluate.
        evaluate_batch: what `make_eval_step` returned, or any `(state, batch) -> sums`.
        examples: named arrays [n, ...], a pair (images, labels) such as `dataset.test`, or what gives its own batches
            (`EvaluationBatches`).
        batch_size: examples a call; with a mesh, rounded up to a multiple of its devices.
        mesh: the mesh that the step was made for; the step's own without it.

    Raises:
        InputError: if the set is empty or its arrays differ in length, or a batch is not what the task takes.
    """
    task = getattr(evaluate_batch, "task", None)
    return finish(task, *measure_examples(state, evaluate_batch, examples, batch_size=batch_size, mesh=mesh))


def measure_examples(
    state: TrainState,
    evaluate_batch: EvalStep | Callable[[TrainState, Batch], Metrics],
    examples: Examples,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    visit: Callable[[dict[str, Any], PyTree], None] | None = None,
) -> tuple[dict[str, Any], PyTree]:
    """Returns the sums over a whole set, and the task's records of its examples (None for a task without).

    Args:
        state: as for `evaluate`.
        evaluate_batch: as for `evaluate`.
        examples: as for `evaluate`.
        batch_size: as for `evaluate`.
        mesh: as for `evaluate`.
        visit: called with each batch and the predictions for it, as NumPy arrays without the padded examples; it needs
            a step of `make_eval_step`.

    Raises:
        InputError: as `evaluate`, or the step has no predictions or records to give.
    """
    task = getattr(evaluate_batch, "task", None)
    mesh = mesh or getattr(evaluate_batch, "mesh", None)
    has_records = task is not None and task.record is not None
    if (has_records or visit is not None) and not isinstance(evaluate_batch, EvalStep):
        raise InputError("the predictions and records of a set need a step of make_eval_step, not one of your own")
    records = []

    def results():
        for batch in padded_batches(examples, batch_size, mesh):
            check_values(task, batch)
            placed = batch if mesh is None else parallel.shard_batch(mesh, batch)
            if not isinstance(evaluate_batch, EvalStep) or (visit is None and not has_records):
                yield evaluate_batch(state, placed), None, None, None
                continue
            outputs = evaluate_batch.outputs(state, placed)
            record = evaluate_batch.record(outputs, placed) if has_records else None
            predictions = None if visit is None else evaluate_batch.predictions(outputs)
            yield evaluate_batch.measure(outputs, placed), record, predictions, batch

    def sums():
        for totals, record, predictions, batch in fetch(results()):
            if record is not None:
                records.append(without_padding(record, batch["mask"]))
            if visit is not None and np.any(batch["mask"]):
                visit(without_padding(batch, batch["mask"]), without_padding(predictions, batch["mask"]))
            yield totals

    return add_sums(sums()), joined(records) if records else None


def predict(
    state: TrainState,
    predict_batch: EvalStep | Callable[[TrainState, Batch], PyTree],
    examples: Examples,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
) -> PyTree:
    """Returns the predictions for every example of a set, such as logits, in the set's order.

    Args:
        state: whose network.
        predict_batch: what `make_eval_step` or `make_predict_step` returned.
        examples: as for `evaluate`; all predictions must have one size.
        batch_size: examples a call.
        mesh: the mesh that the step was made for; the evaluation step's own without it.

    Returns:
        NumPy arrays [n, ...].
    """
    if isinstance(predict_batch, EvalStep):
        predict_batch, mesh = predict_batch.predict, mesh or predict_batch.mesh
    parts = []
    for batch in padded_batches(examples, batch_size, mesh):
        predictions = predict_batch(state, batch if mesh is None else parallel.shard_batch(mesh, batch))
        parts.append(without_padding(jax.device_get(predictions), batch["mask"]))
    return joined(parts)


def padded_batches(examples: Examples, batch_size: int, mesh: Mesh | None = None) -> Iterator[dict[str, Any]]:
    """Yields the examples in their order, the last batch filled up with zeros whose mask is 0.

    Args:
        examples: as for `evaluate`.
        batch_size: examples in a batch; with a mesh, rounded up to a multiple of its devices.
        mesh: where they will be placed.

    Raises:
        InputError: if there is no example, or the arrays differ in length.
    """
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, got {batch_size}")
    devices = 1 if mesh is None else mesh.size
    if isinstance(examples, EvaluationBatches):
        batches = examples.batches(batch_size + -batch_size % devices)
    else:
        batches = _batches_of(named_arrays(examples), batch_size, devices)
    for batch in batches:
        yield batch if "mask" in batch else {**batch, "mask": np.ones(count_examples(batch), np.float32)}


def without_padding(tree: PyTree, mask: np.ndarray) -> PyTree:
    """Returns the rows of arrays whose mask is not 0."""
    return jax.tree.map(lambda array: np.asarray(array)[np.asarray(mask) != 0], tree)


def joined(parts: Sequence[PyTree]) -> PyTree:
    """Returns trees of arrays as one, joined along the examples."""
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _batches_of(arrays: dict[str, Any], batch_size: int, devices: int) -> Iterator[dict[str, Any]]:
    size = count_examples(arrays)
    given = np.asarray(arrays.pop("mask", np.ones(size, np.float32)))
    batch_size = min(batch_size, size)
    batch_size += -batch_size % devices
    for start in range(0, size, batch_size):
        count = min(batch_size, size - start)
        batch = {name: array[start : start + count] for name, array in arrays.items()}
        batch["mask"] = given[start : start + count]
        if count < batch_size:
            batch = {name: _filled(array, batch_size) for name, array in batch.items()}
        yield batch


def _filled(array: Any, size: int) -> np.ndarray:
    return np.pad(array, ((0, size - len(array)), *((0, 0),) * (np.ndim(array) - 1)))
