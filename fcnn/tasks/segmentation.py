"""Segmentation: a class for every pixel."""

from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from fcnn.errors import InputError
from fcnn.tasks.classification import check_smoothing, smooth_labels
from fcnn.tasks.task import Task


def segmentation(
    num_classes: int,
    *,
    ignore: int = 255,
    auxiliary_weight: float = 0.5,
    reduction: Literal["mean", "sum"] = "mean",
    label_smoothing: float = 0.0,
) -> Task:
    """Returns the task of telling the class of each pixel; the outputs are logits [batch, height, width, class].

    "label" holds class numbers [batch, height, width]. The loss is the cross-entropy of the pixels that are not
    `ignore`. The metrics are "loss" and the four of Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for
    Semantic Segmentation", section 5, from one confusion matrix of the whole set: "pixel_accuracy", "mean_accuracy",
    "mean_iou", "frequency_weighted_iou".

    Args:
        num_classes: number of classes, the background among them.
        ignore: the label of pixels that do not count.
        auxiliary_weight: weight of the loss of an auxiliary head, where the network has one.
        reduction: "mean" over all labelled pixels of the batch, as torchvision trains; "sum" over the pixels of an
            image, then the mean over the images, as the paper does.
        label_smoothing: share of the target probability that is spread evenly over all classes, in training.

    Raises:
        InputError: if a number is out of its range; (the steps) if logits and labels do not fit.
    """
    check_smoothing(label_smoothing)
    if num_classes < 2:
        raise InputError(f"segmentation tells at least two classes apart, the background among them, got {num_classes}")
    if 0 <= ignore < num_classes:
        raise InputError(f"the ignored label must be none of the classes 0 to {num_classes - 1}, got {ignore}")
    if reduction not in ("mean", "sum"):
        raise InputError(f"the loss of an image is the mean or the sum over its pixels, got {reduction!r}")
    if not auxiliary_weight >= 0:
        raise InputError(f"the weight of an auxiliary head must not be negative, got {auxiliary_weight}")

    def losses_with(smoothing):
        def losses(logits, batch):
            labels = _labels_for(logits, batch["label"], num_classes)
            counted = labels != ignore
            if smoothing:
                targets = smooth_labels(jnp.where(counted, labels, 0), num_classes, smoothing)
                pixels = optax.softmax_cross_entropy(logits, targets)
            else:
                pixels = _cross_entropy(logits, jnp.where(counted, labels, 0))
            return {"main": jnp.sum(jnp.where(counted, pixels, 0), axis=(1, 2))}

        return losses

    def labelled_pixels(batch):
        counted = batch["label"].astype(jnp.int32) != ignore
        return jnp.sum(counted, axis=tuple(range(1, counted.ndim)))  # of other labels, the losses tell

    def measure(logits, batch):
        labels = jnp.where((batch["mask"] != 0)[:, None, None], batch["label"].astype(jnp.int32), ignore)
        return {"confusion": confusion_matrix(labels, logits.argmax(axis=-1), num_classes)}

    def check(batch):
        check_label_maps(batch, num_classes, ignore)

    return Task(
        losses=losses_with(label_smoothing),
        evaluation_losses=losses_with(0.0),
        measure=measure,
        metrics=lambda totals: confusion_metrics(totals["confusion"]),
        size=labelled_pixels if reduction == "mean" else None,
        auxiliary_weight=auxiliary_weight,
        check=check,
        best="mean_iou",
        name="segmentation",
        shown={"mean_iou": "mean IoU {:.3f}", "pixel_accuracy": "pixel accuracy {:.2%}"},
    )


def confusion_matrix(
    labels: Int[Array, "batch height width"], predictions: Int[Array, "batch height width"], num_classes: int
) -> Int[Array, "label prediction"]:
    """Returns how many pixels of each class were taken for each class, exactly.

    Args:
        labels: class numbers; a pixel whose label is none of the classes does not count.
        predictions: class numbers.
        num_classes: number of classes.
    """
    inside = (labels >= 0) & (labels < num_classes)
    cells = jnp.where(inside, labels * num_classes + predictions, num_classes**2)
    counts = jnp.bincount(cells.reshape(-1), length=num_classes**2 + 1)
    return counts[:-1].reshape(num_classes, num_classes)


def class_ious(confusion: Shaped[Any, "label prediction"]) -> Float[np.ndarray, " class"]:
    """Returns the intersection over union of each class; NaN for one that is neither labelled nor predicted.

    Args:
        confusion: number of pixels for each label and prediction.
    """
    confusion = np.asarray(confusion, np.float64)
    hits = np.diagonal(confusion)
    return _shares(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def confusion_metrics(confusion: Shaped[Any, "label prediction"]) -> dict[str, float]:
    """Returns the four metrics of Long, Shelhamer and Darrell 2015, section 5.

    A class that is neither labelled nor predicted is left out of the mean IoU, one that is predicted only counts as 0,
    as in the paper's own code and on the server of PASCAL VOC; one that is not labelled is left out of the mean
    accuracy. Without any labelled pixel all four are NaN.

    Args:
        confusion: number of pixels for each label and prediction, over a whole set.
    """
    confusion = np.asarray(confusion, np.float64)
    hits, labelled = np.diagonal(confusion), confusion.sum(axis=1)
    if labelled.sum() == 0:
        return dict.fromkeys(("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"), float("nan"))
    ious = class_ious(confusion)
    return {
        "pixel_accuracy": float(hits.sum() / labelled.sum()),
        "mean_accuracy": float(np.nanmean(_shares(hits, labelled))),
        "mean_iou": float(np.nanmean(ious)),
        "frequency_weighted_iou": float(np.nansum(labelled * ious) / labelled.sum()),
    }


def check_label_maps(batch: Mapping[str, Any], num_classes: int, ignore: int) -> None:
    """Refuses labels that are none of the classes and not ignored.

    Args:
        batch: NumPy arrays, "mask" [batch] and "label" [batch, height, width]; without such labels, it is the step
            that refuses them, or its augmentation that makes them.
        num_classes: number of classes.
        ignore: the label of pixels that do not count.

    Raises:
        InputError: which names the first such example.
    """
    labels = np.asarray(batch.get("label"))
    if labels.ndim != 3 or not np.issubdtype(labels.dtype, np.integer):
        return
    counted = (batch["mask"] != 0)[:, None, None] & (labels != ignore)
    wrong = counted & ((labels < 0) | (labels >= num_classes))
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise InputError(
            f"labels must be from 0 to {num_classes - 1}, or {ignore} where a pixel does not count: example {place[0]} "
            f"has {labels[place]} at row {place[1]}, column {place[2]}; give the num_classes or ignore of the labels"
        )


def _labels_for(logits: Array, labels: Array, num_classes: int) -> Array:
    if logits.shape[-1] != num_classes or logits.ndim != 4:
        raise InputError(
            f"the network must give logits [batch, height, width, {num_classes}] for this task, got "
            f"{list(logits.shape)}: create it with num_classes={num_classes}"
        )
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"labels must be integers {list(logits.shape[:-1])}, one for each pixel, got {labels.dtype} "
            f"{list(labels.shape)}: give each mask the size of its image"
        )
    return labels.astype(jnp.int32)


def _cross_entropy(logits: Float[Array, "*batch class"], labels: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    # Without target probabilities, which would take as much memory as the logits of all pixels.
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.where((labels >= 0) & (labels < logits.shape[-1]), losses, jnp.nan)


def _shares(parts: Float[np.ndarray, " class"], wholes: Float[np.ndarray, " class"]) -> Float[np.ndarray, " class"]:
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)
