"""Convolution over images."""

from collections.abc import Sequence

from jax import lax
from jaxtyping import Array, Float

Padding = str | Sequence[tuple[int, int]]

_NHWC = ("NHWC", "HWIO", "NHWC")


def conv2d(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w in_channel out_channel"],
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "VALID",
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns the convolution (cross-correlation) of images with a kernel."""
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_NHWC)


def conv_general_dilated(lhs, rhs, window_strides, padding, **options):
    """Stands in for `jax.lax.conv_general_dilated` in `flax.linen.Conv`."""
    return lax.conv_general_dilated(lhs, rhs, window_strides, padding, **options)
