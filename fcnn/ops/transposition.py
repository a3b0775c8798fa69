"""Derivatives that are given as gradients: one is the transpose of the other."""

from collections.abc import Callable

import jax
from jax import lax
from jaxtyping import Array, PyTree


def derivative_of(gradient: Callable[[Array], PyTree], out: Array, tangents: PyTree) -> Array:
    """Returns the derivative of a function in a direction, from the function that computes its gradient.

    Differentiation transposes it back, so that backward mode computes just the gradient.

    Args:
        gradient: from the gradient to the output to those of the inputs; linear.
        out: the output.
        tangents: the direction, of the same structure as the gradients.
    """

    def as_varied(tangent):
        # Under shard_map, an input such as a kernel may be the same on all devices where the output is not.
        missing = jax.typeof(out).manual_axis_type.varying - jax.typeof(tangent).manual_axis_type.varying
        return lax.pcast(tangent, tuple(missing), to="varying") if missing else tangent

    (derivative,) = jax.linear_transpose(gradient, out)(jax.tree.map(as_varied, tangents))
    return derivative
