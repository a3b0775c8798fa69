"""What a task is, as a value."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from fcnn.arrays import as_they_are

# Not of arrays: to check their types at run time reads them, and what is read counts as asked for.
Batch = Mapping[str, Any]


def apply_to_images(
    model: Any, variables: Mapping[str, Any], batch: Batch, *, train: bool, rngs: Mapping[str, Key[Array, ""]]
) -> tuple[Any, Mapping[str, Any]]:
    """Returns the outputs of a network for `batch["image"]`, and what BatchNorm has updated.

    Args:
        model: a Flax module, or anything else with `apply(variables, images, train=...)`.
        variables: its variables.
        batch: a batch with "image".
        train: whether the network is trained or evaluated.
        rngs: the random keys of a step, {"dropout": ...}; {} in evaluation.
    """
    if not train:
        return model.apply(variables, batch["image"], train=False), {}
    return model.apply(variables, batch["image"], train=True, rngs=rngs, mutable=["batch_stats"])


def nothing(predictions: Any, batch: Batch) -> dict[str, Array]:
    """Returns no sums: the loss alone is measured."""
    return {}


class Task(NamedTuple):
    """What a network is trained for: from a batch and the network's outputs to losses and numbers.

    The functions are traced into the compiled steps, except `metrics` and `check`, which run on the host. A batch that
    they are given has a "mask" [batch], 1 where an example counts and 0 where it is padding, whose entries are zeros.
    An entry of a batch that no function reads is an error.

    Attributes:
        losses: `(outputs, batch) -> {name: [batch]}`. Their weighted sum over the names, as a mean over the examples,
            is minimised and logged as "loss"; where there are several, those of auxiliary heads among them, each is
            logged as "loss_NAME". Empty where the outputs have none (such as detections in evaluation).
        apply: `(model, variables, batch, *, train, rngs) -> (outputs, updates)`.
        predict: `outputs -> predictions`, a tree of arrays [batch, ...].
        measure: `(predictions, batch) -> {name: array}`, sums over the examples whose mask is 1, of any shape. Integers
            are added up exactly. "count", the number of examples, is there without it.
        metrics: `totals -> {name: float}` from the sums of a whole set; `(totals, records) -> ...` for a task with
            records. None divides each sum by the count, and so do the rows of training for a task with records, as far
            as sums are numbers: nothing is recorded there. The losses are added to it.
        best: the metric that chooses the best checkpoint: the higher the better, or with "-" before it the lower.
        name: names the task in messages, and chooses the sections of a report.
        weights: of the losses by name; 1 for those that are not in it.
        size: `batch -> [batch]`: how many things an example's losses are sums over, such as its labelled pixels. The
            mean is over these. None counts each example once.
        evaluation_losses: the losses of evaluation, where they differ from those of training; None if they do not.
        auxiliary_weight: weight of the losses of auxiliary heads; None takes the network's own.
        record: `(predictions, batch) -> tree of arrays [batch, ...]`: what cannot be summed, such as the scores of
            average precision; brought to the host for every example of a set, and handed to `metrics`.
        check: raises an error for a batch of NumPy arrays, as it is stored, whose values cannot be used; shapes and
            types are known to the other functions. An entry that the augmentation makes is not there yet.
        shown: format of each metric that is shown while a network trains, such as {"top1": "top-1 {:.2%}"}; without
            any, the best one is shown.
    """

    losses: Callable[[Any, Batch], Mapping[str, Float[Array, " batch"]]]
    apply: Callable[..., tuple[Any, Mapping[str, Any]]] = apply_to_images
    predict: Callable[[Any], Any] = as_they_are
    measure: Callable[[Any, Batch], Mapping[str, Array]] = nothing
    metrics: Callable[..., Mapping[str, float]] | None = None
    best: str = "-loss"
    name: str = "task"
    weights: Mapping[str, float] = MappingProxyType({})
    size: Callable[[Batch], Shaped[Array, " batch"]] | None = None
    evaluation_losses: Callable[[Any, Batch], Mapping[str, Float[Array, " batch"]]] | None = None
    auxiliary_weight: float | None = None
    record: Callable[[Any, Batch], Any] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None
    shown: Mapping[str, str] = MappingProxyType({})


def masked_sum(values: Shaped[Array, "batch *rest"], batch: Batch) -> Array:
    """Returns the sum over the examples that count; a masked one may hold anything, NaN included.

    Args:
        values: of each example; booleans and integers are added up as integers.
        batch: with its "mask".
    """
    counted = (batch["mask"] != 0).reshape(-1, *[1] * (values.ndim - 1))
    return jnp.sum(jnp.where(counted, values, 0), axis=0)
