"""The product of a fully connected layer."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops import bfloat16
from fcnn.ops.convolution import sizes_are_known

# With fewer rows, a product takes less time than turning its weights into another type.
_ROWS = 128


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

    def in_type_of_rows(x, kernel):
        return jnp.matmul(x, kernel.astype(x.dtype), precision=precision)

    def in_type_of_weights(x, kernel):
        return jnp.matmul(x, kernel, precision=precision).astype(x.dtype)

    if x.dtype == kernel.dtype or not sizes_are_known(x.shape, kernel.shape):
        return in_type_of_rows(x, kernel)
    if math.prod(x.shape[:-1]) > _ROWS and bfloat16.has_units(x.dtype):
        return in_type_of_rows(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=in_type_of_weights, default=in_type_of_rows)
