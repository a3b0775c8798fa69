"""Convolutions with 16 products for 4 pixels: the same as XLA's, up to rounding."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from fcnn import ops
from fcnn.ops import machine
from fcnn.ops.cpu import plan, winograd
from fcnn.ops.cpu.choice import Convolution

KERNEL = (3, 3, 64, 72)
NO_PADDING = ((0, 0), (0, 0))


def stock(x, kernel, padding):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def ours(x, kernel, padding):
    return ops.conv2d(x, kernel, (1, 1), padding)


def relative_error(found, expected):
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


@pytest.fixture
def on_small_images(monkeypatch):
    monkeypatch.setattr(plan, "_WINOGRAD_MULTIPLY_ADDS", 0)
    monkeypatch.setattr(machine, "cpu_flags", lambda *_: frozenset())


@pytest.fixture
def kernel(random):
    return jnp.asarray(random.standard_normal(KERNEL), jnp.float32)


def images(random, *shape):
    return jnp.asarray(random.standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(
    ("size", "padding", "tile_bytes"),
    [
        ((14, 13), ((1, 1), (1, 1)), 2**26),
        ((15, 16), NO_PADDING, 2**20),
        ((13, 14), ((2, 0), (1, 2)), 2**26),
        ((12, 12), ((3, 3), (0, 4)), 2**20),
    ],
)
@pytest.mark.usefixtures("on_small_images")
def test_output_and_gradients(size, padding, tile_bytes, kernel, random, monkeypatch):
    # Three images at once, or all.
    monkeypatch.setattr(winograd, "_TILE_BYTES", tile_bytes)
    x = images(random, 9, *size, 64)
    convolution = Convolution(x.shape, KERNEL, (1, 1), padding, x.dtype)
    assert plan.plan_output(convolution, machine.this_cpu()).name == "winograd"
    cotangent = images(random, *stock(x, kernel, padding).shape)

    def forward_and_backward(conv, x, kernel):
        out, back = jax.vjp(lambda x, k: conv(x, k, padding), x, kernel)
        return (out, *back(cotangent))

    both = jax.jit(lambda *args: (forward_and_backward(ours, *args), forward_and_backward(stock, *args)))(x, kernel)
    for found, expected in zip(*both, strict=True):
        assert found.shape == expected.shape
        assert relative_error(found, expected) <= 5e-6


def test_fewer_products_are_made(kernel, random):
    x, padding = images(random, 8, 16, 16, 64), ((1, 1), (1, 1))
    program = str(jax.make_jaxpr(lambda x, k: winograd.convolution(x, k, (1, 1), padding, None))(x, kernel))
    assert program.count("dot_general[") == 16
    assert program.count("conv_general_dilated") == 0
    # Each has a row for a tile of 2x2 outputs, which plain sums need 36 for.
    assert program.count("f32[512,72] = dot_general") == 16


@pytest.mark.usefixtures("on_small_images")
def test_forward_mode_and_second_derivatives(kernel, random):
    x, direction, padding = images(random, 4, 16, 16, 64), images(random, 4, 16, 16, 64), ((1, 1), (1, 1))
    convolution = Convolution(x.shape, KERNEL, (1, 1), padding, x.dtype)
    assert plan.plan_output(convolution, machine.this_cpu()).name == "winograd"

    def loss(conv):
        return lambda x: jnp.sum(jnp.tanh(conv(x, kernel, padding) / 24))

    def curvature(conv):
        return jax.jit(lambda x: jax.jvp(jax.grad(loss(conv)), (x,), (direction,)))(x)

    for found, expected in zip(curvature(ours), curvature(stock), strict=True):
        assert relative_error(found, expected) <= 2e-5


@pytest.mark.usefixtures("on_small_images")
def test_inside_vmap_scan_and_checkpoint(kernel, random):
    x, padding = images(random, 2, 4, 16, 16, 64), ((1, 1), (1, 1))
    expected = jnp.stack([stock(one, kernel, padding) for one in x])
    assert relative_error(jax.jit(jax.vmap(lambda one: ours(one, kernel, padding)))(x), expected) <= 5e-6
    assert relative_error(lax.scan(lambda c, one: (c, ours(one, kernel, padding)), 0, x)[1], expected) <= 5e-6

    def gradient(conv):
        return jax.jit(jax.grad(jax.checkpoint(lambda k: jnp.sum(conv(x[0], k, padding) ** 2))))(kernel)

    assert relative_error(gradient(ours), gradient(stock)) <= 5e-6
