"""Batch normalisation, whose statistics and gradients read from memory as seldom as can be."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.convolution import sizes_are_known

# An array up to this size stays in cache between the sums over it.
_SMALL_BYTES = 2**21
# Of a larger one, what is read once and used several times before the cache forgets it.
_BLOCK_BYTES = 2**20


def batch_norm(
    x: Float[Array, "*batch channel"], scale: Float[Array, " channel"], bias: Float[Array, " channel"], epsilon: float
) -> tuple[Float[Array, "*batch channel"], Float[Array, " channel"], Float[Array, " channel"]]:
    """Returns values normalised over all axes but the last, and their mean and variance in float32.

    Ioffe and Szegedy 2015, "Batch Normalization", algorithm 1; the variance is the biased one. On CPU, XLA writes the
    squares of a whole array to memory before it adds them up; here all that is summed over a block of rows is summed
    while the block is in cache, for the statistics and for the gradients.

    Args:
        x: values.
        scale: factor of each channel, after the normalisation.
        bias: added to each channel after that.
        epsilon: added to the variance.
    """
    if not sizes_are_known(x.shape) or x.size * x.dtype.itemsize <= _SMALL_BYTES:
        return _plain(epsilon, x, scale, bias)
    return lax.platform_dependent(
        x, scale, bias, cpu=partial(_with_own_gradient, epsilon), default=partial(_plain, epsilon)
    )


def _plain(epsilon, x, scale, bias):
    wide, axes = x.astype(_wide(x)), range(x.ndim - 1)
    # The mean of squares less the square of the mean would lose digits where the mean is large against the deviation.
    mean = wide.mean(axes)
    variance = jnp.square(wide - mean).mean(axes)
    return _normalise(epsilon, x, scale, bias, mean, variance), mean, variance


def _normalise(epsilon, x, scale, bias, mean, variance):
    out = (x.astype(_wide(x)) - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
    return out.astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_own_gradient(epsilon, x, scale, bias):
    mean, variance = _moments(x)
    return _normalise(epsilon, x, scale, bias, mean, variance), mean, variance


@_with_own_gradient.defjvp
def _tangent(epsilon, primals, tangents):
    x, scale, _ = primals
    out, mean, variance = _with_own_gradient(epsilon, *primals)
    count = math.prod(x.shape[:-1])

    def gradient(out_gradient):
        """Algorithm 1's chain rule (section 3), gathered into two sums over the batch."""
        total, total_along = _sums(out_gradient, x, mean)
        inverse = lax.rsqrt(variance + epsilon)
        centred = x.astype(mean.dtype) - mean
        to_x = out_gradient - total / count - centred * (total_along * inverse**2 / count)
        return (to_x * (inverse * scale)).astype(x.dtype), total_along * inverse, total

    # A derivative is the transpose of the gradient; differentiation transposes it back.
    (out_tangent,) = jax.linear_transpose(gradient, out)(tangents)
    wide_tangent, axes = tangents[0].astype(mean.dtype), range(x.ndim - 1)
    mean_tangent = wide_tangent.mean(axes)
    variance_tangent = 2 * ((x - mean) * wide_tangent).mean(axes)
    return (out, mean, variance), (out_tangent, mean_tangent, variance_tangent)


def _moments(x):
    """Returns mean and variance of each channel: of each block by itself, then of all (Chan et al. 1979)."""
    channels = x.shape[-1]

    def moments(_, block):
        count = block.size // channels
        mean = _sum(block, channels) / count
        from_mean = block - jnp.tile(mean, block.shape[-1] // channels)
        return None, (mean, _sum(jnp.square(from_mean), channels) / count)

    _, (means, variances) = lax.scan(moments, None, _blocks(x))
    mean = means.mean(0)
    return mean, (variances + jnp.square(means - mean)).mean(0)


def _sums(y, x, mean):
    """Returns the sums over each channel of y and of y * (x - mean)."""
    channels = x.shape[-1]

    # What is linear in y takes x as it is, rather than the differences of all blocks, which would be kept.
    @partial(jax.checkpoint, prevent_cse=False)
    def sums(_, blocks):
        y, x = blocks
        from_mean = x - jnp.tile(mean, x.shape[-1] // channels)
        return None, (_sum(y, channels), _sum(y * from_mean, channels))

    _, sums = lax.scan(sums, None, (_blocks(y), _blocks(x)))
    return [values.sum(0) for values in sums]


def _blocks(x):
    """Returns an array as [block, row, values of a row], a row being the channels of a row of pixels."""
    width = math.prod(x.shape[-2:])
    rows = x.size // width
    fewest = min(rows, -(-x.size * x.dtype.itemsize // _BLOCK_BYTES))
    blocks = next(blocks for blocks in range(fewest, rows + 1) if rows % blocks == 0)
    return x.reshape(blocks if blocks < 4 * fewest else 1, -1, width)


def _sum(block, channels):
    # In two steps: along columns as long as a row of pixels, XLA's sums are fast.
    return block.sum(0, dtype=_wide(block)).reshape(-1, channels).sum(0)


def _wide(x):
    return jnp.promote_types(x.dtype, jnp.float32)
