import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fcnn import ops


def windows(x, window, strides):
    """Yields (output place, window of pixels), by hand."""
    for i in range((x.shape[1] - window[0]) // strides[0] + 1):
        for j in range((x.shape[2] - window[1]) // strides[1] + 1):
            row, column = i * strides[0], j * strides[1]
            yield (i, j), x[:, row : row + window[0], column : column + window[1]]


@pytest.mark.parametrize(
    ("size", "window", "strides"),
    [((8, 8), (2, 2), None), ((9, 6), (3, 2), None), ((9, 7), (3, 3), (2, 2)), ((7, 7), (2, 2), (2, 2))],
)
def test_by_hand(size, window, strides, random):
    x = random.standard_normal((2, *size, 3)).astype(np.float32)
    largest, mean = jax.jit(lambda x: (ops.max_pool(x, window, strides), ops.avg_pool(x, window, strides)))(x)
    for (i, j), pixels in windows(x, window, strides or window):
        np.testing.assert_array_equal(largest[:, i, j], pixels.max((1, 2)))
        np.testing.assert_allclose(mean[:, i, j], pixels.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_padding_never_wins_and_counts_as_zero_in_the_mean():
    x = -jnp.ones((1, 2, 2, 1))
    padding = ((1, 1), (1, 1))
    assert jnp.all(ops.max_pool(x, (2, 2), (2, 2), padding) == -1)
    np.testing.assert_allclose(ops.avg_pool(x, (2, 2), (2, 2), padding), -0.25)


@pytest.mark.parametrize("window", [(2, 2), (3, 3)])
def test_gradient_of_equal_pixels_goes_to_the_first(window, random):
    x = jnp.asarray(random.integers(0, 3, (2, 12, 12, 3)), jnp.float32)
    cotangent = jnp.asarray(random.standard_normal((2, 12 // window[0], 12 // window[1], 3)), jnp.float32)

    def select_and_scatter(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *window, 1), "VALID")

    (expected,) = jax.vjp(select_and_scatter, x)[1](cotangent)
    (found,) = jax.jit(lambda x: jax.vjp(lambda x: ops.max_pool(x, window), x)[1](cotangent))(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("size", "window", "strides", "padding"),
    [
        ((9, 9), (3, 3), (2, 2), ((0, 0), (0, 0))),
        ((12, 11), (3, 3), (2, 2), ((1, 1), (1, 1))),
        ((10, 8), (3, 2), (1, 1), ((1, 0), (0, 1))),
        ((11, 12), (2, 3), (3, 4), ((0, 0), (1, 1))),
        ((13, 9), (5, 4), (2, 3), ((2, 2), (1, 2))),
        ((7, 10), (2, 2), (2, 2), "SAME"),
    ],
)
def test_overlapping_and_padded_windows_are_those_of_select_and_scatter(size, window, strides, padding, random):
    x = jnp.asarray(random.integers(0, 3, (2, *size, 3)), jnp.float32)
    pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))

    def select_and_scatter(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)

    def value_and_gradient(pool):
        out, pullback = jax.vjp(pool, x)
        cotangent = jax.random.normal(jax.random.key(0), out.shape)
        return out, pullback(cotangent)[0], jax.jvp(pool, (x,), (jax.random.normal(jax.random.key(1), x.shape),))[1]

    expected, expected_gradient, _ = jax.jit(lambda: value_and_gradient(select_and_scatter))()
    found, gradient, forward = jax.jit(
        lambda: value_and_gradient(lambda x: ops.max_pool(x, window, strides, padding))
    )()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-6)
    cotangent, tangent = (jax.random.normal(jax.random.key(n), a.shape) for n, a in enumerate((found, x)))
    np.testing.assert_allclose(jnp.vdot(forward, cotangent), jnp.vdot(tangent, gradient), rtol=1e-4)


def test_forward_mode_is_the_transpose_of_the_gradient(random):
    x, tangent = (jnp.asarray(random.standard_normal((1, 4, 4, 2)), jnp.float32) for _ in range(2))
    cotangent = jnp.asarray(random.standard_normal((1, 2, 2, 2)), jnp.float32)
    _, forward = jax.jvp(lambda x: ops.max_pool(x, (2, 2)), (x,), (tangent,))
    (backward,) = jax.vjp(lambda x: ops.max_pool(x, (2, 2)), x)[1](cotangent)
    np.testing.assert_allclose(jnp.vdot(forward, cotangent), jnp.vdot(tangent, backward), rtol=1e-5)


def test_not_a_number_stays_one():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 2, 0].set(jnp.nan)
    assert jnp.isnan(ops.max_pool(x, (2, 2))[0, 0, 1, 0])
    assert jnp.isnan(ops.max_pool(x, (2, 2))).sum() == 1


def test_windows_that_do_not_fit_and_empty_batches_give_no_output():
    assert ops.max_pool(jnp.ones((2, 2, 2, 3)), (3, 3), (2, 2)).shape == (2, 0, 0, 3)
    assert ops.max_pool(jnp.ones((0, 4, 4, 3)), (2, 2)).shape == (0, 2, 2, 3)


def test_averages_in_bfloat16_are_added_up_in_float32():
    assert ops.avg_pool(jnp.ones((1, 64, 64, 1), jnp.bfloat16), (64, 64)).item() == 1
