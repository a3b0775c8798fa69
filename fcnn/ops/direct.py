"""XLA's own convolution, in the form that it has the fastest routine for on a CPU."""

import jax
import jax.numpy as jnp
from jax import lax

# Up to so many channels on both sides, XLA takes an older routine on CPU.
_OLD_ROUTINE_CHANNELS = 16


def convolution(x, kernel, strides, pads, precision, dilation=(1, 1)):
    """Computes a convolution of images, as `jax.lax.conv_general_dilated` does.

    Args:
        x: images [batch, height, width, in_channel].
        kernel: weights [rows, columns, in_channel, out_channel].
        strides: step in pixels in height and in width.
        pads: pixels of zeros (before, after) in height and in width, after the dilation.
        precision: as in `jax.lax`.
        dilation: the images' pixels are so far apart in height and in width, with zeros between them.

    Returns:
        The output [batch, out_height, out_width, out_channel].
    """
    if _pays_a_channel_more(x, kernel, strides, dilation):
        more = _OLD_ROUTINE_CHANNELS + 1 - x.shape[-1]
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, more), (0, 0)))
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dilation, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=precision
    )


def _pays_a_channel_more(x, kernel, strides, dilation):
    """Returns whether a channel of zeros, which takes XLA to its newer routine, is faster: before JAX 0.12 it is."""
    few = all(14 <= channels <= _OLD_ROUTINE_CHANNELS for channels in kernel.shape[2:])
    plain = x.dtype == jnp.float32 and kernel.shape[0] * kernel.shape[1] >= 9 and strides == dilation == (1, 1)
    return few and plain and jax.__version_info__ < (0, 12)
