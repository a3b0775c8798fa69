"""A convolution, a maximum over windows, a bias and an activation in one: the layers C1 to S4 of LeNet."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.bfloat16 import in_float32
from fcnn.ops.convolution import Padding, conv2d, explicit_padding, sizes_are_known, xla_convolution
from fcnn.ops.pooling import first_largest, max_pool


def conv2d_max_pool(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w in_channel out_channel"],
    bias: Float[Array, " out_channel"],
    activation: Callable[[Array], Array],
    window: int,
    padding: Padding = "VALID",
    *,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns `activation(max_pool(conv2d(x, kernel)) + bias)`, with stride 1 and windows that do not overlap.

    A maximum gives the same before a bias and a monotone activation as after them, to the last bit, and leaves less to
    compute. On CPU, with few channels, the windows are in the rows of the matrix product that computes the convolution,
    and the images in its columns, which makes all that follows operations on long rows.

    Args:
        x: images.
        kernel: weights.
        bias: added to each channel.
        activation: a function that does not fall anywhere, applied to each value.
        window: height and width of the windows, and the step between them.
        padding: "SAME", "VALID", or pixels of zeros (before, after) in height and in width.
        precision: as in `jax.lax.conv_general_dilated`.
    """
    pads = explicit_padding(x.shape[1:3], kernel.shape[:2], (1, 1), padding)

    def one_after_the_other(convolution, x, kernel, bias):
        out = max_pool(convolution(x, kernel, (1, 1), pads, precision=precision), (window, window))
        return activation(out + bias)

    block = _block_on_cpu(x.shape, kernel.shape, window, pads)
    if block is None:
        return one_after_the_other(conv2d, x, kernel, bias)
    on_cpu = in_float32(partial(_pooled_product, block, window, pads, activation, precision))
    by_xla = partial(one_after_the_other, xla_convolution)
    return lax.platform_dependent(x, kernel, bias, cpu=on_cpu, default=by_xla)


def _block_on_cpu(x_shape, kernel_shape, window, pads):
    """Returns the height and width of the blocks of pixels that a product computes, or None where none pays."""
    if not sizes_are_known(x_shape, kernel_shape):
        return None
    rows, columns, in_channels, out_channels = kernel_shape
    out_h, out_w = (
        size + low + high - k + 1 for size, (low, high), k in zip(x_shape[1:3], pads, (rows, columns), strict=True)
    )
    few = rows * columns >= 9 and in_channels <= 8 and out_channels <= 16
    if not few or min(out_h, out_w) < 1 or any(low < 0 or high < 0 for low, high in pads):
        return None
    blocks = (2 * window, window) if in_channels == 1 else (window,)
    return next((block for block in blocks if out_h % block == 0 and out_w % block == 0), None)


def _pooled_product(block, window, pads, activation, precision, x, kernel, bias):
    """Computes blocks of output pixels by a product, as `product_of_output_blocks`, with the images side by side.

    The pixels of a patch are added up in the same order for every place here, too: row by row.
    """
    batch = x.shape[0]
    rows, columns, in_channels, out_channels = kernel.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = x.shape[1:3]
    # Images that lie a multiple of 1 KiB apart share a few places of the cache: a row more keeps them apart.
    spare = 1 if height * width * in_channels % 256 == 0 else 0
    x = jnp.pad(x, ((0, 0), (0, spare), (0, 0), (0, 0)))
    # Turned as a matrix, so that two layers' turns meet and vanish, and a product takes up the last one.
    x = x.reshape(batch, -1).T.reshape(height + spare, width, in_channels, batch)[:height]
    blocks_h, blocks_w = (height - rows + 1) // block, (width - columns + 1) // block
    # What a block sees, in whole steps along a row.
    seen_rows, seen_steps = rows + block - 1, -(-(columns + block - 1) // block)

    x = jnp.pad(x, ((0, -height % block), (0, (blocks_w + seen_steps - 1) * block - width), (0, 0), (0, 0)))
    x = x.reshape(x.shape[0] // block, block, x.shape[1] // block, block * in_channels, batch).transpose(1, 3, 0, 2, 4)
    # First what lies below each other, then side by side: so the gradient adds up a few shifted arrays, twice.
    x = jnp.stack([x[row % block, :, row // block : row // block + blocks_h] for row in range(seen_rows)])
    x = jnp.stack([x[:, :, :, step : step + blocks_w] for step in range(seen_steps)], axis=1)
    patches = x.reshape(-1, blocks_h * blocks_w * batch)

    room_h, room_w, inner = block - 1, seen_steps * block - columns, range(block // window)
    places = [
        jnp.pad(kernel, ((i, room_h - i), (j, room_w - j), (0, 0), (0, 0)))
        for i, j in [
            (window * block_row + row, window * block_column + column)
            for row in range(window)
            for column in range(window)
            for block_row in inner
            for block_column in inner
        ]
    ]
    weights = jnp.stack(places).reshape(len(places), -1, out_channels).transpose(0, 2, 1)
    out = jnp.matmul(weights.reshape(-1, len(patches)), patches, precision=precision)

    out = out.reshape(window * window, len(inner), len(inner), out_channels, blocks_h, blocks_w, batch)
    out = activation(first_largest(out) + bias[:, None, None, None])
    out = out.transpose(3, 0, 4, 1, 2, 5).reshape(-1, batch).T
    return out.reshape(batch, blocks_h * len(inner), blocks_w * len(inner), out_channels)
