"""Penalties on the parameters, and which of them they apply to."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def kernel_penalty(params: PyTree, *, l1: float = 0.0, l2: float = 0.0) -> Float[Array, ""]:
    """Returns `l1 * sum |w| + l2 / 2 * sum w^2` over all kernels; biases and BatchNorm's scales are not penalised.

    With plain gradient descent `l2` is what optimizers call weight decay.
    """
    kernels = [
        leaf for leaf, is_kernel in zip(*map(jax.tree.leaves, (params, kernels_of(params))), strict=True) if is_kernel
    ]
    total = jnp.zeros(())
    if l1:
        total += l1 * sum(jnp.sum(jnp.abs(kernel)) for kernel in kernels)
    if l2:
        total += l2 / 2 * sum(jnp.sum(kernel**2) for kernel in kernels)
    return total


def kernels_of(params: PyTree) -> PyTree:
    """Returns a tree like `params` that is True at every kernel: what weight decay and penalties apply to."""
    return jax.tree.map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)
