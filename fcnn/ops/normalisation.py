"""Batch normalisation."""

import math
from functools import partial

import jax
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
    if current_target().cpu is None:
        return _in_one_pass(epsilon, x, scale, bias)
    return normalisation.batch_norm(x, scale, bias, epsilon)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _in_one_pass(epsilon, x, scale, bias):
    """Computes `batch_norm` from two sums that read the values once, in one loop.

    The mean of squares less the square of the mean loses digits where the mean is large beside the deviation. What both
    are of is therefore moved by a value near the mean, one of the channel's own: it is some deviations away at most.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    near = wide[(0,) * (x.ndim - 1)]
    moved, count, axes = wide - near, math.prod(x.shape[:-1]), tuple(range(x.ndim - 1))
    mean, square = lax.reduce_sum(moved, axes) / count, lax.reduce_sum(moved * moved, axes) / count
    # Rounding may take the difference of equal values below 0.
    variance = jnp.maximum(square - mean * mean, 0)
    out = (moved - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
    return out.astype(x.dtype), near + mean, variance


@_in_one_pass.defjvp
def _tangent(epsilon, primals, tangents):
    """Gathers algorithm 1's derivative (section 3) so that its transpose has just two sums over the batch."""
    (x, scale, _), (x_tangent, scale_tangent, bias_tangent) = primals, tangents
    out, mean, variance = _in_one_pass(epsilon, *primals)
    count, axes = math.prod(x.shape[:-1]), tuple(range(x.ndim - 1))
    centred, wide_tangent = x.astype(mean.dtype) - mean, x_tangent.astype(mean.dtype)
    mean_tangent = lax.reduce_sum(wide_tangent, axes) / count
    half_variance_tangent = lax.reduce_sum(centred * wide_tangent, axes) / count
    inverse = lax.rsqrt(variance + epsilon)
    slope = inverse * scale
    shift = bias_tangent - mean_tangent * slope
    turn = inverse * scale_tangent - half_variance_tangent * (inverse * inverse * slope)
    out_tangent = (wide_tangent * slope + centred * turn + shift).astype(x.dtype)
    return (out, mean, variance), (out_tangent, mean_tangent, 2 * half_variance_tangent)
