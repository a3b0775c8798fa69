"""Three tasks that the library does not know, written as a user would: public names, and nothing of fcnn touched."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
from states import new_state

import fcnn


class Guest(NamedTuple):
    """A task with a network and examples for it, and what its metrics are, computed by other means.

    Attributes:
        task: the task.
        model: a network.
        make: `dataset.train or .test -> named arrays`.
        expected: `(predictions, named arrays) -> metrics`, in NumPy.
        augment: in training.
    """

    task: fcnn.tasks.Task
    model: nn.Module
    make: Callable[[fcnn.Split], dict[str, np.ndarray]]
    expected: Callable[[np.ndarray, Mapping[str, Any]], dict[str, float]]
    augment: Callable | None = None


# The angle of a rotated digit: regression.


class Regressor(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Dense(24, name="hidden")(images.reshape(len(images), -1)))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(1, name="output")(x)[:, 0]


def rotated(split):
    angles = np.random.default_rng(1).uniform(-1, 1, len(split.images)).astype(np.float32)
    matrices = jnp.moveaxis(jnp.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]), -1, 0)
    images = jnp.asarray(split.images) / 255
    turned = fcnn.augment.affine_resample(images, matrices, jnp.zeros((len(angles), 2)))
    return {"image": np.asarray(turned), "angle": angles}


def angle():
    def losses(outputs, batch):
        return {"loss": (outputs - batch["angle"]) ** 2}

    def measure(predictions, batch):
        error = jnp.rad2deg(jnp.abs(predictions - batch["angle"]))
        return {"angle_error": fcnn.tasks.masked_sum(error, batch)}

    return fcnn.tasks.Task(losses=losses, measure=measure, best="-angle_error", name="angle")


def expected_angle(predictions, arrays):
    error = predictions.astype(np.float64) - arrays["angle"]
    return {"loss": np.mean(error**2), "angle_error": np.mean(np.abs(np.rad2deg(error)))}


# Which digits a picture holds: several labels an image, and a metric that needs all scores in one order.


class Tagger(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Dense(32, name="hidden")(images.reshape(len(images), -1)))
        return nn.Dense(10, name="output")(x)


def pairs(split):
    one_hot = np.eye(10, dtype=np.uint8)[split.labels]
    side_by_side = np.concatenate([split.images, split.images[::-1]], axis=2)
    return {"image": side_by_side, "present": np.maximum(one_hot, one_hot[::-1])}


def tags():
    def losses(logits, batch):
        return {"loss": optax.sigmoid_binary_cross_entropy(logits, batch["present"].astype(jnp.float32)).sum(axis=-1)}

    def measure(logits, batch):
        return {"right": fcnn.tasks.masked_sum((logits > 0) == (batch["present"] > 0), batch)}

    def record(logits, batch):
        return {"score": logits, "present": batch["present"]}

    def metrics(totals, records):
        best_first = np.take_along_axis(records["present"], np.argsort(-records["score"], axis=0), axis=0)
        precision = np.cumsum(best_first, axis=0) / np.arange(1, len(best_first) + 1)[:, None]
        average_precisions = (precision * best_first).sum(axis=0) / best_first.sum(axis=0)
        accuracies = totals["right"] / totals["count"]
        return {"mean_average_precision": average_precisions.mean(), "accuracy": accuracies.mean()}

    return fcnn.tasks.Task(
        losses=losses, measure=measure, record=record, metrics=metrics, best="mean_average_precision", name="tags"
    )


def expected_tags(predictions, arrays):
    logits, present = predictions.astype(np.float64), arrays["present"]
    average_precisions = []
    for scores, there in zip(logits.T, present.T, strict=True):
        precisions = [np.mean(there[scores >= threshold]) for threshold in scores[there == 1]]
        average_precisions.append(np.mean(precisions))
    return {
        "loss": np.mean(np.sum(np.logaddexp(0, logits) - logits * present, axis=-1)),
        "mean_average_precision": np.mean(average_precisions),
        "accuracy": np.mean((logits > 0) == present),
    }


# An autoencoder: the target is the image.


class Autoencoder(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        code = nn.relu(nn.Dense(16, name="code")(images.reshape(len(images), -1)))
        return {"code": code, "image": nn.sigmoid(nn.Dense(784, name="output")(code)).reshape(images.shape)}


def autoencoding():
    def losses(outputs, batch):
        squares = (outputs["image"] - batch["image"]) ** 2
        return {"reconstruction": squares.sum(axis=(1, 2, 3)), "sparsity": jnp.abs(outputs["code"]).sum(axis=-1)}

    def measure(images, batch):
        return {"squares": fcnn.tasks.masked_sum((images - batch["image"]) ** 2, batch)}

    def metrics(totals):
        return {"signal_to_noise": -10 * np.log10(totals["squares"].mean() / totals["count"])}

    return fcnn.tasks.Task(
        losses=losses, weights={"sparsity": 1e-3}, predict=lambda outputs: outputs["image"],
        measure=measure, metrics=metrics, best="signal_to_noise", name="autoencoding",
        shown={"signal_to_noise": "{:.2f} dB"},
    )  # fmt: skip


def expected_autoencoding(predictions, arrays):
    squares = (predictions.astype(np.float64) - arrays["image"] / 255) ** 2
    reconstruction = squares.sum(axis=(1, 2, 3)).mean()
    return {"loss_reconstruction": reconstruction, "signal_to_noise": -10 * np.log10(reconstruction / 784)}


GUESTS = {
    "angle": Guest(angle(), Regressor(), rotated, expected_angle),
    "tags": Guest(tags(), Tagger(), pairs, expected_tags),
    "autoencoding": Guest(
        autoencoding(), Autoencoder(), lambda split: {"image": split.images}, expected_autoencoding,
        augment=fcnn.augment.random_affine(translation=1.0),
    ),
}  # fmt: skip


def begin(guest, tx, shape, *, ema=False):
    return new_state(guest.model, tx, ema=ema, input_shape=(1, *shape))
