"""Batches: what may be in one, and what is counted over one."""

from collections.abc import Mapping

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from fcnn.errors import InputError

Batch = Mapping[str, ArrayLike]
Metrics = dict[str, Array]


def checked_batch(batch: Batch) -> dict[str, Array]:
    """Returns a batch with a mask of 0 and 1; what is masked holds zeros.

    Args:
        batch: "label" [batch] and, where they are there, "image" [batch, ...] and "mask" [batch].

    Raises:
        InputError: if the labels are not an integer for each image.
    """
    batch = {name: jnp.asarray(batch[name]) for name in ("image", "label", "mask") if name in batch}
    label = batch["label"]
    if label.ndim != 1 or not jnp.issubdtype(label.dtype, jnp.integer):
        raise InputError(f"labels must be integers [batch], got {label.dtype} {list(label.shape)}: take class numbers")
    if any(array.shape[:1] != label.shape for array in batch.values()):
        sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in batch.items())
        raise InputError(f"a batch must have as many labels as images, got {sizes}")
    if "mask" not in batch:
        return batch | {"mask": jnp.ones(label.shape, jnp.float32)}
    counted = batch["mask"] != 0
    # Zero times what is not a number is not a number: a masked example must not even be computed with.
    return {
        name: jnp.where(counted.reshape(-1, *[1] * (array.ndim - 1)), array, jnp.zeros((), array.dtype))
        for name, array in batch.items()
    } | {"mask": counted.astype(jnp.float32)}


def metric_sums(
    losses: Float[Array, " batch"], logits: Float[Array, "batch class"], batch: Mapping[str, Array]
) -> Metrics:
    """Returns the sums over a batch: "loss", "top1", "count", and "top5" with more than five classes.

    Args:
        losses: of the examples; a masked one may be anything, not a number included.
        logits: unnormalised log-probabilities.
        batch: what `checked_batch` returned.
    """
    counted = batch["mask"] != 0
    label_logits = jnp.take_along_axis(logits, batch["label"][:, None], axis=-1)
    # How many classes stand before the label; among equal logits the lower class does, as in argmax.
    before = (logits > label_logits) | (
        (logits == label_logits) & (jnp.arange(logits.shape[-1]) < batch["label"][:, None])
    )
    # A label whose logit is not a number is never right.
    rank = jnp.where(jnp.isnan(label_logits[:, 0]), logits.shape[-1], before.sum(axis=-1))
    sums = {
        "loss": jnp.sum(jnp.where(counted, losses, 0)),
        "top1": jnp.sum(counted & (rank < 1)),
        "count": jnp.sum(counted),
    }
    return sums | ({"top5": jnp.sum(counted & (rank < 5))} if logits.shape[-1] > 5 else {})
