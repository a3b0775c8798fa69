"""Losses and penalties."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, PyTree

from fcnn.errors import InputError

Loss = Callable[[Float[Array, "batch class"], Float[Array, "batch class"]], Float[Array, " batch"]]


def cross_entropy(logits: Float[Array, "batch class"], targets: Float[Array, "batch class"]) -> Float[Array, " batch"]:
    """Returns the cross-entropy of each example in nats.

    Args:
        logits: unnormalised log-probabilities.
        targets: probabilities.
    """
    return optax.softmax_cross_entropy(logits, targets)


def smooth_labels(
    labels: Integer[Array, " batch"], num_classes: int, smoothing: float = 0.0
) -> Float[Array, "batch class"]:
    """Returns target probabilities: `1 - smoothing` on the label and `smoothing` spread evenly over all classes.

    A label that is none of the classes has no target: its probabilities are not numbers, and so is any loss of them.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """
    labels = labels.astype(jnp.int32)  # a byte cannot be compared with 1,000 classes
    targets = optax.smooth_labels(jax.nn.one_hot(labels, num_classes), smoothing)
    return jnp.where(((labels >= 0) & (labels < num_classes))[:, None], targets, jnp.nan)


def loss_of_each(
    loss: Loss, logits: Float[Array, "batch class"], targets: Float[Array, "batch class"]
) -> Float[Array, " batch"]:
    """Returns what a loss gives for each example.

    Raises:
        InputError: if it does not give a number for each.
    """
    losses = loss(logits, targets)
    if losses.shape != logits.shape[:1]:
        raise InputError(
            f"the loss must give a number for each example, shape {list(logits.shape[:1])}, got {list(losses.shape)}: "
            "add up over the classes, not over the batch"
        )
    return losses


def kernel_penalty(params: PyTree, *, l1: float = 0.0, l2: float = 0.0) -> Float[Array, ""]:
    """Returns `l1 * sum |w| + l2 / 2 * sum w^2` over all kernels; biases and BatchNorm's scales are not penalised.

    With plain gradient descent `l2` is what optimizers call weight decay.
    """
    kernels = [
        leaf for leaf, is_kernel in zip(*map(jax.tree.leaves, (params, kernels_of(params))), strict=True) if is_kernel
    ]
    total = jnp.zeros(())
    if l1:
        total += l1 * sum(jnp.sum(jnp.abs(kernel)) for kernel in kernels)
    if l2:
        total += l2 / 2 * sum(jnp.sum(kernel**2) for kernel in kernels)
    return total


def kernels_of(params: PyTree) -> PyTree:
    """Returns a tree like `params` that is True at every kernel: what weight decay and penalties apply to."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)
