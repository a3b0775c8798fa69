"""Dilated convolution against a plain one whose kernel has zeros between its weights."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops


def with_zeros_between(kernel, dilation):
    rows, columns, *channels = kernel.shape
    (down, right) = dilation
    spread = np.zeros((down * (rows - 1) + 1, right * (columns - 1) + 1, *channels))
    spread[::down, ::right] = kernel
    return spread


def convolved(x, kernel, pads):
    """The definition, in float64."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


CASES = [
    ((9, 12), (3, 3), (2, 2), ((2, 2), (2, 2))),
    ((9, 13), (3, 3), (4, 4), ((4, 4), (4, 4))),
    ((10, 7), (3, 3), (2, 3), ((1, 4), (0, 5))),
    ((11, 8), (2, 3), (3, 2), ((0, 0), (0, 0))),
    ((1, 2), (3, 3), (4, 4), ((4, 4), (4, 4))),
    ((5, 5), (1, 1), (2, 2), ((0, 0), (1, 0))),
    ((7, 5), (5, 3), (1, 2), ((2, 2), (2, 2))),
]


@pytest.mark.parametrize(("size", "kernel_size", "dilation", "pads"), CASES)
@pytest.mark.parametrize("channels", [(3, 4), (20, 24)])
def test_pixels_are_as_far_apart_as_the_dilation(size, kernel_size, dilation, pads, channels, random):
    x = random.standard_normal((2, *size, channels[0])).astype(np.float32)
    kernel = random.standard_normal((*kernel_size, *channels)).astype(np.float32)
    spread = with_zeros_between(kernel, dilation)
    expected = convolved(x, spread, pads)
    out_gradient = random.standard_normal(expected.shape).astype(np.float32)

    @jax.jit
    def outputs(x, kernel):
        def convolve(x, kernel):
            return ops.conv2d(x, kernel, padding=pads, dilation=dilation)

        out, gradients_of = jax.vjp(convolve, x, kernel)
        return out, gradients_of(jnp.asarray(out_gradient))

    found, (x_gradient, kernel_gradient) = outputs(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # Both are derivatives of a sum of products: each weight and each pixel gets what it was multiplied with.
    for place in list(np.ndindex(kernel.shape))[:: kernel.size // 7 + 1]:
        unit = np.zeros_like(kernel)
        unit[place] = 1
        change = (convolved(x, with_zeros_between(unit, dilation), pads) * out_gradient).sum()
        np.testing.assert_allclose(kernel_gradient[place], change, rtol=1e-3, atol=1e-3)
    for place in list(np.ndindex(x.shape))[:: x.size // 7 + 1]:
        unit = np.zeros_like(x)
        unit[place] = 1
        change = (convolved(unit, spread, pads) * out_gradient).sum()
        np.testing.assert_allclose(x_gradient[place], change, rtol=1e-3, atol=1e-3)


def test_strides_and_open_sizes_are_left_to_xla(random):
    x = jnp.asarray(random.standard_normal((3, 9, 9, 2)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 3, 2, 4)), jnp.float32)
    expected = convolved(x, with_zeros_between(kernel, (2, 2)), ((2, 2), (2, 2)))

    def convolve(x, kernel, strides=(1, 1)):
        return ops.conv2d(x, kernel, strides, ((2, 2), (2, 2)), dilation=(2, 2))

    np.testing.assert_allclose(convolve(x, kernel, (2, 2)), expected[:, ::2, ::2], rtol=1e-4, atol=1e-5)
    (count,) = jax.export.symbolic_shape("count")
    shapes = (jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), jax.ShapeDtypeStruct(kernel.shape, kernel.dtype))
    program = jax.export.export(jax.jit(convolve))(*shapes)
    np.testing.assert_allclose(program.call(x, kernel), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_named_padding_is_that_of_the_spread_kernel(padding, random):
    x = jnp.asarray(random.standard_normal((1, 9, 10, 2)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 3, 2, 4)), jnp.float32)
    around = 2 if padding == "SAME" else 0
    expected = convolved(x, with_zeros_between(kernel, (2, 2)), ((around, around), (around, around)))
    found = ops.conv2d(x, kernel, padding=padding, dilation=(2, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
