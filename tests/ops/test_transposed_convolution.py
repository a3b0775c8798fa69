"""The transposed convolution against its definition: each pixel adds the kernel to its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops


def added_up(x, kernel, strides):
    (batch, height, width, _), (rows, columns, out_channels, _) = x.shape, kernel.shape
    out = np.zeros((batch, strides[0] * (height - 1) + rows, strides[1] * (width - 1) + columns, out_channels))
    for i in range(height):
        for j in range(width):
            top, left = i * strides[0], j * strides[1]
            out[:, top : top + rows, left : left + columns] += np.einsum("bi,hwoi->bhwo", x[:, i, j], kernel)
    return out


@pytest.mark.parametrize(
    ("kernel_size", "strides"),
    [((4, 4), (2, 2)), ((16, 16), (8, 8)), ((3, 5), (2, 1)), ((2, 2), (3, 3)), ((3, 3), (1, 1))],
)
@pytest.mark.parametrize("part", [None, ((5, 4), (0, 0)), ((3, 6), (2, 1)), ((2, 2), (4, 3))])
def test_each_pixel_adds_the_kernel_to_its_place(kernel_size, strides, part, random):
    x = random.standard_normal((2, 4, 5, 3)).astype(np.float32)
    kernel = random.standard_normal((*kernel_size, 2, 3)).astype(np.float32)
    size, offset = part or (None, (0, 0))
    options = {"strides": strides, "size": size, "offset": offset}
    found = jax.jit(lambda x, kernel: ops.conv2d_transpose(x, kernel, **options))(x, kernel)
    expected = added_up(x, kernel, strides)
    (top, left), (height, width) = offset, size or expected.shape[1:3]
    expected = np.pad(expected, ((0, 0), (0, 9), (0, 9), (0, 0))) if size else expected
    np.testing.assert_allclose(found, expected[:, top : top + height, left : left + width], rtol=1e-4, atol=1e-5)


def test_gradients(random):
    x = random.standard_normal((1, 3, 4, 2)).astype(np.float32)
    kernel = random.standard_normal((4, 4, 3, 2)).astype(np.float32)
    out_gradient = random.standard_normal((1, 5, 6, 3)).astype(np.float32)

    def product(x, kernel):
        return jnp.vdot(ops.conv2d_transpose(x, kernel, (2, 2), (5, 6), (1, 2)), out_gradient)

    for array, gradient in zip((x, kernel), jax.grad(product, (0, 1))(x, kernel), strict=True):
        for place in list(np.ndindex(array.shape))[::5]:
            moved = [np.array(a, np.float64) for a in (x, kernel)]
            moved[0 if array is x else 1][place] += 1
            change = (added_up(*moved, (2, 2)) - added_up(x, kernel, (2, 2)))[:, 1:6, 2:8]
            np.testing.assert_allclose(gradient[place], (change * out_gradient).sum(), rtol=1e-4, atol=1e-4)
