"""The product of a fully connected layer."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.cpu.plan import plan_dense
from fcnn.ops.target import current_target


def dense(
    x: Float[Array, "*batch feature"], kernel: Float[Array, "feature out"], *, precision: lax.PrecisionLike = None
) -> Float[Array, "*batch out"]:
    """Returns the products of rows of features with a matrix of weights, in the type of the rows.

    Where the weights have more digits than the rows, they are rounded before the product. On CPU, with few rows, they
    keep them: reading them takes all the time then, and their gradient need not be rounded and turned back either.

    Args:
        x: features.
        kernel: weights.
        precision: as in `jax.lax.dot_general`.
    """
    cpu = current_target().cpu
    if cpu is None or plan_dense(x.shape, x.dtype, kernel.dtype, cpu).name == "in the type of the rows":
        return jnp.matmul(x, kernel.astype(x.dtype), precision=precision)
    return jnp.matmul(x, kernel, precision=precision).astype(x.dtype)
