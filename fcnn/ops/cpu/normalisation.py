"""Batch normalisation on a CPU, whose statistics and gradients read from memory as seldom as can be."""

import math
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.cpu.blocks import largest_divisor
from fcnn.ops.cpu.plan import plan_batch_norm
from fcnn.ops.transposition import derivative_of

# Up to this size, the statistics are by the plain formula, and so Flax's own to the last bit.
_PLAIN_STATISTICS_BYTES = 2**21
# How many rows of pixels are added up in one loop.
_ROWS = 8


def batch_norm(x, scale, bias, epsilon):
    """Computes what `fcnn.ops.batch_norm` says.

    The derivative that JAX finds reads a large array more often than the one here, and XLA may write all that is summed
    over it to memory first.
    """
    if plan_batch_norm(x.shape, x.dtype).name == "plain":
        return _plain(epsilon, x, scale, bias)
    return _with_own_gradient(epsilon, x, scale, bias)


def _plain(epsilon, x, scale, bias):
    mean, variance = _plain_moments(x)
    return _normalise(epsilon, x, scale, bias, mean, variance), mean, variance


def _plain_moments(x):
    wide, axes = x.astype(_wide(x)), range(x.ndim - 1)
    # The mean of squares less the square of the mean would lose digits where the mean is large against the deviation.
    mean = wide.mean(axes)
    return mean, jnp.square(wide - mean).mean(axes)


def _normalise(epsilon, x, scale, bias, mean, variance):
    out = (x.astype(_wide(x)) - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
    return out.astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_own_gradient(epsilon, x, scale, bias):
    mean, variance = _moments(x)
    return _normalise(epsilon, x, scale, bias, mean, variance), mean, variance


@_with_own_gradient.defjvp
def _tangent(epsilon, primals, tangents):
    x, scale, bias = primals
    out, mean, variance = _with_own_gradient(epsilon, *primals)
    count = math.prod(x.shape[:-1])

    def gradient(out_gradient):
        """Algorithm 1's chain rule (section 3), gathered into two sums over the batch."""
        total, total_along = _sums(out_gradient, x, mean)
        inverse = lax.rsqrt(variance + epsilon)
        centred = x.astype(mean.dtype) - mean
        to_x = out_gradient - total / count - centred * (total_along * inverse**2 / count)
        to_scale, to_bias = (total_along * inverse).astype(scale.dtype), total.astype(bias.dtype)
        return (to_x * (inverse * scale)).astype(x.dtype), to_scale, to_bias

    out_tangent = derivative_of(gradient, out, tangents)
    wide_tangent, axes = tangents[0].astype(mean.dtype), range(x.ndim - 1)
    mean_tangent = wide_tangent.mean(axes)
    variance_tangent = 2 * ((x - mean) * wide_tangent).mean(axes)
    return (out, mean, variance), (out_tangent, mean_tangent, variance_tangent)


def _moments(x):
    """Returns mean and variance of each channel."""
    if x.size * x.dtype.itemsize <= _PLAIN_STATISTICS_BYTES:
        return _plain_moments(x)
    count = math.prod(x.shape[:-1])
    mean = _sum(lambda x: x, x) / count
    return mean, _sum(lambda x: jnp.square(x - mean), x) / count


def _sums(y, x, mean):
    """Returns the sums over each channel of y and of y * (x - mean)."""
    return _sum(lambda y: y, y), _sum(lambda y, x: y * (x - mean), y, x)


def _sum(function, *arrays):
    """Returns the sum over each channel of what a function gives for every number of some arrays.

    Before JAX 0.12, XLA writes all that to memory before it adds it up. There, eight rows of pixels are added up in the
    loop that computes them, and an eighth is written. They lie below each other: rows that lie far apart can share a
    few places of the cache.
    """
    if jax.__version_info__ >= (0, 12):
        return function(*(array.astype(_wide(array)) for array in arrays)).sum(range(arrays[0].ndim - 1))
    *_, width, channels = arrays[0].shape
    rows = arrays[0].size // (width * channels)
    fold = largest_divisor(rows, _ROWS)
    arrays = [array.astype(_wide(array)).reshape(-1, fold, width, channels) for array in arrays]
    folded = reduce(jnp.add, (function(*(array[:, row] for array in arrays)) for row in range(fold)))
    # In two steps: along columns as long as a row of pixels, XLA's sums are fast.
    return folded.reshape(-1, width * channels).sum(0).reshape(-1, channels).sum(0)


def _wide(x):
    return jnp.promote_types(x.dtype, jnp.float32)
