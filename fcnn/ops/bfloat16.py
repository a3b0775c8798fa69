"""Convolutions in bfloat16 as products, which a CPU with units for them computes several times as fast as in float32.

XLA turns bfloat16 into float32 for a convolution on CPU, and for a product that sums over the first axis of its first
operand. Products here sum over the last axis of the first operand; the units add up in float32.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from fcnn.ops import blocks, machine, products

# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**22
# Pixels narrower than this cost more to gather, one by one, than units save. Up to twice that, less is to gather where
# a product gives blocks of outputs.
_CHANNELS = 16
# Up to so many channels, the gradient to a kernel is that much faster for a product's width of two rows of outputs that
# a quarter of it may go unused.
_NARROW_CHANNELS = 64


def pays(kernel_shape, dtype) -> bool:
    """Returns whether a convolution is faster this way on a CPU: measured in experiments/benchmarks/convolution.py."""
    return min(kernel_shape[2:]) >= _CHANNELS and has_units(dtype)


def has_units(dtype) -> bool:
    """Returns whether this is bfloat16, and the CPU has units for it that this JAX uses."""
    return dtype == jnp.bfloat16 and machine.jax_uses_bfloat16_units() and bool(machine.has_bfloat16_units())


def convolution(x, kernel, strides, pads, precision):
    """Computes a convolution as products of patches, a few images at a time.

    Args:
        x: images.
        kernel: weights.
        strides: step in pixels in height and in width.
        pads: padding; negative ones cut pixels off.
        precision: of the products.

    Returns:
        The output [batch, out_height, out_width, out_channel].
    """
    rows, columns, _, out_channels = kernel.shape
    out_h, out_w = _out_size(x.shape, kernel.shape, strides, pads)
    weights = kernel.reshape(-1, out_channels)

    def of_images(x):
        padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)))
        places = [
            _every(_every(padded, 1, row, strides[0], out_h), 2, column, strides[1], out_w)
            for row in range(rows)
            for column in range(columns)
        ]
        patches = jnp.concatenate(places, axis=-1).reshape(-1, len(weights))
        return jnp.matmul(patches, weights, precision=precision).reshape(-1, out_h, out_w, out_channels)

    def in_output_blocks(x):
        return products.product_of_output_blocks(2, x, kernel, strides, pads, precision)

    if rows * columns == 1:
        return of_images(x)
    values = len(weights)
    is_narrow = max(kernel.shape[2:]) < 2 * _CHANNELS
    if is_narrow and strides == (1, 1) and out_h % 2 == out_w % 2 == 0 and min(low for pad in pads for low in pad) >= 0:
        of_images, values = in_output_blocks, (rows + 1) * (columns + 1) * kernel.shape[2] / 4
    most = max(1, int(_PRODUCT_BYTES / (2 * out_h * out_w * values)))
    return blocks.map_images(of_images, x, blocks.images_at_once(x.shape[0], most))


def kernel_gradient(x, out_gradient, *, kernel_shape, pads, precision):
    """Computes the gradient of a convolution of stride 1 to its kernel.

    The channels come first, so that each is one long row of pixels. As in float32, the kernel's rows are below each
    other as shifted images and its columns as shifted gradients. With few channels, so are two rows of outputs: of each
    pair of rows, one of images and one of outputs, the product has what they give, and those that lie as far apart add
    up to a row of the kernel.

    Args:
        x: images, as few as `images_at_once` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
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


def in_float32(function: Callable) -> Callable:
    """Returns a function of arrays that computes in float32 at least, and answers in the type of the first of them.

    Where there is more to move and to compare than to multiply, a CPU is slower in bfloat16: it has only products.
    """

    @functools.wraps(function)
    def wide(*arrays):
        return function(*map(widened, arrays)).astype(arrays[0].dtype)

    return wide


def widened(x):
    """Returns an array in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _output_rows_together(kernel_shape):
    rows, _, *channels = kernel_shape
    return 2 if rows > 1 and max(channels) <= _NARROW_CHANNELS else 1


def _out_size(x_shape, kernel_shape, strides, pads):
    return tuple(
        (size + low + high - k) // stride + 1
        for size, k, stride, (low, high) in zip(x_shape[1:3], kernel_shape[:2], strides, pads, strict=True)
    )


def _every(x, axis, first, step, count):
    return lax.slice_in_dim(x, first, first + (count - 1) * step + 1, step, axis)
