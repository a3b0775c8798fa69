"""Rectification."""

import jax
from jaxtyping import Array, Float

from fcnn.ops.cpu import activation
from fcnn.ops.target import current_target


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns the positive part; the gradient at 0 is 0 (Nair and Hinton 2010; Krizhevsky et al. 2012, section 3.1).

    Args:
        x: numbers; NaN stays NaN.
    """
    return jax.nn.relu(x) if current_target().cpu is None else activation.relu(x)
