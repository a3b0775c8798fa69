"""Classification: one class an image."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer, Shaped

from fcnn.errors import InputError
from fcnn.tasks.task import Batch, Task, masked_sum

Loss = Callable[[Float[Array, "batch class"], Float[Array, "batch class"]], Float[Array, " batch"]]


def cross_entropy(
    logits: Float[Array, "*batch class"], targets: Float[Array, "*batch class"]
) -> Float[Array, "*batch"]:
    """Returns the cross-entropy of each example in nats.

    Args:
        logits: unnormalised log-probabilities.
        targets: probabilities.
    """
    return optax.softmax_cross_entropy(logits, targets)


def classification(*, loss: Loss = cross_entropy, label_smoothing: float = 0.0) -> Task:
    """Returns the task of telling the class of an image; the network's outputs are logits [batch, class].

    "label" holds class numbers [batch], or probabilities [batch, class] as after mixup. The metrics are "loss", "top1",
    and "top5" with more than five classes. For probabilities, the right class is the one with the largest share: after
    mixup, "train_top1" is how often the network names the heavier of two images.

    Args:
        loss: `(logits, target probabilities) -> loss of each example`.
        label_smoothing: share of the target probability that is spread evenly over all classes, in training
            (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7).

    Raises:
        InputError: if the smoothing is out of its range; (the steps) if labels are neither.
    """
    check_smoothing(label_smoothing)

    def losses_with(smoothing):
        def losses(logits, batch):
            return {"main": loss(logits, target_probabilities(batch["label"], logits.shape[-1], smoothing))}

        return losses

    return Task(
        losses=losses_with(label_smoothing),
        evaluation_losses=losses_with(0.0),
        measure=_right_answers,
        check=check_probabilities,
        best="top1",
        name="classification",
        shown={"top1": "top-1 {:.2%}"},
    )


def target_probabilities(
    labels: Shaped[Array, "batch *class"], num_classes: int, smoothing: float = 0.0
) -> Float[Array, "batch {num_classes}"]:
    """Returns target probabilities: `1 - smoothing` on the label and `smoothing` spread evenly over all classes.

    A label that is none of the classes has no target: its probabilities are NaN, and so is any loss of them.

    Args:
        labels: class numbers [batch], or probabilities [batch, class].
        num_classes: number of classes.
        smoothing: share that is spread.

    Raises:
        InputError: if the labels are neither.
    """
    if labels.shape[1:] == (num_classes,) and jnp.issubdtype(labels.dtype, jnp.floating):
        return optax.smooth_labels(labels.astype(jnp.float32), smoothing)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"labels must be integers [batch] or probabilities [batch, {num_classes}], got {labels.dtype} "
            f"{list(labels.shape)}: take class numbers"
        )
    return smooth_labels(labels, num_classes, smoothing)


def smooth_labels(
    labels: Integer[Array, "*batch"], num_classes: int, smoothing: float = 0.0
) -> Float[Array, "*batch {num_classes}"]:
    """Returns the target probabilities of class numbers; see `target_probabilities`."""
    labels = labels.astype(jnp.int32)  # a byte cannot be compared with 1,000 classes
    targets = optax.smooth_labels(jax.nn.one_hot(labels, num_classes), smoothing)
    return jnp.where(((labels >= 0) & (labels < num_classes))[..., None], targets, jnp.nan)


def check_probabilities(batch: Mapping[str, Any]) -> None:
    """Refuses targets that are probabilities and do not sum to 1, or are negative.

    Args:
        batch: NumPy arrays, "mask" [batch] and "label" [batch, class]; without such labels, it is the step that refuses
            them, or its augmentation that makes them.

    Raises:
        InputError: which names the first such example.
    """
    labels = np.asarray(batch.get("label"))
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.floating):
        return
    sums = labels.sum(axis=-1, dtype=np.float64)
    wrong = ~((np.abs(sums - 1) < 1e-3) & (labels >= 0).all(axis=-1)) & (batch["mask"] != 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"target probabilities must be at least 0 and sum to 1 for each example, those of example {first} are "
            f"{np.array2string(labels[first], precision=3, threshold=6)} with the sum {sums[first]:.3f}: normalise them"
        )


def check_smoothing(label_smoothing: float) -> None:
    """Refuses a label smoothing that is out of its range.

    Raises:
        InputError: if it is.
    """
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label smoothing must be at least 0 and less than 1, got {label_smoothing}")


def _right_answers(logits: Float[Array, "batch class"], batch: Batch) -> dict[str, Array]:
    """Returns how many labels have the highest logit, and with more than five classes one of the five highest."""
    label = batch["label"] if batch["label"].ndim == 1 else batch["label"].argmax(axis=-1)
    label_logits = jnp.take_along_axis(logits, label[:, None], axis=-1)
    # How many classes stand before the label; among equal logits the lower class does, as in argmax.
    before = (logits > label_logits) | ((logits == label_logits) & (jnp.arange(logits.shape[-1]) < label[:, None]))
    # A label whose logit is NaN is never right.
    rank = jnp.where(jnp.isnan(label_logits[:, 0]), logits.shape[-1], before.sum(axis=-1))
    right = {"top1": masked_sum(rank < 1, batch)}
    return right | ({"top5": masked_sum(rank < 5, batch)} if logits.shape[-1] > 5 else {})
