"""The maximum over windows on a CPU."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.cpu.plan import plan_max_pool
from fcnn.ops.cpu.widening import in_float32
from fcnn.ops.transposition import derivative_of
from fcnn.ops.xla import xla_max_pool


def max_pool(x, window, strides, padding):
    """Computes what `fcnn.ops.max_pool` says; the padding is in pixels."""
    name = plan_max_pool(x.shape, window, strides, padding).name
    if name == "first largest":
        blocks = x.reshape(x.shape[0], x.shape[1] // window[0], window[0], x.shape[2] // window[1], window[1], -1)
        blocks = blocks.transpose(2, 4, 0, 1, 3, 5)
        return first_largest(blocks.reshape(-1, *blocks.shape[2:]))
    if name == "columns, then rows":
        return in_float32(partial(_max_of_columns_then_rows, window=window, strides=strides, padding=padding))(x)
    return xla_max_pool(x, window, strides, padding)


def _max_of_columns_then_rows(x, window, strides, padding):
    for axis in (2, 1):
        size, stride, (low, high) = window[axis - 1], strides[axis - 1], padding[axis - 1]
        # Joined rather than padded: XLA would ask for every pixel that it reads whether it is padding.
        edges = [jnp.full((*x.shape[:axis], n, *x.shape[axis + 1 :]), -jnp.inf, x.dtype) for n in (low, high)]
        x = jnp.concatenate([edges[0], x, edges[1]], axis) if low or high else x
        x = _max_along(axis, size, stride, x)
    return x


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
