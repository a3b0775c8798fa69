"""LeNet-5: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition"."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.errors import InputError, unknown_name
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AvgPool, Conv, Dense, MaxPool, PooledConv, activation_named, batch_norm

POOLINGS = {"max": MaxPool, "average": AvgPool}


class LeNet(nn.Module):
    """LeNet-5 (section II.B, figure 2): 61,706 parameters on grey images.

    Three things are as they are done today instead of in the paper: C3 sees all six maps rather than a selection
    of them (table I), the pooling has no trainable coefficients, and the output is a linear layer for a softmax rather
    than radial basis functions.

    Attributes:
        num_classes: number of logits.
        pooling: "max" or "average" (the paper's, less its coefficients).
        activation: "relu", "tanh" (the paper's) or "sigmoid".
        dropout_rate: share of F6's units that are dropped in training.
        batch_norm: whether each convolution is followed by batch normalisation.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    num_classes: int = 10
    pooling: str = "max"
    activation: str = "relu"
    dropout_rate: float = 0.0
    batch_norm: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (32, 32, 1)
    heads: ClassVar[tuple[str, ...]] = ("output",)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images [batch, 32, 32, channel].

        Images of 28x28 are padded by two zero pixels on each side, as the paper centres MNIST's digits.

        Raises:
            InputError: if the images have another size.
        """
        options = {"kernel_size": (5, 5), "padding": "VALID", "kernel_init": self.kernel_init, "dtype": self.dtype}
        conv = partial(Conv, **options)
        dense = partial(Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        normalise = partial(batch_norm, train=train, dtype=self.dtype) if self.batch_norm else _identity
        activate = activation_named(self.activation)
        if self.pooling not in POOLINGS:
            raise unknown_name("pooling", self.pooling, POOLINGS)
        pool = partial(POOLINGS[self.pooling], window=(2, 2))

        def convolve_and_pool(x, features, layer, pool_layer):
            # Someone who records what layers give wants to see the maps before the pooling, too.
            recorded = self.is_mutable_collection("intermediates")
            if self.pooling == "max" and not self.batch_norm and not recorded:
                return PooledConv(features, **options, window=2, activation=activate, name=layer)(x)
            x = normalise(name=f"{layer}_norm")(conv(features, name=layer)(x))
            return pool(name=pool_layer)(activate(x))

        x = _pad_to_32(images)
        x = convolve_and_pool(x, 6, "c1", "s2")  # [batch, 28, 28, 6], [batch, 14, 14, 6]
        x = convolve_and_pool(x, 16, "c3", "s4")  # [batch, 10, 10, 16], [batch, 5, 5, 16]
        x = activate(normalise(name="c5_norm")(conv(120, name="c5")(x)))  # [batch, 1, 1, 120]
        x = x.reshape(x.shape[0], 120)
        x = activate(dense(84, name="f6")(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        return dense(self.num_classes, name="output")(x).astype(jnp.float32)


def _identity(name):
    return lambda x: x


def _pad_to_32(images):
    height, width = images.shape[1:3]
    if (height, width) == (28, 28):
        return jnp.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    if (height, width) != (32, 32):
        raise InputError(
            f"lenet takes images of 32x32 pixels (or 28x28, which it pads), got {height}x{width}: resize or pad them"
        )
    return images
