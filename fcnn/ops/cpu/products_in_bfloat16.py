"""The gradient of a convolution to its kernel as products in bfloat16, for a CPU that has units for them.

XLA turns bfloat16 into float32 for a product that sums over the first axis of its first operand. Products here sum over
the last axis of both; the units add up in float32.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import functools
import math

import jax.numpy as jnp
from jax import lax

from fcnn.ops.cpu import blocks

# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**22
# Up to so many channels, the gradient to a kernel is that much faster for a product's width of two rows of outputs that
# a quarter of it may go unused.
_NARROW_CHANNELS = 64


def kernel_gradient(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution of stride 1 to its kernel.

    The channels come first, so that each is one long row of pixels. As in float32, the kernel's rows are below each
    other as shifted images and its columns as shifted gradients. With few channels, so are two rows of outputs: of each
    pair of rows, one of images and one of outputs, the product has what they give, and those that lie as far apart add
    up to a row of the kernel.

    Args:
        x: images, as few as `images_at_once` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: (1, 1).
        pads: padding.
        precision: of the product.

    Returns:
        The gradient [rows, columns, in_channel, out_channel] in float32.
    """
    (rows, columns, in_channels, out_channels), (pads_h, (left, right)) = kernel_shape, pads
    height, width = out_gradient.shape[1], x.shape[2]
    together = _output_rows_together(kernel_shape)
    steps = -(-height // together)
    x, y = (array.reshape(-1, array.shape[-1]).T.reshape(-1, *array.shape[:3]) for array in (x, out_gradient))
    zero, spare = jnp.zeros((), x.dtype), steps * together - height
    x = lax.pad(x, zero, ((0, 0, 0), (0, 0, 0), (pads_h[0], pads_h[1] + spare, 0), (0, 0, 0)))
    seen = rows + together - 1
    x = jnp.concatenate([_every(x, 2, row, together, steps) for row in range(seen)])
    # A padding wider than the kernel leaves outputs that saw no pixel; they are cut off.
    around = (columns - 1 - left, columns - 1 - right, 0)
    y = lax.pad(y, zero, ((0, 0, 0), (0, 0, 0), (0, spare, 0), around))
    shifted = [y[..., column : column + width] for column in reversed(range(columns))]
    y = jnp.concatenate([_every(y, 2, row, together, steps) for row in range(together) for y in shifted])
    x, y = x.reshape(seen * in_channels, -1), y.reshape(together * columns * out_channels, -1)
    # JAX transposes the derivative of a product that gives float32 into one that takes float32.
    out = lax.dot_general(x, y, (((1,), (1,)), ((), ())), precision=precision).astype(jnp.float32)
    out = out.reshape(seen, in_channels, together, columns, out_channels)
    out = functools.reduce(jnp.add, (out[row : row + rows, :, row] for row in range(together)))
    return out.transpose(0, 2, 1, 3)


def images_at_once(x_shape, out_shape, kernel_shape) -> int:
    """Returns how many images to take for a product of `kernel_gradient`."""
    rows, columns, in_channels, out_channels = kernel_shape
    together = _output_rows_together(kernel_shape)
    shifted = (rows + together - 1) * in_channels / together + columns * out_channels
    image_bytes = 2 * out_shape[1] * x_shape[2] * shifted
    # The sum over the products is read and written once each, which should be little beside the images.
    most = max(_PRODUCT_BYTES, 4 * math.prod(kernel_shape)) / image_bytes
    return blocks.images_at_once(x_shape[0], max(2, int(most)))


def _output_rows_together(kernel_shape):
    rows, _, *channels = kernel_shape
    return 2 if rows > 1 and max(channels) <= _NARROW_CHANNELS else 1


def _every(x, axis, first, step, count):
    return lax.slice_in_dim(x, first, first + (count - 1) * step + 1, step, axis)
