"""Derivatives that are given as gradients: one is the transpose of the other, on each device of several too."""

from collections.abc import Callable

import jax
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree


def derivative_of(gradient: Callable[[Array], PyTree], out: Array, tangents: PyTree) -> Array:
    """Returns the derivative of a function in a direction, from the function that computes its gradient.

    Differentiation transposes it back, so that backward mode computes just the gradient.

    Args:
        gradient: from the gradient to the output to those of the inputs; linear.
        out: the output.
        tangents: the direction, of the same structure as the gradients.
    """
    # An input such as a kernel may be the same on all devices where the output is not.
    tangents = jax.tree.map(lambda tangent: varying_as(tangent, out), tangents)
    (derivative,) = jax.linear_transpose(gradient, out)(tangents)
    return derivative


def varying_as(array: Array, *others: ArrayLike) -> Array:
    """Returns an array that under `jax.shard_map` may differ from device to device where one of the others may.

    Args:
        array: the array.
        others: what it is to go together with.
    """
    missing = set().union(*map(_varying_axes, others)) - _varying_axes(array)
    return lax.pcast(array, tuple(missing), to="varying") if missing else array


def _varying_axes(array):
    return jax.typeof(array).manual_axis_type.varying
