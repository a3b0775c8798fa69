"""Pooling over windows of an image."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.bfloat16 import in_float32
from fcnn.ops.convolution import Padding, explicit_padding, sizes_are_known
from fcnn.ops.transposition import derivative_of


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
    known = sizes_are_known(x.shape)
    exact = window == strides and all(size % k == 0 for size, k in zip(x.shape[1:3], window, strict=True))
    if known and exact and not any(map(any, padding)):
        blocks = x.reshape(x.shape[0], x.shape[1] // window[0], window[0], x.shape[2] // window[1], window[1], -1)
        blocks = blocks.transpose(2, 4, 0, 1, 3, 5)
        return first_largest(blocks.reshape(-1, *blocks.shape[2:]))

    if not known or any(
        low < 0 or high < 0 or size + low + high < k
        for size, k, (low, high) in zip(x.shape[1:3], window, padding, strict=True)
    ):
        return _max_in_one(x, window, strides, padding)
    windows = {"window": window, "strides": strides, "padding": padding}
    return lax.platform_dependent(
        x, cpu=in_float32(partial(_max_of_columns_then_rows, **windows)), default=partial(_max_in_one, **windows)
    )


def _max_in_one(x, window, strides, padding):
    pads = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)


def _max_of_columns_then_rows(x, window, strides, padding):
    for axis in (2, 1):
        size, stride, (low, high) = window[axis - 1], strides[axis - 1], padding[axis - 1]
        # Joined rather than padded: XLA would ask for every pixel that it reads whether it is padding.
        edges = [jnp.full((*x.shape[:axis], n, *x.shape[axis + 1 :]), -jnp.inf, x.dtype) for n in (low, high)]
        x = jnp.concatenate([edges[0], x, edges[1]], axis) if low or high else x
        x = _max_along(axis, size, stride, x)
    return x


def _overhang(size, window, stride, low, high):
    """Returns how many pixels the last window of ceil mode lacks after the padded image.

    It is none where that window would start after the image: PyTorch leaves it out.
    """
    padded = size + low + high
    missing = -(padded - window) % stride
    return missing if padded + missing - window < size + low else 0


@jax.custom_jvp
def first_largest(x: Float[Array, "n *shape"]) -> Float[Array, "*shape"]:
    """Returns the maximum along the first axis; its gradient goes to the first of equal values, as in PyTorch."""
    largest = x[0]
    for place in x[1:]:
        largest = jnp.maximum(largest, place)
    return largest


@first_largest.defjvp
def _first_largest_jvp(primals, tangents):
    (x,), (tangent,) = primals, tangents
    largest = first_largest(x)
    first = jnp.full(largest.shape, len(x) - 1)
    for place in reversed(range(len(x) - 1)):
        first = jnp.where(x[place] == largest, place, first)
    places = lax.broadcasted_iota(jnp.int32, (len(x), *[1] * largest.ndim), 0)
    return largest, jnp.where(places == first, tangent, 0).sum(axis=0)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _max_along(axis, size, stride, x):
    """Returns the maximum of windows along one axis; its gradient goes to the first of equal values.

    In XLA's own gradient (select and scatter) every window looks for its pixel, one after the other. Here every pixel
    of a window gets what those before it left, all windows at a time.
    """
    places = _places(axis, size, stride, x)
    return functools.reduce(jnp.maximum, places)


@_max_along.defjvp
def _max_along_jvp(axis, size, stride, primals, tangents):
    (x,) = primals
    largest = _max_along(axis, size, stride, x)
    is_largest = [place == largest for place in _places(axis, size, stride, x)]

    def gradient(rest):
        parts = []
        for hit in is_largest[:-1]:
            parts.append(jnp.where(hit, rest, 0))
            rest = jnp.where(hit, 0, rest)
        parts.append(rest)
        # The places of a window fall on every stride-th pixel: each remainder adds up few shifted arrays, and the
        # remainders take turns.
        reach = (size - 1) // stride
        turns = [
            functools.reduce(
                jnp.add, (_moved(parts[place], axis, place // stride, reach) for place in range(turn, size, stride))
            )
            if turn < size
            else jnp.zeros_like(_moved(rest, axis, 0, reach))
            for turn in range(stride)
        ]
        shape = list(turns[0].shape)
        shape[axis] *= stride
        out = jnp.stack(turns, axis + 1).reshape(shape)
        return _moved(out, axis, 0, x.shape[axis] - shape[axis])

    return largest, derivative_of(gradient, largest, *tangents)


def _places(axis, size, stride, x):
    count = (x.shape[axis] - size) // stride + 1
    return [lax.slice_in_dim(x, place, place + (count - 1) * stride + 1, stride, axis) for place in range(size)]


def _moved(x, axis, low, more):
    """Returns an array that is longer by `more` along an axis, and begins with `low` zeros."""
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (low, more - low, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


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
