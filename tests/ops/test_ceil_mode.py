"""Pooling whose windows do not tile the image, against loops over the windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops


def max_pool_by_loops(image, window, stride, padding):
    """PyTorch's ceil mode: windows start at multiples of the stride, inside the image or the padding before it."""

    def starts(size):
        last_whole = size + 2 * padding - window
        positions = [0]
        while positions[-1] < last_whole and positions[-1] + stride < size + padding:
            positions.append(positions[-1] + stride)
        return [position - padding for position in positions]

    height, width = image.shape
    return np.array(
        [[image[max(y, 0) : y + window, max(x, 0) : x + window].max() for x in starts(width)] for y in starts(height)]
    )


@pytest.mark.parametrize("window", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_ceil_mode_takes_the_windows_that_start_inside(window, stride, padding):
    rng = np.random.default_rng(0)
    images = [rng.standard_normal((size, size + 1)).astype(np.float32) for size in range(window, window + 4)]

    @jax.jit
    def pool(image):
        pads = ((padding, padding), (padding, padding))
        return ops.max_pool(image[None, :, :, None], (window, window), (stride, stride), pads, ceil_mode=True)

    for image in images:
        np.testing.assert_array_equal(pool(image)[0, :, :, 0], max_pool_by_loops(image, window, stride, padding))


def test_ceil_mode_sizes_of_googlenet():
    # 224 -> 112 -> 56 -> 28 -> 14 -> 7; without ceil mode the second would be 55.
    sizes = [112]
    for _ in range(3):
        image = jax.ShapeDtypeStruct((1, sizes[-1], sizes[-1], 1), jnp.float32)
        pooled = jax.eval_shape(lambda image: ops.max_pool(image, (3, 3), (2, 2), ceil_mode=True), image)
        sizes.append(pooled.shape[1])
    assert sizes == [112, 56, 28, 14]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 6), (7, 12), (13, 5)])
@pytest.mark.parametrize("bins", [(1, 1), (6, 6), (4, 7)])
def test_adaptive_average_is_the_mean_of_each_bin(size, bins):
    images = np.random.default_rng(0).standard_normal((2, *size, 3)).astype(np.float32)
    found = jax.jit(lambda images: ops.adaptive_avg_pool(images, bins))(images)
    assert found.shape == (2, *bins, 3)
    for i in range(bins[0]):
        for j in range(bins[1]):
            top, bottom = i * size[0] // bins[0], int(np.ceil((i + 1) * size[0] / bins[0]))
            left, right = j * size[1] // bins[1], int(np.ceil((j + 1) * size[1] / bins[1]))
            expected = images[:, top:bottom, left:right].mean(axis=(1, 2))
            np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-5, atol=1e-6)
