"""A tiny network that labels pixels, and batches for it."""

import flax.linen as nn
import numpy as np
from states import new_state

from fcnn.models import AuxiliaryLogits

SIZE = (6, 5)


class Pixels(nn.Module):
    """A class for every pixel, from its neighbours; in training with an auxiliary head, if it has a weight."""

    num_classes: int = 4
    auxiliary_weight: float = 0.0

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Conv(5, (3, 3), name="hidden")(images))
        logits = nn.Conv(self.num_classes, (1, 1), name="output")(x)
        if not (self.auxiliary_weight and (train or self.is_initializing())):
            return logits
        auxiliary = nn.Conv(self.num_classes, (1, 1), name="auxiliary")(x)
        return AuxiliaryLogits(logits, (auxiliary,), (self.auxiliary_weight,))


def labelled(random, count=8, size=SIZE, num_classes=4):
    """Returns a batch whose images have very different numbers of labelled pixels, one of them none."""
    labels = random.integers(0, num_classes, (count, *size), dtype=np.uint8)
    ignored = random.random((count, *size)) < np.linspace(0, 0.9, count)[:, None, None]
    labels[ignored] = 255
    labels[1] = 255
    return {"image": random.random((count, *size, 3), dtype=np.float32), "label": labels}


def mean_loss(logits, labels, ignore=255):
    """The mean cross-entropy of the pixels that are not ignored, in float64: torch's `cross_entropy(ignore_index)`."""
    losses = pixel_losses(logits, labels, ignore)
    return losses.sum() / (labels != ignore).sum()


def pixel_losses(logits, labels, ignore=255):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    right = np.take_along_axis(log_probabilities, np.where(labels == ignore, 0, labels)[..., None], -1)[..., 0]
    return np.where(labels == ignore, 0, -right)


def begin(model, tx, *, ema=False):
    return new_state(model, tx, ema=ema, input_shape=(1, *SIZE, 3))
