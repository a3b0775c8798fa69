"""How kernels begin."""

import math

import jax
import jax.numpy as jnp
from flax.linen import initializers
from jax import lax

_BLOCK = 4096


def scaled_normal(gain: float) -> initializers.Initializer:
    """Returns the initializer that draws from a Gaussian with variance `gain / fan_in`, fan_in being a unit's inputs.

    The gain 2 is right for rectifiers (He et al. 2015, "Delving Deep into Rectifiers", eq. 10), where jax's own
    `he_normal` draws from a truncated Gaussian; the gain 1 for units that are linear around 0.
    """

    def initialize(key, shape, dtype=jnp.float32):
        deviation = math.sqrt(gain / math.prod(shape[:-1]))
        # Drawn in blocks of one size: XLA takes a second or more on CPU to compile the generator for each shape, but
        # compiles a loop's body once for all kernels of a network.
        count = math.prod(shape)
        blocks = lax.map(
            lambda block: jax.random.normal(jax.random.fold_in(key, block), (_BLOCK,)), jnp.arange(-(-count // _BLOCK))
        )
        return (deviation * blocks.reshape(-1)[:count].reshape(shape)).astype(dtype)

    return initialize


he_normal = scaled_normal(2.0)
lecun_normal = scaled_normal(1.0)
