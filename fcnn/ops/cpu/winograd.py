"""Convolutions with kernels of 3x3 in 16 products for 4 pixels, where the plain sum has 36.

Winograd's minimal filtering F(2x2, 3x3): Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
section 4.1. Tiles of 4x4 pixels, which overlap by two, are mixed, and so is the kernel; the 16 values of all tiles meet
those of the kernel in 16 matrix products; mixing what comes out gives the 2x2 outputs of each tile.

Images are [batch, height, width, channel], kernels [3, 3, in_channel, out_channel], the padding is in pixels
((top, bottom), (left, right)).
"""

import math

import jax.numpy as jnp
from jax import lax

from fcnn.ops.cpu import blocks
from fcnn.ops.cpu.products import pad_images

# What the tiles of the images that are worked on at once may take; four times their images.
_TILE_BYTES = 2**26


def convolution(x, kernel, strides, pads, precision, in_axis=0):
    """Computes a convolution of stride 1.

    Args:
        x: images.
        kernel: weights.
        strides: (1, 1).
        pads: padding.
        precision: of the products.
        in_axis: which of the kernel's channel axes meets the images' channels; the other gives the output's. A product
            takes either, where XLA would exchange them number by number while it mixes.

    Returns:
        The output [batch, out_height, out_width, out_channel].
    """
    # Mixing takes differences, which numbers of 8 bits do not have the digits for.
    kernel = kernel.astype(jnp.float32)
    weights = _mix(_mix_kernel, [[kernel[i, j] for j in range(3)] for i in range(3)])

    def of_images(x):
        batch, (out_h, out_w) = x.shape[0], _out_size(x.shape, pads)
        tiles_h, tiles_w = _tile_counts(x.shape, pads)
        pixels = _mix(_mix_pixels, _tiles(x.astype(jnp.float32), pads))
        out = [
            [
                lax.dot_general(p, w, (((1,), (in_axis,)), ((), ())), precision=precision)
                for p, w in zip(*rows, strict=True)
            ]
            for rows in zip(pixels, weights, strict=True)
        ]
        out = jnp.stack([jnp.stack(row, axis=-2) for row in _mix(_mix_products, out)], axis=-3)
        out = out.reshape(batch, tiles_h, tiles_w, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
        return out.reshape(batch, 2 * tiles_h, 2 * tiles_w, -1)[:, :out_h, :out_w].astype(x.dtype)

    return blocks.map_images(of_images, x, images_at_once(x.shape, kernel.shape, pads))


def kernel_gradient(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution of stride 1 to its kernel.

    Args:
        x: images, as few as `images_at_once` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: (1, 1).
        pads: padding.
        precision: of the products.

    Returns:
        The gradient [3, 3, in_channel, out_channel].
    """
    tiles_h, tiles_w = _tile_counts(x.shape, pads)
    batch, out_h, out_w, channels = out_gradient.shape
    y = pad_images(out_gradient.astype(jnp.float32), ((0, 2 * tiles_h - out_h), (0, 2 * tiles_w - out_w)))
    y = y.reshape(batch, tiles_h, 2, tiles_w, 2, channels)
    gradients = _mix(_unmix_products, [[y[:, :, i, :, j].reshape(-1, channels) for j in range(2)] for i in range(2)])
    pixels = _mix(_mix_pixels, _tiles(x.astype(jnp.float32), pads))
    out = [
        [lax.dot_general(p, g, (((0,), (0,)), ((), ())), precision=precision) for p, g in zip(*rows, strict=True)]
        for rows in zip(pixels, gradients, strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _mix(_unmix_kernel, out)])


def images_at_once(x_shape, kernel_shape, pads) -> int:
    """Returns how many images to work on at once, so that their tiles need little memory beside a network's layers."""
    tile_bytes = 16 * 4 * math.prod(_tile_counts(x_shape, pads)) * max(kernel_shape[2:])
    return blocks.images_at_once(x_shape[0], max(1, _TILE_BYTES // tile_bytes))


def _out_size(x_shape, pads):
    return tuple(size + low + high - 2 for size, (low, high) in zip(x_shape[1:3], pads, strict=True))


def _tile_counts(x_shape, pads):
    return tuple(-(-size // 2) for size in _out_size(x_shape, pads))


def _tiles(x, pads):
    """Returns the pixels at the 4x4 places of all tiles, each [tile, channel]."""
    batch, channels = x.shape[0], x.shape[-1]
    tiles_h, tiles_w = _tile_counts(x.shape, pads)
    out_h, out_w = _out_size(x.shape, pads)
    (top, bottom), (left, right) = pads
    x = pad_images(x, ((top, bottom + 2 * tiles_h - out_h), (left, right + 2 * tiles_w - out_w)))
    x = x.reshape(batch, tiles_h + 1, 2, tiles_w + 1, 2, channels)
    return [
        [
            x[:, i // 2 : i // 2 + tiles_h, i % 2, j // 2 : j // 2 + tiles_w, j % 2].reshape(-1, channels)
            for j in range(4)
        ]
        for i in range(4)
    ]


def _mix(transform, grid):
    """Applies a transform of rows, then of columns, to arrays in rows and columns."""
    columns = [transform(*column) for column in zip(*grid, strict=True)]
    return [transform(*row) for row in zip(*columns, strict=True)]


def _mix_pixels(a, b, c, d):
    return a - c, b + c, c - b, b - d


def _mix_kernel(a, b, c):
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _mix_products(a, b, c, d):
    return a + b + c, b - c - d


# The transposes of the last two.


def _unmix_products(a, b):
    return a, a + b, a - b, -b


def _unmix_kernel(a, b, c, d):
    return a + (b + c) / 2, (b - c) / 2, (b + c) / 2 + d
