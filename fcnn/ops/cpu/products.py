"""Convolutions as matrix products: what XLA computes fast on a CPU, inside a loop too.

Each function takes images [batch, height, width, in_channel], a kernel [rows, columns, in_channel, out_channel], the
strides, the padding in pixels ((top, bottom), (left, right)) and a precision, and returns
[batch, out_height, out_width, out_channel].
"""

import jax.numpy as jnp
from jax import lax


def full_size_product(x, kernel, strides, pads, precision):
    """Computes a convolution whose kernel covers the whole image: a fully connected layer."""
    x = pad_images(x, pads)
    out = jnp.matmul(x.reshape(x.shape[0], -1), kernel.reshape(-1, kernel.shape[-1]), precision=precision)
    return out[:, None, None]


def pointwise_product(x, kernel, strides, pads, precision):
    """Computes a convolution with a kernel of one pixel.

    All pixels are rows of one matrix: XLA would transpose both operands of the kernel's gradient to make it two.
    """
    x = pad_images(x, pads)[:, :: strides[0], :: strides[1]]
    out = jnp.matmul(x.reshape(-1, x.shape[-1]), kernel[0, 0], precision=precision)
    return out.reshape(*x.shape[:3], -1)


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
    x = pad_images(x, pads)
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


def sum_over_places(x, kernel, strides, pads, precision):
    """Computes a convolution of stride 1 to few channels from one product of the images with all places of the kernel.

    What each place gives is then moved to where it belongs, and added. A convolution keeps as many sums at a time as
    there are output channels, which are too few to fill the registers.

    Args:
        x: images.
        kernel: weights.
        strides: (1, 1).
        pads: padding.
        precision: of the product.
    """
    rows, columns, in_channels, out_channels = kernel.shape
    weights = kernel.transpose(2, 0, 1, 3).reshape(in_channels, -1)
    products = jnp.matmul(x, weights, precision=precision).reshape(*x.shape[:3], rows, columns, out_channels)
    zero, ((top, bottom), (left, right)) = jnp.zeros((), products.dtype), pads
    return sum(
        lax.pad(
            products[:, :, :, i, j],
            zero,
            ((0, 0, 0), (top - i, bottom - rows + 1 + i, 0), (left - j, right - columns + 1 + j, 0), (0, 0, 0)),
        )
        for i in range(rows)
        for j in range(columns)
    )


def pad_images(x, pads):
    """Returns images with zeros around them."""
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))
