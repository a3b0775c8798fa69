"""The sums that are taken over a batch: of the losses, and of what the task measures."""

import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from fcnn.errors import InputError
from fcnn.training.batch import Metrics
from fcnn.training.contracts import TaskContract


def without_masked_gradients(outputs: PyTree, batch: Mapping[str, Any]) -> PyTree:
    """Returns outputs that pass no gradient on to masked examples, for whose zeros a loss may have none, as 0 / 0.

    Args:
        outputs: the network's; those of its arrays that begin with the batch are meant.
        batch: what `checked_batch` returned.
    """
    counted = batch["mask"] != 0

    def of_counted(output):
        if jnp.shape(output)[:1] != counted.shape:
            return output
        return jnp.where(counted.reshape(-1, *[1] * (output.ndim - 1)), output, jax.lax.stop_gradient(output))

    return jax.tree.map(of_counted, outputs)


def total_size(task: TaskContract, batch: Mapping[str, Any]) -> Array:
    """Returns what the losses of a batch are divided by: its examples, or what their losses are sums over."""
    counted = batch["mask"] != 0
    return jnp.sum(counted if task.size is None else jnp.where(counted, task.size(batch), 0))


def loss_sums(task: TaskContract, outputs: PyTree, batch: Mapping[str, Any], *, train: bool) -> Metrics:
    """Returns the sums of the losses over a batch: "loss", and with several terms each as "loss_NAME".

    An output with auxiliary heads has the task's losses for each of them too, times the head's weight.

    Args:
        task: the task.
        outputs: the network's.
        batch: what `checked_batch` returned.
        train: whether the losses are those of training.

    Raises:
        InputError: if a loss is not a number for each example, or a weight is of none of them.
    """
    losses_of = task.losses if train or task.evaluation_losses is None else task.evaluation_losses
    heads = tuple(zip(outputs.weights, outputs.auxiliary, strict=True)) if hasattr(outputs, "auxiliary") else ()
    terms: dict[str, tuple[float, ArrayLike]] = {
        name: (task.weights.get(name, 1), _of_each(name, losses, batch))
        for name, losses in losses_of(outputs.logits if heads else outputs, batch).items()
    }
    unknown = sorted(task.weights.keys() - terms.keys()) if train else []
    if unknown:
        raise InputError(
            f"the task {task.name!r} has weights for {', '.join(map(repr, unknown))}, its losses are "
            f"{', '.join(map(repr, terms)) or 'none'}: name the weights as the losses"
        )
    main = _weighted_sum(terms.values())
    for number, (weight, logits) in enumerate(heads, start=1):
        weight = weight if task.auxiliary_weight is None else task.auxiliary_weight
        of_head = losses_of(logits, batch).items()
        head = _weighted_sum([(task.weights.get(name, 1), _of_each(name, losses, batch)) for name, losses in of_head])
        terms[f"auxiliary_{number}"] = (weight, head)
        main = main + weight * head
    if not terms:
        return {}
    counted = batch["mask"] != 0
    each = {f"loss_{name}": losses for name, (_, losses) in terms.items()} if len(terms) > 1 else {}
    return {name: jnp.sum(jnp.where(counted, losses, 0)) for name, losses in {"loss": main, **each}.items()}


def metric_sums(task: TaskContract, outputs: PyTree, batch: Mapping[str, Any], *, train: bool) -> Metrics:
    """Returns all sums over a batch: of the losses, of what the task measures, and the "count" of examples.

    Args:
        task: the task.
        outputs: the network's.
        batch: what `checked_batch` returned.
        train: whether the losses are those of training.

    Raises:
        InputError: as `loss_sums`, or if the task measures something under a name of the losses or of the step.
    """
    sums = loss_sums(task, outputs, batch, train=train) | {"count": jnp.sum(batch["mask"] != 0)}
    if task.size is not None:
        sums["size"] = total_size(task, batch)
    main = outputs.logits if hasattr(outputs, "auxiliary") else outputs
    predictions = task.predict(main)
    if task.record is not None:
        task.record(predictions, batch)  # for the entries that it reads: nothing of it is computed here
    measured = dict(task.measure(predictions, batch))
    taken = sorted(name for name in measured if name == "size" or name.startswith("loss_"))
    if taken:
        raise InputError(
            f"the task {task.name!r} measures {', '.join(map(repr, taken))}, a name that the step gives: take another"
        )
    # "loss" and "count" may be measured too: those of the step are as exact, and are what is minimised.
    return measured | sums


def _weighted_sum(terms):
    weighted = [losses if weight == 1 else weight * losses for weight, losses in terms]
    return functools.reduce(operator.add, weighted) if weighted else 0


def _of_each(name: str, losses: Float[Array, "..."], batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    if losses.shape != batch["mask"].shape:
        raise InputError(
            f"the loss {name!r} must give a number for each example, shape {list(batch['mask'].shape)}, got "
            f"{list(losses.shape)}: add up over everything but the batch"
        )
    return losses
