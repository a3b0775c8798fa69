"""Pooling over windows of an image."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.cpu import pooling
from fcnn.ops.sizes import Padding, explicit_padding
from fcnn.ops.target import current_target
from fcnn.ops.xla import xla_max_pool


def max_pool(
    x: Float[Array, "batch height width channel"],
    window: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Padding = ((0, 0), (0, 0)),
    *,
    ceil_mode: bool = False,
) -> Float[Array, "batch out_h out_w channel"]:
    """Returns the maximum of each window; padding never wins.

    Where several pixels of a window are the largest, the gradient goes to the first of them, as in PyTorch.

    Args:
        x: images.
        window: height and width of the window in pixels.
        strides: step from window to window; the window's size by default.
        padding: "SAME", "VALID", or pixels (before, after) in height and in width.
        ceil_mode: whether a last window that is not whole counts too, as long as it starts inside the image or the
            padding before it, as in PyTorch.
    """
    strides = strides or window
    padding = explicit_padding(x.shape[1:3], window, strides, padding)
    if ceil_mode:
        padding = tuple(
            (low, high + _overhang(size, k, s, low, high))
            for size, k, s, (low, high) in zip(x.shape[1:3], window, strides, padding, strict=True)
        )
    if current_target().cpu is None:
        return xla_max_pool(x, window, strides, padding)
    return pooling.max_pool(x, window, strides, padding)


def _overhang(size, window, stride, low, high):
    """Returns how many pixels the last window of ceil mode lacks after the padded image.

    It is none where that window would start after the image: PyTorch leaves it out.
    """
    padded = size + low + high
    missing = -(padded - window) % stride
    return missing if padded + missing - window < size + low else 0


def avg_pool(
    x: Float[Array, "batch height width channel"],
    window: tuple[int, int],
    strides: tuple[int, int] | None = None,
    padding: Padding = ((0, 0), (0, 0)),
) -> Float[Array, "batch out_h out_w channel"]:
    """Returns the mean of each window, padding counted as zeros.

    Args:
        x: images.
        window: height and width of the window in pixels.
        strides: step from window to window; the window's size by default.
        padding: "SAME", "VALID", or pixels (before, after) in height and in width.
    """
    strides = strides or window
    padding = explicit_padding(x.shape[1:3], window, strides, padding)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    total = lax.reduce_window(wide, 0.0, lax.add, (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0)))
    return (total / (window[0] * window[1])).astype(x.dtype)


def adaptive_avg_pool(
    x: Float[Array, "batch height width channel"], output_size: tuple[int, int]
) -> Float[Array, "batch out_h out_w channel"]:
    """Returns the means over a grid of bins that cover the image, whatever its size, as in PyTorch.

    Bin i of n reaches from pixel floor(i * size / n) to before pixel ceil((i + 1) * size / n): bins overlap where the
    size is no multiple of n, and repeat pixels where the image is smaller than the grid.

    Args:
        x: images.
        output_size: number of bins in height and in width.
    """
    if x.shape[1:3] == tuple(output_size):
        return x
    rows, columns = (
        [slice(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        for size, n in zip(x.shape[1:3], output_size, strict=True)
    )
    x = jnp.stack([x[:, bin_].mean(axis=1) for bin_ in rows], axis=1)
    return jnp.stack([x[:, :, bin_].mean(axis=2) for bin_ in columns], axis=2)
