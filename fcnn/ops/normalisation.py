"""Batch normalisation."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.cpu import normalisation
from fcnn.ops.target import current_target


def batch_norm(
    x: Float[Array, "*batch channel"], scale: Float[Array, " channel"], bias: Float[Array, " channel"], epsilon: float
) -> tuple[Float[Array, "*batch channel"], Float[Array, " channel"], Float[Array, " channel"]]:
    """Returns values normalised over all axes but the last, and their mean and variance in float32.

    Ioffe and Szegedy 2015, "Batch Normalization", algorithm 1; the variance is the biased one.

    Args:
        x: values.
        scale: factor of each channel, after the normalisation.
        bias: added to each channel after that.
        epsilon: added to the variance.
    """
    if current_target().cpu is not None:
        return normalisation.batch_norm(x, scale, bias, epsilon)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, variance = _moments_in_one_pass(wide)
    out = (wide - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
    return out.astype(x.dtype), mean, variance


def _moments_in_one_pass(x):
    """Returns mean and variance of each channel from two sums that read the values once, as one loop.

    The mean of squares less the square of the mean loses digits where the mean is large beside the deviation. What both
    are of is therefore moved by a value near the mean, one of the channel's own: it is some deviations away at most.
    """
    axes = range(x.ndim - 1)
    near = lax.stop_gradient(x[(0,) * (x.ndim - 1)])
    moved = x - near
    mean, square = moved.mean(axes), jnp.square(moved).mean(axes)
    # Rounding may take the difference of equal values below 0.
    return near + mean, jnp.maximum(square - jnp.square(mean), 0)
