"""How kernels begin."""

import math

import jax.numpy as jnp
from flax.linen import initializers

from fcnn.draws import scaled_normal_array


def scaled_normal(gain: float) -> initializers.Initializer:
    """Returns the initializer that draws from a Gaussian with variance `gain / fan_in`, fan_in being a unit's inputs.

    The gain 2 is right for rectifiers (He et al. 2015, "Delving Deep into Rectifiers", eq. 10), where jax's own
    `he_normal` draws from a truncated Gaussian; the gain 1 for units that are linear around 0.
    """

    def initialize(key, shape, dtype=jnp.float32):
        deviation = math.sqrt(gain / math.prod(shape[:-1]))
        return scaled_normal_array(key, deviation, tuple(shape)).astype(dtype)

    return initialize


he_normal = scaled_normal(2.0)
lecun_normal = scaled_normal(1.0)
