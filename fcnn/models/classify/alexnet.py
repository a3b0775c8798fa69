"""AlexNet: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", as in torchvision."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, Conv, Dense, MaxPool, ReLU, check_image_size


class AlexNet(nn.Module):
    """AlexNet: 61,100,840 parameters with 1000 classes.

    Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", split the
    network over two GPUs and normalised over channels; the later paper, whose widths are the default, does neither.

    Attributes:
        num_classes: number of logits.
        widths: channels of the five convolutions.
        hidden: width of the two hidden linear layers.
        two_towers: whether the convolutions have the widths of 2012, 96-256-384-384-256, and all but the first and the
            third see only the half of the channels that lay on their own GPU (section 3.5, figure 2).
        local_response_normalisation: whether the first two convolutions are followed by it (section 3.3).
        dropout_rate: share of units dropped before each hidden linear layer in training.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    num_classes: int = 1000
    widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256)
    hidden: int = 4096
    two_towers: bool = False
    local_response_normalisation: bool = False
    dropout_rate: float = 0.5
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (224, 224, 3)
    heads: ClassVar[tuple[str, ...]] = ("classifier_6",)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images of at least 63x63 pixels; the shapes below are those of 224x224.

        Raises:
            InputError: if the images are smaller.
        """
        check_image_size("AlexNet", images, 63)
        conv = partial(Conv, kernel_init=self.kernel_init, dtype=self.dtype)
        dense = partial(Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        dropout = partial(nn.Dropout, self.dropout_rate, deterministic=not train)
        pool = partial(MaxPool, window=(3, 3), strides=(2, 2))
        normalise = _local_response_normalisation if self.local_response_normalisation else lambda x: x
        widths = (96, 256, 384, 384, 256) if self.two_towers else self.widths
        towers = 2 if self.two_towers else 1

        x = conv(widths[0], (11, 11), strides=4, padding=2, name="features_0")(images)  # [batch, 55, 55, 64]
        x = normalise(ReLU(name="features_1")(x))
        x = pool(name="features_2")(x)  # [batch, 27, 27, 64]
        x = conv(widths[1], (5, 5), padding=2, feature_group_count=towers, name="features_3")(x)  # [batch, 27, 27, 192]
        x = normalise(ReLU(name="features_4")(x))
        x = pool(name="features_5")(x)  # [batch, 13, 13, 192]
        x = conv(widths[2], (3, 3), padding=1, name="features_6")(x)  # [batch, 13, 13, 384]
        x = ReLU(name="features_7")(x)
        x = conv(widths[3], (3, 3), padding=1, feature_group_count=towers, name="features_8")(x)  # [batch, 13, 13, 256]
        x = ReLU(name="features_9")(x)
        x = conv(widths[4], (3, 3), padding=1, feature_group_count=towers, name="features_10")(x)
        x = ReLU(name="features_11")(x)
        x = pool(name="features_12")(x)  # [batch, 6, 6, 256]
        x = AdaptiveAvgPool((6, 6), name="avgpool")(x)

        x = x.reshape(x.shape[0], -1)  # [batch, 9216]
        x = dropout(name="classifier_0")(x)
        x = ReLU(name="classifier_2")(dense(self.hidden, name="classifier_1")(x))
        x = dropout(name="classifier_3")(x)
        x = ReLU(name="classifier_5")(dense(self.hidden, name="classifier_4")(x))
        return dense(self.num_classes, name="classifier_6")(x).astype(jnp.float32)


def _local_response_normalisation(x):
    """Returns the channels divided by the energy of their five neighbours (Krizhevsky et al. 2012, section 3.3)."""
    channels = x.shape[-1]
    squares = jnp.pad(jnp.square(x), ((0, 0), (0, 0), (0, 0), (2, 2)))
    energy = sum(squares[..., i : i + channels] for i in range(5))
    return x / (2.0 + 1e-4 * energy) ** 0.75
