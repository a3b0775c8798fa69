"""Convolutions as matrix products: what XLA computes fast on a CPU, inside a loop too.

Each function takes images [batch, height, width, in_channel], a kernel [rows, columns, in_channel, out_channel], the
strides, the padding in pixels ((top, bottom), (left, right)) and a precision, and returns
[batch, out_height, out_width, out_channel].
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**21


def full_size_product(x, kernel, strides, pads, precision):
    """Computes a convolution whose kernel covers the whole image: a fully connected layer."""
    x = _pad(x, pads)
    out = jnp.matmul(x.reshape(x.shape[0], -1), kernel.reshape(-1, kernel.shape[-1]), precision=precision)
    return out[:, None, None]


def pointwise_product(x, kernel, strides, pads, precision):
    """Computes a convolution with a kernel of one pixel."""
    return jnp.matmul(_pad(x, pads)[:, :: strides[0], :: strides[1]], kernel[0, 0], precision=precision)


def product_of_output_blocks(block, x, kernel, strides, pads, precision):
    """Computes a convolution of stride 1 as one product in which each row gives a square block of output pixels.

    With blocks of 2x2, a 5x5 convolution from C to O channels becomes the product of patches of 6x6 pixels, in steps of
    2, with the kernel at its four places in such a patch: a quarter of the patches, in a product four times as wide.

    The pixels of a patch are added up in the same order for every place, so that equal neighbourhoods give equal
    outputs, to the last bit: a max-pool after it finds the same pixel as after XLA's convolution.

    Args:
        block: height and width of a block; it must divide the output's.
        x: images.
        kernel: weights.
        strides: (1, 1).
        pads: padding.
        precision: of the product.
    """
    x = _pad(x, pads)
    batch, height, width, in_channels = x.shape
    rows, columns, _, out_channels = kernel.shape
    blocks_h, blocks_w = (height - rows + 1) // block, (width - columns + 1) // block
    # What a block sees, in whole steps along a row.
    seen_rows, seen_steps = rows + block - 1, -(-(columns + block - 1) // block)

    x = jnp.pad(x, ((0, 0), (0, -height % block), (0, (blocks_w + seen_steps - 1) * block - width), (0, 0)))
    steps = x.reshape(batch, x.shape[1] // block, block, x.shape[2] // block, block * in_channels)
    patches = [
        steps[:, row // block : row // block + blocks_h, row % block, step : step + blocks_w]
        for row in range(seen_rows)
        for step in range(seen_steps)
    ]
    patches = jnp.concatenate(patches, axis=-1).reshape(batch * blocks_h * blocks_w, -1)

    room_h, room_w = block - 1, seen_steps * block - columns
    places = [
        jnp.pad(kernel, ((i, room_h - i), (j, room_w - j), (0, 0), (0, 0))) for i in range(block) for j in range(block)
    ]
    weights = jnp.stack(places, axis=3).reshape(-1, block * block * out_channels)

    out = jnp.matmul(patches, weights, precision=precision)
    out = out.reshape(batch, blocks_h, blocks_w, block, block, out_channels).transpose(0, 1, 3, 2, 4, 5)
    return out.reshape(batch, blocks_h * block, blocks_w * block, out_channels)


def kernel_gradient(x, out_gradient, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel, as products of a few images at a time.

    Each pixel of an image meets each pixel of the output that it took part in. To that end the kernel's rows are beside
    each other as shifted images and its columns as shifted gradients, so that one product has them all; or, where that
    makes less to copy, the patches of the images meet the gradient as it is. The images of a product are so few that
    all this stays in cache.

    Args:
        x: images.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        pads: padding.
        precision: of the products.

    Returns:
        The gradient, like the kernel [rows, columns, in_channel, out_channel].
    """
    batch, (rows, columns, in_channels, out_channels) = x.shape[0], kernel_shape
    on_both_sides, as_patches = rows * in_channels + columns * out_channels, rows * columns * in_channels
    if strides == (1, 1) and on_both_sides <= as_patches:
        product, values = _product_of_shifted_rows_and_columns, on_both_sides
    else:
        product, values = _product_of_patches, as_patches
    image_bytes = math.prod(out_gradient.shape[1:3]) * values * x.dtype.itemsize
    # The sum over the products is read and written once each, which should be little beside the images.
    most = max(2, max(_PRODUCT_BYTES, 16 * math.prod(kernel_shape)) // image_bytes)
    size = next(size for size in range(min(batch, most), 0, -1) if batch % size == 0)
    product = jax.checkpoint(
        partial(product, kernel_shape=kernel_shape, strides=strides, pads=pads, precision=precision),
        prevent_cse=False,
    )
    if size == batch:
        return product(x, out_gradient)
    blocks = [array.reshape(-1, size, *array.shape[1:]) for array in (x, out_gradient)]
    start = jnp.zeros(kernel_shape, jnp.promote_types(x.dtype, jnp.float32))
    return lax.scan(lambda total, block: (total + product(*block), None), start, blocks)[0]


def _product_of_shifted_rows_and_columns(x, out_gradient, *, kernel_shape, strides, pads, precision):
    (rows, columns, in_channels, out_channels), (pads_h, (left, right)) = kernel_shape, pads
    height, width = out_gradient.shape[1], x.shape[2]
    x = jnp.pad(x, ((0, 0), pads_h, (0, 0), (0, 0)))
    x = jnp.concatenate([x[:, row : row + height] for row in range(rows)], axis=-1)
    # A padding wider than the kernel leaves outputs that saw no pixel; they are cut off.
    around = (columns - 1 - left, columns - 1 - right, 0)
    y = lax.pad(out_gradient, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 0, 0), around, (0, 0, 0)))
    y = jnp.concatenate([y[:, :, column : column + width] for column in reversed(range(columns))], axis=-1)
    out = _product_over_pixels(x, y, precision)
    return out.reshape(rows, in_channels, columns, out_channels).transpose(0, 2, 1, 3)


def _product_of_patches(x, out_gradient, *, kernel_shape, strides, pads, precision):
    (rows, columns, *_), (down, right), (out_h, out_w) = kernel_shape, strides, out_gradient.shape[1:3]
    x = _pad(x, pads)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    last_h, last_w = (out_h - 1) * down + 1, (out_w - 1) * right + 1
    patches = [x[:, row : row + last_h : down, column : column + last_w : right] for row, column in places]
    return _product_over_pixels(jnp.concatenate(patches, axis=-1), out_gradient, precision).reshape(kernel_shape)


def _product_over_pixels(x, y, precision):
    """Returns the sums of products [x channel, y channel] over all pixels of all images."""
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return lax.dot_general(x, y, (((0,), (0,)), ((), ())), precision=precision, preferred_element_type=wide)


def _pad(x, pads):
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))
