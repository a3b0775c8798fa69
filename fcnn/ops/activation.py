"""Rectification, for numbers of 16 bits too."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fcnn.ops.bfloat16 import in_float32


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns the positive part; the gradient at 0 is 0 (Nair and Hinton 2010; Krizhevsky et al. 2012, section 3.1).

    It is `jax.nn.relu`. For numbers of 16 bits XLA on CPU chooses between each and 0 with a jump, which the processor
    foresees badly: there it chooses in float32, in the gradient by the output, so that nothing else need be kept.

    Args:
        x: numbers; what is not a number stays so.
    """
    return _relu_of_16_bits(x) if x.dtype.itemsize == 2 else jax.nn.relu(x)


@jax.custom_jvp
def _relu_of_16_bits(x):
    return in_float32(jax.nn.relu)(x)


@_relu_of_16_bits.defjvp
def _tangent(primals, tangents):
    out = _relu_of_16_bits(*primals)
    return out, in_float32(lambda tangent, out: jnp.where(out > 0, tangent, 0))(*tangents, out)
