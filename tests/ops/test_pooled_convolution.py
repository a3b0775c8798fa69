"""The fused layer against one operation after the other."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import fcnn
from fcnn import ops


def one_after_the_other(x, kernel, bias, activation, window, padding):
    out = lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return nn.max_pool(activation(out + bias), (window, window), (window, window))


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "window", "padding"),
    [
        ((3, 32, 32, 1), (5, 5, 1, 6), 2, "VALID"),
        ((2, 14, 14, 6), (5, 5, 6, 16), 2, "VALID"),
        ((1, 13, 10, 3), (3, 3, 3, 4), 2, ((2, 1), (1, 1))),
        ((2, 12, 12, 2), (3, 3, 2, 5), 3, "SAME"),
        ((2, 9, 9, 2), (4, 3, 2, 5), 2, "SAME"),  # no whole number of blocks
        ((2, 8, 8, 20), (3, 3, 20, 24), 2, "SAME"),  # too many channels
    ],
)
@pytest.mark.parametrize("activation", [nn.relu, jnp.tanh])
def test_values_and_gradients(x_shape, kernel_shape, window, padding, activation, random):
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in (x_shape, kernel_shape))
    bias = jnp.asarray(random.standard_normal(kernel_shape[-1]), jnp.float32)

    def value_and_gradients(function):
        def weighted_sum(x, kernel, bias):
            out = function(x, kernel, bias, activation, window, padding)
            return jnp.sum(out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)), out

        return jax.jit(jax.grad(weighted_sum, (0, 1, 2), has_aux=True))(x, kernel, bias)

    (found_gradients, found), (expected_gradients, expected) = map(
        value_and_gradients, (ops.conv2d_max_pool, one_after_the_other)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(found_gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_of_equal_pixels_the_first_gets_the_gradient():
    kernel, bias = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0), jnp.zeros(1)
    gradient = jax.jit(jax.grad(lambda x: ops.conv2d_max_pool(x, kernel, bias, jnp.tanh, 2, "SAME").sum()))(
        jnp.ones((1, 4, 4, 1))
    )
    np.testing.assert_array_equal(gradient[0, :, :, 0] > 0, np.array([[1, 0, 1, 0], [0, 0, 0, 0]] * 2))


def test_the_layer_takes_the_parameters_of_a_convolution(key, random):
    x = jnp.asarray(random.standard_normal((2, 12, 12, 3)), jnp.float32)
    variables = fcnn.models.Conv(4, (3, 3), padding="VALID").init(key, x)
    layer = fcnn.models.layers.PooledConv(4, (3, 3), window=2, activation=nn.relu)
    assert jax.tree.map(jnp.shape, jax.eval_shape(layer.init, key, x)) == jax.tree.map(jnp.shape, variables)
    params = variables["params"]
    expected = one_after_the_other(x, params["kernel"], params["bias"], nn.relu, 2, "VALID")
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, rtol=1e-5, atol=1e-6)
