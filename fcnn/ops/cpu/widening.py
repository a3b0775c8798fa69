"""Computing in float32 what a CPU is slow at in 16-bit numbers: it has units for products only."""

import functools
from collections.abc import Callable

import jax.numpy as jnp


def in_float32(function: Callable) -> Callable:
    """Returns a function of arrays that computes in float32 at least, and answers in the type of the first of them.

    Where there is more to move and to compare than to multiply, a CPU is slower in bfloat16: it has only products.
    """

    @functools.wraps(function)
    def wide(*arrays):
        return function(*map(widened, arrays)).astype(arrays[0].dtype)

    return wide


def widened(x):
    """Returns an array in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
