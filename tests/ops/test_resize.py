"""Resizing against the definition, pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops


def interpolated(x, size):
    """The definition: the pixel over which a new one lies is between two along each side, none beyond the border."""

    def neighbours(old, new):
        for i in range(new):
            place = max((i + 0.5) * old / new - 0.5, 0)
            first = min(int(place), old - 1)
            yield first, min(first + 1, old - 1), place - first

    batch, height, width, channels = x.shape
    out = np.empty((batch, *size, channels))
    for i, (top, bottom, down) in enumerate(neighbours(height, size[0])):
        for j, (left, right, along) in enumerate(neighbours(width, size[1])):
            above = (1 - along) * x[:, top, left] + along * x[:, top, right]
            below = (1 - along) * x[:, bottom, left] + along * x[:, bottom, right]
            out[:, i, j] = (1 - down) * above + down * below
    return out


@pytest.mark.parametrize(
    ("old", "new"),
    [((4, 5), (32, 40)), ((13, 17), (97, 129)), ((1, 1), (3, 2)), ((2, 1), (1, 9)), ((9, 8), (4, 3)), ((5, 6), (5, 6))],
)
def test_pixels_are_interpolated_between_the_nearest(old, new, random):
    x = random.standard_normal((2, *old, 3)).astype(np.float32)
    found = jax.jit(ops.resize_bilinear, static_argnums=1)(x, new)
    np.testing.assert_allclose(found, interpolated(x.astype(np.float64), new), atol=2e-6)


def test_the_gradient_is_the_transpose(random):
    x, y = (random.standard_normal((1, *size, 2)).astype(np.float32) for size in ((3, 4), (10, 9)))
    gradient = jax.grad(lambda x: jnp.vdot(ops.resize_bilinear(x, (10, 9)), y))(x)
    for place in np.ndindex(3, 4):
        unit = np.zeros((1, 3, 4, 2))
        unit[0, *place] = 1
        np.testing.assert_allclose(gradient[0, *place], (interpolated(unit, (10, 9)) * y).sum((0, 1, 2)), atol=1e-5)
