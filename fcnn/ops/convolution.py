"""Convolution over images, in the formulation that is fast on the backend at hand."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Padding = str | Sequence[tuple[int, int]]

_NHWC = ("NHWC", "HWIO", "NHWC")


def conv2d(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w in_channel out_channel"],
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "VALID",
    *,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns the convolution (cross-correlation) of images with a kernel.

    On GPU and TPU this is XLA's convolution. On CPU some shapes are computed as matrix products instead, which give
    the same numbers up to rounding, several times faster in training and inside `lax.scan`.

    Args:
        x: images.
        kernel: weights.
        strides: step in pixels in height and in width.
        padding: "SAME", "VALID", or pixels of zeros (before, after) in height and in width.
        precision: as in `jax.lax.conv_general_dilated`.
    """
    pads = _explicit_padding(x.shape[1:3], kernel.shape[:2], strides, padding)

    def direct(x, kernel):
        return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_NHWC, precision=precision)

    formulation = _formulation_on_cpu(x.shape, kernel.shape, strides, pads)
    if formulation is None:
        return direct(x, kernel)

    def as_product(x, kernel):
        return formulation(jnp.pad(x, ((0, 0), *pads, (0, 0))), kernel, precision)

    return lax.platform_dependent(x, kernel, cpu=as_product, default=direct)


def conv_general_dilated(lhs, rhs, window_strides, padding, **options):
    """Stands in for `jax.lax.conv_general_dilated` in `flax.linen.Conv`; what `conv2d` does not know goes to XLA."""
    plain = (
        lhs.ndim == 4
        and options.get("feature_group_count", 1) == 1
        and all(d == 1 for d in (*options.get("lhs_dilation", ()), *options.get("rhs_dilation", ())))
    )
    if plain:
        return conv2d(lhs, rhs, tuple(window_strides), padding, precision=options.get("precision"))
    return lax.conv_general_dilated(lhs, rhs, window_strides, padding, **options)


def _explicit_padding(size, window, strides, padding):
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, window, strides, padding)
    return tuple((int(low), int(high)) for low, high in padding)


def _formulation_on_cpu(x_shape, kernel_shape, strides, pads):
    """Returns the formulation that pays for a shape on CPU, or None for XLA's own.

    Measured for whole training steps on 2 cores (experiments/benchmarks/throughput.py): few channels leave XLA's
    convolution, and above all its gradient to the kernel, far below what a matrix product reaches.
    """
    rows, columns, in_channels, out_channels = kernel_shape
    padded = tuple(size + low + high for size, (low, high) in zip(x_shape[1:3], pads, strict=True))
    if min(*padded, *x_shape) < 1 or any(low < 0 or high < 0 for low, high in pads):
        return None
    if padded == (rows, columns):
        return _full_size_product
    if strides != (1, 1) or rows * columns < 9 or in_channels > 8 or out_channels > 16:
        return None
    for block in (4, 2) if in_channels == 1 else (2,):
        if all((size - window + 1) % block == 0 for size, window in zip(padded, (rows, columns), strict=True)):
            return partial(_product_of_output_blocks, block)
    return None


def _full_size_product(x, kernel, precision):
    """Computes a convolution whose kernel covers the whole image: a fully connected layer."""
    out = jnp.matmul(x.reshape(x.shape[0], -1), kernel.reshape(-1, kernel.shape[-1]), precision=precision)
    return out[:, None, None]


def _product_of_output_blocks(block, x, kernel, precision):
    """Computes a convolution as one matrix product in which each row gives a square block of output pixels.

    With blocks of 2x2, a 5x5 convolution from C to O channels becomes the product of patches of 6x6 pixels, in steps of
    2, with the kernel at its four places in such a patch: a quarter of the patches, in a product four times as wide.

    The pixels of a patch are added up in the same order for every place, so that equal neighbourhoods give equal
    outputs, to the last bit: a max-pool after it finds the same pixel as after XLA's convolution.
    """
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
