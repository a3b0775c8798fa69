import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

import fcnn
from fcnn import ops


def stock(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def relative_error(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)


def assert_equals_stock(x_shape, kernel_shape, strides, padding, seed=0):
    random = np.random.default_rng(seed)
    x = jnp.asarray(random.standard_normal(x_shape), jnp.float32)
    kernel = jnp.asarray(random.standard_normal(kernel_shape), jnp.float32)
    shape = jax.eval_shape(lambda: stock(x, kernel, strides, padding)).shape
    cotangent = jnp.asarray(random.standard_normal(shape), jnp.float32)

    def forward_and_backward(conv):
        out, back = jax.vjp(lambda x, k: conv(x, k, strides, padding), x, kernel)
        return (out, *back(cotangent))

    both = jax.jit(lambda: (forward_and_backward(ops.conv2d), forward_and_backward(stock)))()
    for found, expected in zip(*both, strict=True):
        assert found.shape == expected.shape
        assert relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("size", "kernel"),
    [((32, 32, 1), (5, 5, 6)), ((14, 14, 6), (5, 5, 16)), ((5, 5, 16), (5, 5, 120)), ((16, 16, 3), (3, 3, 16))],
)
def test_shapes_of_lenet(batch, size, kernel):
    assert_equals_stock((batch, *size), (*kernel[:2], size[-1], kernel[-1]), (1, 1), "VALID")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_shape(data):
    kernel = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 5), (7, 7), (11, 11), (3, 2), (1, 7)]))
    stride = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 2)]))
    padding = data.draw(st.sampled_from(["VALID", "SAME", ((1, 1), (1, 1)), ((0, 1), (2, 0)), ((3, 3), (3, 3))]))
    height, width = data.draw(st.integers(1, 16)), data.draw(st.integers(1, 16))
    if padding != "SAME":
        pads = ((0, 0), (0, 0)) if padding == "VALID" else padding
        assume(height + sum(pads[0]) >= kernel[0] and width + sum(pads[1]) >= kernel[1])
    in_channels, out_channels = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 16))
    batch = data.draw(st.integers(1, 3))
    assert_equals_stock((batch, height, width, in_channels), (*kernel, in_channels, out_channels), stride, padding)


def test_higher_derivatives_and_forward_mode(random):
    x = jnp.asarray(random.standard_normal((2, 8, 8, 2)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 3, 2, 4)), jnp.float32)

    def squares(conv):
        return lambda x, k: jnp.sum(jnp.tanh(conv(x, k, (1, 1), "SAME")))

    for transform in (jax.jacfwd, lambda f: jax.grad(lambda x, k: jnp.sum(jax.grad(f)(x, k) ** 2))):
        found, expected = (jax.jit(transform(squares(conv)))(x, kernel) for conv in (ops.conv2d, stock))
        assert relative_error(found, expected) <= 1e-5


def test_vmap_and_scan_give_the_same(random):
    x = jnp.asarray(random.standard_normal((3, 2, 32, 32, 1)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((5, 5, 1, 6)), jnp.float32)
    each = jnp.stack([ops.conv2d(one, kernel) for one in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda one: ops.conv2d(one, kernel)))(x), each, atol=1e-4)
    scanned = jax.lax.scan(lambda carry, one: (carry, ops.conv2d(one, kernel)), 0, x)[1]
    np.testing.assert_allclose(scanned, each, atol=1e-4)


def test_the_layer_is_a_drop_in(key, random):
    import flax.linen as nn

    x = jnp.asarray(random.standard_normal((2, 15, 15, 4)), jnp.float32)
    for options in (
        {"features": 6, "kernel_size": (5, 5)},
        {"features": 6, "kernel_size": (3, 3), "strides": 2, "padding": 1, "use_bias": False},
        {"features": 8, "kernel_size": (3, 3), "feature_group_count": 2},
        {"features": 6, "kernel_size": (3, 3), "kernel_dilation": 2},
        {"features": 6, "kernel_size": (3, 3), "padding": "CIRCULAR"},
    ):
        expected, variables = jax.jit(nn.Conv(**options).init_with_output)(key, x)
        found, ours = jax.jit(fcnn.models.Conv(**options).init_with_output)(key, x)
        assert relative_error(found, expected) <= 1e-5
        assert jax.tree.all(jax.tree.map(np.array_equal, ours, variables))
    one_dimensional = {"features": 6, "kernel_size": (3,)}
    line = x[:, 0]
    expected = jax.jit(nn.Conv(**one_dimensional).init_with_output)(key, line)
    found = jax.jit(fcnn.models.Conv(**one_dimensional).init_with_output)(key, line)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


def test_the_whole_batch_is_split_over_devices(random):
    mesh = fcnn.make_mesh()
    x = random.standard_normal((16, 32, 32, 1)).astype(np.float32)
    kernel = random.standard_normal((5, 5, 1, 6)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda k, x: jnp.sum(ops.conv2d(x, k) ** 2)))
    whole = gradient(kernel, x)
    split = gradient(kernel, fcnn.parallel.shard_batch(mesh, x))
    assert relative_error(split, whole) <= 1e-5
