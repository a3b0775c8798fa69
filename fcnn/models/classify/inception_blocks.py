"""The blocks of Inception v3 (Szegedy et al. 2016, figures 5 to 7 and 10), under torchvision's names.

Each has branches side by side, joined by their channels. `conv` makes a convolution with normalisation and
rectification; where its stride is 1 it keeps the size.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from fcnn.models.classify.inception_layers import max_pool_3x3
from fcnn.models.layers import AvgPool


class InceptionA(nn.Module):
    """Kernels of 1x1, 5x5 and twice 3x3 (figure 5)."""

    projection: int
    conv: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width out_channel"]:
        """Returns the joined branches."""
        conv = self.conv
        branch1 = conv(64, (1, 1), name="branch1x1")(x)
        branch5 = conv(48, (1, 1), name="branch5x5_1")(x)
        branch5 = conv(64, (5, 5), name="branch5x5_2")(branch5)
        double = conv(64, (1, 1), name="branch3x3dbl_1")(x)
        double = conv(96, (3, 3), name="branch3x3dbl_2")(double)
        double = conv(96, (3, 3), name="branch3x3dbl_3")(double)
        pool = conv(self.projection, (1, 1), name="branch_pool")(_average(x))
        return jnp.concatenate([branch1, branch5, double, pool], axis=-1)


class InceptionB(nn.Module):
    """Halves the maps (figure 10), `padding` pixels added on each side before it."""

    padding: int
    conv: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w out_channel"]:
        """Returns the joined branches."""
        conv, padding = self.conv, self.padding
        branch3 = conv(384, (3, 3), strides=2, padding=padding, name="branch3x3")(x)
        double = conv(64, (1, 1), name="branch3x3dbl_1")(x)
        double = conv(96, (3, 3), name="branch3x3dbl_2")(double)
        double = conv(96, (3, 3), strides=2, padding=padding, name="branch3x3dbl_3")(double)
        pool = max_pool_3x3("pool", padding=padding)(x)
        return jnp.concatenate([branch3, double, pool], axis=-1)


class InceptionC(nn.Module):
    """Kernels of 7x7, each as one of 1x7 and one of 7x1 (figure 6); `width` channels within the branches."""

    width: int
    conv: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width out_channel"]:
        """Returns the joined branches."""
        conv, width = self.conv, self.width
        branch1 = conv(192, (1, 1), name="branch1x1")(x)
        branch7 = conv(width, (1, 1), name="branch7x7_1")(x)
        branch7 = conv(width, (1, 7), name="branch7x7_2")(branch7)
        branch7 = conv(192, (7, 1), name="branch7x7_3")(branch7)
        double = conv(width, (1, 1), name="branch7x7dbl_1")(x)
        double = conv(width, (7, 1), name="branch7x7dbl_2")(double)
        double = conv(width, (1, 7), name="branch7x7dbl_3")(double)
        double = conv(width, (7, 1), name="branch7x7dbl_4")(double)
        double = conv(192, (1, 7), name="branch7x7dbl_5")(double)
        pool = conv(192, (1, 1), name="branch_pool")(_average(x))
        return jnp.concatenate([branch1, branch7, double, pool], axis=-1)


class InceptionD(nn.Module):
    """Halves the maps again, with kernels of 7x7 in one branch, `padding` pixels added on each side before it."""

    padding: int
    conv: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w out_channel"]:
        """Returns the joined branches."""
        conv, padding = self.conv, self.padding
        branch3 = conv(192, (1, 1), name="branch3x3_1")(x)
        branch3 = conv(320, (3, 3), strides=2, padding=padding, name="branch3x3_2")(branch3)
        branch7 = conv(192, (1, 1), name="branch7x7x3_1")(x)
        branch7 = conv(192, (1, 7), name="branch7x7x3_2")(branch7)
        branch7 = conv(192, (7, 1), name="branch7x7x3_3")(branch7)
        branch7 = conv(192, (3, 3), strides=2, padding=padding, name="branch7x7x3_4")(branch7)
        pool = max_pool_3x3("pool", padding=padding)(x)
        return jnp.concatenate([branch3, branch7, pool], axis=-1)


class InceptionE(nn.Module):
    """Branches that fork into kernels of 1x3 and 3x1 (figure 7)."""

    conv: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width out_channel"]:
        """Returns the joined branches."""
        conv = self.conv
        branch1 = conv(320, (1, 1), name="branch1x1")(x)
        branch3 = conv(384, (1, 1), name="branch3x3_1")(x)
        across = conv(384, (1, 3), name="branch3x3_2a")(branch3)
        down = conv(384, (3, 1), name="branch3x3_2b")(branch3)
        double = conv(448, (1, 1), name="branch3x3dbl_1")(x)
        double = conv(384, (3, 3), name="branch3x3dbl_2")(double)
        double_across = conv(384, (1, 3), name="branch3x3dbl_3a")(double)
        double_down = conv(384, (3, 1), name="branch3x3dbl_3b")(double)
        pool = conv(192, (1, 1), name="branch_pool")(_average(x))
        return jnp.concatenate([branch1, across, down, double_across, double_down, pool], axis=-1)


def _average(x):
    return AvgPool((3, 3), strides=(1, 1), padding=((1, 1), (1, 1)), name="pool")(x)
