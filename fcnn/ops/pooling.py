"""Pooling over windows of an image."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.convolution import Padding


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
        padding: pixels added (before, after) in height and in width.
        ceil_mode: whether a last window that only starts inside the padded image counts too, as in Caffe.
    """
    strides = strides or window
    if ceil_mode:
        padding = tuple(
            (low, high + _overhang(size + low + high, k, s) * (-(size + low + high - k) % s < size + low))
            for size, k, s, (low, high) in zip(x.shape[1:3], window, strides, padding, strict=True)
        )
    exact = window == strides and all(size % k == 0 for size, k in zip(x.shape[1:3], window, strict=True))
    if exact and not any(map(any, padding)):
        return _max_of_blocks(x, window)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *map(tuple, padding), (0, 0))
    )


def _overhang(size, window, stride):
    """Returns how many pixels are missing after the image for the last window to be whole."""
    return -(size - window) % stride


def _max_of_blocks(x, window):
    """Returns the maximum of blocks that tile the image: XLA fuses it with its neighbours, and so its gradient."""
    batch, height, width, channels = x.shape
    rows, columns = window
    blocks = x.reshape(batch, height // rows, rows, width // columns, columns, channels)
    largest = blocks[:, :, 0, :, 0]
    for row in range(rows):
        for column in range(columns):
            pixel = blocks[:, :, row, :, column]
            # `maximum` would share the gradient among equal pixels; a NaN must stay one.
            largest = jnp.where((largest >= pixel) | jnp.isnan(largest), largest, pixel)
    return largest


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
        padding: pixels added (before, after) in height and in width.
    """
    strides = strides or window
    total = lax.reduce_window(
        x, 0.0, lax.add, (1, *window, 1), (1, *strides, 1), ((0, 0), *map(tuple, padding), (0, 0))
    )
    return total / (window[0] * window[1])
