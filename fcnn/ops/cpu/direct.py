"""XLA's own convolution, in the form that it has the fastest routine for on a CPU."""

import jax.numpy as jnp
from jax import lax

_NHWC = ("NHWC", "HWIO", "NHWC")


def convolution(x, kernel, strides, pads, precision, dilation=(1, 1)):
    """Computes a convolution of images, as `jax.lax.conv_general_dilated` does.

    Args:
        x: images [batch, height, width, in_channel].
        kernel: weights [rows, columns, in_channel, out_channel].
        strides: step in pixels in height and in width.
        pads: pixels of zeros (before, after) in height and in width, after the dilation; negative ones cut pixels off.
        precision: as in `jax.lax`.
        dilation: the images' pixels are so far apart in height and in width, with zeros between them.

    Returns:
        The output [batch, out_height, out_width, out_channel].
    """
    if min(map(min, pads)) < 0:
        # XLA's own, in JAX 0.10, gives wrong numbers or aborts the process where padding is negative.
        cut = [(min(low, 0), min(high, 0), step - 1) for (low, high), step in zip(pads, dilation, strict=True)]
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *cut, (0, 0, 0)))
        pads, dilation = [(max(low, 0), max(high, 0)) for low, high in pads], (1, 1)
    return lax.conv_general_dilated(x, kernel, strides, pads, dilation, dimension_numbers=_NHWC, precision=precision)


def with_more_channels(channels, x, kernel, strides, pads, precision):
    """Computes a convolution of images with channels of zeros added, up to so many."""
    more = channels - x.shape[-1]
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, more), (0, 0)))
    return convolution(x, kernel, strides, pads, precision)


def in_pairs_of_outputs(x, kernel, strides, pads, precision):
    """Computes two outputs side by side as the channels of one, which takes XLA to its newer routine.

    The kernel is at two places of a window that is a column wider, in steps of two columns: a third more operations.
    The stride is 1, the output's width even.
    """
    places = [jnp.pad(kernel, ((0, 0), place, (0, 0), (0, 0))) for place in ((0, 1), (1, 0))]
    weights = jnp.stack(places, axis=3).reshape(*places[0].shape[:3], -1)
    out = lax.conv_general_dilated(x, weights, (1, 2), pads, dimension_numbers=_NHWC, precision=precision)
    batch, height, pairs, _ = out.shape
    return out.reshape(batch, height, 2 * pairs, -1)
