"""Batch normalisation against the textbook's formulas, for small arrays and for those whose rows are folded."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops
from fcnn.models.layers import BatchNorm
from fcnn.ops.target import target_of, traced_for

# All but the first are large; 509 rows of pixels are a prime number, which cannot be folded, and 300,000 pixels a row.
SHAPES = [(4, 3, 5, 6), (16, 64, 32, 32), (1, 509, 40, 32), (300_000, 3)]


def operands(shape, dtype=jnp.float32):
    """Returns an input far from zero, a scale, a bias, and a gradient to the output."""
    random = np.random.default_rng(0)
    x, gradient = (random.standard_normal(shape, np.float32) for _ in range(2))
    scale, bias = (jnp.asarray(random.standard_normal(shape[-1:], np.float32)) for _ in range(2))
    return jnp.asarray(2 * x + 30, dtype), scale, bias, jnp.asarray(gradient, dtype)


def textbook(x, scale, bias, epsilon=1e-5):
    """Returns the same as `ops.batch_norm`, in NumPy's float64."""
    x, axes = np.asarray(x, np.float64), tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(variance + epsilon) * np.asarray(scale) + np.asarray(bias), mean, variance


def textbook_gradient(x, scale, gradient, epsilon=1e-5):
    """Returns the gradients to x, scale and bias (Ioffe and Szegedy 2015, section 3)."""
    (normalised, _, variance), axes = textbook(x, 1.0, 0.0), tuple(range(x.ndim - 1))
    gradient = np.asarray(gradient, np.float64)
    along = gradient - gradient.mean(axes) - normalised * (gradient * normalised).mean(axes)
    to_x = along * np.asarray(scale) / np.sqrt(variance + epsilon)
    return to_x, (gradient * normalised).sum(axes), gradient.sum(axes)


def relative_error(found, wanted):
    """Returns the largest difference beside the largest value."""
    return np.abs(np.asarray(found, np.float64) - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_statistics_output_and_gradients_are_the_textbooks(shape):
    x, scale, bias, gradient = operands(shape)

    @jax.jit
    def found_and_gradients(gradient, *args):
        found, pullback = jax.vjp(lambda *args: ops.batch_norm(*args, 1e-5), *args)
        return found, pullback((gradient, jnp.zeros(shape[-1]), jnp.zeros(shape[-1])))

    found, gradients = found_and_gradients(gradient, x, scale, bias)
    for ours, theirs in zip(found, textbook(x, scale, bias), strict=True):
        assert relative_error(ours, theirs) < 1e-5
    for ours, theirs in zip(gradients, textbook_gradient(x, scale, gradient), strict=True):
        assert relative_error(ours, theirs) < 2e-5


def test_the_statistics_have_derivatives_too():
    x, scale, bias, _ = operands(SHAPES[1])

    def spread(x):
        _, mean, variance = ops.batch_norm(x, scale, bias, 1e-5)
        return (mean * jnp.arange(32)).sum() + (variance * jnp.arange(32)).sum()

    count = x.size / 32
    wanted = np.arange(32) / count * (1 + 2 * (np.asarray(x, np.float64) - np.asarray(x, np.float64).mean((0, 1, 2))))
    assert relative_error(jax.jit(jax.grad(spread))(x), wanted) < 1e-5


def test_forward_mode_and_second_derivatives_are_those_of_the_plain_formula():
    x, scale, bias, gradient = operands(SHAPES[1])
    arguments, tangents = (x, scale, bias), (gradient, scale[::-1], bias[::-1])

    def plain(x, scale, bias):
        mean = x.mean((0, 1, 2))
        return (x - mean) * jax.lax.rsqrt(jnp.square(x - mean).mean((0, 1, 2)) + 1e-5) * scale + bias

    def derivatives(normalise):
        def loss(x, scale, bias):
            return (normalise(x, scale, bias) ** 3).mean()

        @jax.jit
        def first_and_second(arguments, tangents):
            first = jax.jvp(normalise, arguments, tangents)[1]
            return first, *jax.jvp(jax.grad(loss, (0, 1, 2)), arguments, tangents)[1]

        return first_and_second(arguments, tangents)

    own = derivatives(lambda *args: ops.batch_norm(*args, 1e-5)[0])
    for ours, theirs in zip(own, derivatives(plain), strict=True):
        assert relative_error(ours, np.asarray(theirs, np.float64)) < 5e-4


def test_bfloat16_keeps_its_type_and_float32_statistics():
    x, scale, bias, _ = operands(SHAPES[1], jnp.bfloat16)
    out, mean, variance = ops.batch_norm(x, scale, bias, 1e-5)
    wanted, wanted_mean, wanted_variance = textbook(x.astype(jnp.float32), scale, bias)
    assert (out.dtype, mean.dtype, variance.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    assert relative_error(out, wanted) < 1e-2
    assert relative_error(mean, wanted_mean) < 1e-5
    assert relative_error(variance, wanted_variance) < 1e-4


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("train", [True, False])
def test_the_layer_is_that_of_flax(shape, train):
    x = operands(shape)[0]
    own, flax = BatchNorm(not train), nn.BatchNorm(not train, momentum=0.9, use_fast_variance=False)
    variables = own.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, flax.init(jax.random.key(0), x))
    ours, theirs = (layer.apply(variables, x, mutable=["batch_stats"]) for layer in (own, flax))
    for found, wanted in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 32, 8, 8), (600, 32, 8, 8)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_scale_and_bias_of_another_type(shape, dtype):
    x, scale, bias, _ = operands(shape)
    gradients = jax.jit(jax.grad(lambda *args: ops.batch_norm(*args, 1e-5)[0].astype(jnp.float32).sum(), (0, 1, 2)))(
        x, scale.astype(dtype), bias.astype(dtype)
    )
    assert [gradient.dtype for gradient in gradients] == [jnp.float32, dtype, dtype]


@pytest.mark.parametrize("mean", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_pass_is_exact_far_from_zero(mean, dtype, random):
    """As on a GPU: the values' mean is a thousand and a million deviations away from 0."""
    x = jnp.asarray(random.standard_normal((64, 9, 11, 5)) + mean, dtype)
    scale, bias = jnp.ones(5), jnp.zeros(5)
    weights = random.standard_normal(x.shape)

    def loss(x):
        out, *moments = ops.batch_norm(x, scale, bias, 1e-5)
        return (out.astype(jnp.float32) * weights).sum(), (out, *moments)

    with traced_for(target_of("gpu")):
        gradient, (out, found_mean, found_variance) = jax.jit(jax.grad(loss, has_aux=True))(x)
    wide = np.asarray(x, np.float64)
    expected_mean, expected_variance = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    np.testing.assert_allclose(found_mean, expected_mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found_variance, expected_variance, rtol=2e-5)
    inverse = 1 / np.sqrt(expected_variance + 1e-5)
    normalised = (wide - expected_mean) * inverse
    # The mean itself has as many digits as float32.
    digits = 2.0**-7 if dtype == jnp.bfloat16 else 1e-5
    tolerance = digits + np.abs(mean) * 2.0**-23 * inverse.max()
    assert np.abs(np.asarray(out, np.float64) - normalised).max() <= tolerance * max(1, np.abs(normalised).max())
    along = (weights * normalised).mean((0, 1, 2))
    expected = inverse * (weights - weights.mean((0, 1, 2)) - normalised * along)
    error = np.abs(np.asarray(gradient, np.float64) - expected).max()
    assert error <= (tolerance + 1e-5) * np.abs(expected).max() * max(1, np.abs(normalised).max())


def test_equal_values_have_no_negative_variance():
    with traced_for(target_of("gpu")):
        _, mean, variance = ops.batch_norm(jnp.full((3, 7, 7, 2), 0.1), jnp.ones(2), jnp.zeros(2), 1e-5)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(mean, np.float32(0.1))
