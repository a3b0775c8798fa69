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

# What a core keeps near: a block of images and what is computed of it stay in the second-level cache.
_BLOCK_BYTES = 2**19


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


def sum_of_shifted_products(x, kernel, strides, pads, precision):
    """Computes a convolution as the sum over the kernel's pixels of products, a block of images at a time.

    It is here for its transpose: the gradient to the kernel is then the sum over the blocks of products of shifted
    images with the output's gradient, all of which stay in cache. Of the images nothing else is kept for it.
    """
    batch, image_bytes = x.shape[0], math.prod(x.shape[1:]) * x.dtype.itemsize
    # The kernel's gradient is read and written once a block, which should be little beside the images.
    size = max(1, min(batch, max(_BLOCK_BYTES, kernel.size * kernel.dtype.itemsize) // image_bytes))
    # Gradients of all blocks are added up in the type of the kernel here.
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    block = jax.checkpoint(
        partial(_shifted_products, strides=strides, pads=pads, precision=precision), prevent_cse=False
    )
    if size == batch:
        return block(x, kernel)
    whole = batch - batch % size
    blocks = x[:whole].reshape(-1, size, *x.shape[1:])
    _, out = lax.scan(lambda carry, images: (carry, block(images, kernel)), None, blocks)
    out = out.reshape(whole, *out.shape[2:])
    return out if whole == batch else jnp.concatenate([out, block(x[whole:], kernel)])


def _shifted_products(x, kernel, *, strides, pads, precision):
    x, kernel = _pad(x, pads), kernel.astype(x.dtype)
    images = x.shape[0]
    rows, columns, in_channels, out_channels = kernel.shape
    down, right = strides
    out_h, out_w = (x.shape[1] - rows) // down + 1, (x.shape[2] - columns) // right + 1

    def shifted(row, column):
        last_row, last_column = row + (out_h - 1) * down + 1, column + (out_w - 1) * right + 1
        return x[:, row:last_row:down, column:last_column:right]

    places = [shifted(row, column) for row in range(rows) for column in range(columns)]
    kernel = kernel.reshape(len(places), in_channels, out_channels)
    if in_channels < 16:
        # Products of so few columns are mostly overhead.
        places, kernel = [jnp.concatenate(places, axis=-1)], kernel.reshape(1, -1, out_channels)
    # A product for each image by itself is what several cores share, unless its gradient is large beside the image.
    products = images if in_channels * out_channels <= 2**14 else 1
    out = sum(
        jnp.matmul(
            place.reshape(products, -1, place.shape[-1]),
            jnp.broadcast_to(weights, (products, *weights.shape)),
            precision=precision,
        )
        for place, weights in zip(places, kernel, strict=True)
    )
    return out.reshape(images, out_h, out_w, out_channels)


def _pad(x, pads):
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))
