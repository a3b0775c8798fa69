"""Convolutions in bfloat16: as exact as its numbers are, and in products that the units can do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import fcnn
from fcnn import ops
from fcnn.machine import compilation
from fcnn.ops import machine
from fcnn.ops.cpu import patches, plan, products_in_bfloat16
from fcnn.ops.cpu.choice import Convolution

# Half the distance of neighbours at 1, once for the result and once for a sum of parts.
ROUNDING = 2**-8
NO_PADDING = ((0, 0), (0, 0))


@pytest.fixture
def units(monkeypatch):
    monkeypatch.setattr(machine, "jax_uses_bfloat16_units", lambda: True)
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: True)


@pytest.fixture
def onednn(units, monkeypatch):
    monkeypatch.setattr(compilation, "has_onednn", lambda: True)


@pytest.fixture
def no_units(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: False)


def stock(x, kernel, strides, padding):
    if not isinstance(padding, str):
        # XLA's own gradients, in JAX 0.10, are wrong or abort the process for some paddings: none for it.
        x, padding = jnp.pad(x, ((0, 0), *padding, (0, 0))), "VALID"
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def rounded(random, *shape):
    return jnp.asarray(random.standard_normal(shape), jnp.bfloat16)


def largest_error(found, expected):
    assert found.dtype == jnp.bfloat16
    found, expected = np.asarray(found, np.float32), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def assert_as_exact_as_its_numbers(x, kernel, strides, padding):
    """Compares with XLA's convolution of the same numbers in float32."""
    out_gradient = jax.eval_shape(lambda: stock(x, kernel, strides, padding))
    out_gradient = rounded(np.random.default_rng(1), *out_gradient.shape)

    @fcnn.jit
    def forward_and_backward(x, kernel, out_gradient):
        ours, back = jax.vjp(lambda x, k: ops.conv2d(x, k, strides, padding), x, kernel)
        wide = [array.astype(jnp.float32) for array in (x, kernel, out_gradient)]
        theirs, stock_back = jax.vjp(lambda x, k: stock(x, k, strides, padding), *wide[:2])
        return (ours, *back(out_gradient)), (theirs, *stock_back(wide[2]))

    for found, expected in zip(*forward_and_backward(x, kernel, out_gradient), strict=True):
        assert largest_error(found, expected) <= ROUNDING


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides", "padding"),
    [
        ((8, 9, 12, 16), (3, 3, 16, 20), (1, 1), ((1, 1), (1, 1))),
        ((1, 8, 7, 24), (5, 3, 24, 16), (1, 1), ((3, 0), (0, 4))),
        ((3, 11, 10, 16), (3, 3, 16, 16), (2, 2), ((1, 1), (1, 1))),
        ((2, 7, 8, 72), (3, 3, 72, 16), (1, 1), ((1, 1), (1, 1))),
        ((2, 13, 12, 17), (7, 2, 17, 16), (3, 1), "SAME"),
        ((4, 9, 9, 32), (1, 1, 32, 16), (1, 1), NO_PADDING),
        ((4, 9, 8, 32), (1, 1, 32, 16), (2, 2), NO_PADDING),
        ((2, 6, 6, 16), (1, 1, 16, 16), (1, 1), ((1, 1), (2, 0))),
        ((2, 4, 4, 16), (4, 4, 16, 32), (1, 1), NO_PADDING),
        ((2, 12, 12, 3), (5, 5, 3, 16), (1, 1), NO_PADDING),
        ((2, 15, 15, 3), (7, 7, 3, 64), (2, 2), ((3, 3), (3, 3))),
    ],
)
@pytest.mark.parametrize("machine_with", ["units", "no_units", "onednn"])
def test_output_and_gradients(x_shape, kernel_shape, strides, padding, machine_with, random, request):
    request.getfixturevalue(machine_with)
    assert_as_exact_as_its_numbers(rounded(random, *x_shape), rounded(random, *kernel_shape), strides, padding)


@pytest.mark.usefixtures("units")
def test_a_few_images_at_a_time(monkeypatch, random):
    monkeypatch.setattr(patches, "_PRODUCT_BYTES", 2**16)
    monkeypatch.setattr(products_in_bfloat16, "_PRODUCT_BYTES", 2**16)
    x_shape, kernel_shape = (9, 14, 14, 16), (3, 3, 16, 24)
    assert products_in_bfloat16.images_at_once(x_shape, (9, 14, 14, 24), kernel_shape) < 9
    padding = ((1, 1), (1, 1))
    assert_as_exact_as_its_numbers(rounded(random, *x_shape), rounded(random, *kernel_shape), (1, 1), padding)


@pytest.mark.usefixtures("no_units")
def test_winograds_differences_are_of_float32(monkeypatch, random):
    monkeypatch.setattr(plan, "_WINOGRAD_MULTIPLY_ADDS", 0)
    monkeypatch.setattr(machine, "cpu_flags", lambda *_: frozenset())
    x, kernel = rounded(random, 2, 10, 10, 64), rounded(random, 3, 3, 64, 64)
    convolution = Convolution(x.shape, kernel.shape, (1, 1), NO_PADDING, x.dtype)
    assert plan.plan_output(convolution, machine.this_cpu()).name == "winograd"
    assert_as_exact_as_its_numbers(x, kernel, (1, 1), NO_PADDING)


@pytest.mark.usefixtures("units")
def test_every_product_takes_bfloat16(random):
    x, kernel = rounded(random, 4, 8, 8, 16), rounded(random, 3, 3, 16, 16)
    out_gradient = rounded(random, 4, 8, 8, 16)

    def forward_and_backward(x, kernel, out_gradient):
        out, back = jax.vjp(lambda x, k: ops.conv2d(x, k, (1, 1), "SAME"), x, kernel)
        return out, back(out_gradient)

    program = jax.jit(forward_and_backward).lower(x, kernel, out_gradient).as_text()
    products = [line.split(":")[-1] for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 3
    assert not any("f32" in product for product in products)


@pytest.mark.usefixtures("units")
def test_under_vmap_scan_checkpoint_and_in_forward_mode(random):
    x, kernel = rounded(random, 3, 2, 8, 8, 16), rounded(random, 3, 3, 16, 16)

    def conv(x):
        return ops.conv2d(x, kernel, (1, 1), "SAME")

    expected = [stock(one.astype(jnp.float32), kernel.astype(jnp.float32), (1, 1), "SAME") for one in x]
    expected = jnp.stack(expected)
    for found in (jax.vmap(conv)(x), lax.scan(lambda c, one: (c, conv(one)), 0, x)[1]):
        assert largest_error(found, expected) <= ROUNDING
    # The transposed patches add up nine numbers of eight bits.
    assert largest_error(jax.jvp(conv, (x[0],), (x[1],))[1], expected[1]) <= 9 * ROUNDING
    gradient = jax.grad(jax.checkpoint(lambda x: conv(x).astype(jnp.float32).sum()))(x[0])
    plain = jax.grad(lambda x: stock(x, kernel.astype(jnp.float32), (1, 1), "SAME").sum())(x[0].astype(jnp.float32))
    assert largest_error(gradient, plain) <= ROUNDING


def test_a_maximum_is_one_of_the_pixels_and_its_gradient_added_up_in_float32(random):
    x, windows = rounded(random, 2, 15, 15, 8), {"window": (3, 3), "strides": (1, 1)}

    def pooled(x):
        return ops.max_pool(x, **windows)

    wide = x.astype(jnp.float32)
    np.testing.assert_array_equal(pooled(x), pooled(wide).astype(jnp.bfloat16))
    gradient, expected = (jax.grad(lambda x: pooled(x).astype(jnp.float32).sum())(array) for array in (x, wide))
    np.testing.assert_array_equal(gradient, expected.astype(jnp.bfloat16))
