"""From the sums of a whole set to its metrics; the sums are added up on the host, exactly where they are integers."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import PyTree

from fcnn.errors import InputError
from fcnn.training.contracts import TaskContract

_OF_THE_STEP = ("count", "size")


def add_sums(sums: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the totals of several batches: integers as 64-bit integers, all else in float64.

    Args:
        sums: what the steps returned, on the host.
    """
    totals: dict[str, Any] = {}
    for batch in sums:
        for name, value in batch.items():
            totals[name] = wide(value) + totals.get(name, 0)
    return totals


def wide(value: Any) -> np.ndarray:
    """Returns a number or an array in the widest type of its kind."""
    array = np.asarray(value)
    return array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) or array.dtype == bool else np.float64)


def finish(task: TaskContract | None, totals: Mapping[str, Any], records: PyTree = None) -> dict[str, float]:
    """Returns the metrics of a whole set.

    Args:
        task: the task; None where a step has none, and each sum is divided by the count.
        totals: the sums over the set.
        records: the task's records of all examples; None in training, where nothing is recorded.

    Raises:
        InputError: if a metric is not a number, or the examples are not counted.
    """
    if "count" not in totals:
        raise InputError(
            f'the sums must have the "count" of examples, got {", ".join(totals) or "none"}: add it to them'
        )
    count = float(totals["count"]) or 1.0
    size = float(totals.get("size", count)) or 1.0
    losses = {name: value / size for name, value in totals.items() if name == "loss" or name.startswith("loss_")}
    measured = {name: value for name, value in totals.items() if name not in losses and name not in _OF_THE_STEP}
    means = {name: value / count for name, value in measured.items()}
    if task is None or task.metrics is None:
        return numbers(losses | means)
    totals = dict(totals)
    if task.record is None:
        return numbers(losses | dict(task.metrics(totals)))
    if records is None:
        return numbers(losses | {name: mean for name, mean in means.items() if np.ndim(mean) == 0})
    return numbers(losses | dict(task.metrics(totals, records)))


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns metrics as Python's floats.

    Args:
        metrics: numbers of any library, or arrays without dimensions.

    Raises:
        InputError: if one is something else.
    """
    for name, value in metrics.items():
        if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number):
            found = f"an array {list(np.shape(value))}" if np.ndim(value) else repr(value)
            raise InputError(f"the metric {name!r} must be a number, got {found}: give one number for each name")
    return {name: float(value) for name, value in metrics.items()}


def score_of(task: TaskContract | None, metrics: Mapping[str, float]) -> float | None:
    """Returns what chooses the best checkpoint, the higher the better; None where it was not measured or is NaN.

    Args:
        task: the task, or None.
        metrics: of the validation examples.
    """
    best = "-loss" if task is None else task.best
    value = metrics.get(best.removeprefix("-"))
    if value is None or math.isnan(value):
        return None
    return -value if best.startswith("-") else value


def shown(task: TaskContract | None, metrics: Mapping[str, float], loss: str = "{:.4f}") -> str:
    """Returns a line of the loss and the metrics that a task shows.

    Args:
        task: the task, or None, for which all metrics are shown.
        metrics: the metrics.
        loss: format of the loss.
    """
    formats = formats_of(task, metrics)
    parts = [f"loss {loss.format(metrics['loss'])}"] if "loss" in metrics else []
    return " ".join(parts + [text.format(metrics[name]) for name, text in formats.items() if name in metrics])


def formats_of(task: TaskContract | None, metrics: Mapping[str, float]) -> dict[str, str]:
    """Returns how each metric that is shown is written, the loss aside."""
    if task is not None and task.shown:
        return dict(task.shown)
    names = [task.best.removeprefix("-")] if task is not None else [name for name in metrics if name[:5] != "loss_"]
    return {name: f"{name} {{:.4g}}" for name in names if name != "loss"}
