"""Means and deviations of pixels against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from fcnn.data import channel_statistics, load_dataset


@given(arrays(np.uint8, array_shapes(min_dims=4, max_dims=4, max_side=5)))
def test_equals_numpy_in_float64(images):
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-9, atol=1e-9)


def test_several_chunks_count_once_each():
    images = np.random.default_rng(0).integers(0, 256, (2500, 2, 2, 3), np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2)) / 255, rtol=1e-12)


def test_mnist_has_its_well_known_ones():
    mean, std = channel_statistics(load_dataset("mnist").train.images)
    assert mean == pytest.approx((0.1307,), abs=5e-5)
    assert std == pytest.approx((0.3081,), abs=5e-5)
