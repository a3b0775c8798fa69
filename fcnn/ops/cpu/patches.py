"""Convolutions as products of patches: in bfloat16, where a CPU has units for products, and of maps of few pixels.

XLA turns bfloat16 into float32 for a convolution on CPU. A product of patches sums over the last axis of its first
operand, for which it takes the units; they add up in float32.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import jax.numpy as jnp
from jax import lax

from fcnn.ops.cpu import blocks, products

# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**22
# Up to twice as many channels, less is to gather where a product gives blocks of outputs.
_CHANNELS = 16


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
    most = max(1, int(_PRODUCT_BYTES / (x.dtype.itemsize * out_h * out_w * values)))
    return blocks.map_images(of_images, x, blocks.images_at_once(x.shape[0], most))


def _out_size(x_shape, kernel_shape, strides, pads):
    return tuple(
        (size + low + high - k) // stride + 1
        for size, k, stride, (low, high) in zip(x_shape[1:3], kernel_shape[:2], strides, pads, strict=True)
    )


def _every(x, axis, first, step, count):
    return lax.slice_in_dim(x, first, first + (count - 1) * step + 1, step, axis)
