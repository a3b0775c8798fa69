"""Validation splits: exact sizes, each class its part, and what cannot be held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fcnn
from fcnn.data.dataset import Dataset
from fcnn.data.hold_out import hold_out, stratified_mask


def numbered(labels):
    """A data set whose training example i has all pixels i."""
    labels = np.asarray(labels, np.int32)
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 2, 2, 1))
    names = tuple("abcdefghij"[: labels.max() + 1])
    return Dataset("letters", fcnn.Split(images, labels), fcnn.Split(images, labels), len(names), names)


def test_mnist_without_validation_is_as_published_and_with_it_is_divided(mnist):
    assert mnist.validation is None
    data = fcnn.load_dataset("mnist", validation=5000)
    assert (len(data.train.labels), len(data.validation.labels)) == (55_000, 5_000)
    np.testing.assert_array_equal(data.test.images, mnist.test.images)
    # Of 60,000: 5923 zeros and so on; a twelfth of each, the largest remainders rounded up.
    exact = np.bincount(mnist.train.labels) / 12
    held = np.bincount(data.validation.labels)
    assert (np.abs(held - exact) < 1).all()
    up = np.argsort(-(exact % 1), kind="stable")[: 5000 - int(np.floor(exact).sum())]
    np.testing.assert_array_equal(np.flatnonzero(held > exact), np.sort(up))
    together = np.concatenate([data.train.images, data.validation.images]).reshape(60_000, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, mnist.train.images.reshape(60_000, -1)))


@given(st.lists(st.integers(0, 4), min_size=20, max_size=60), st.integers(1, 10), st.integers(0, 9))
def test_sizes_are_exact_and_the_order_stays(labels, size, seed):
    dataset = numbered(labels * 4)
    held = hold_out(dataset, size, seed)
    rows, others = held.validation.images[:, 0, 0, 0], held.train.images[:, 0, 0, 0]
    assert len(rows) == size
    assert (np.diff(rows.astype(int)) > 0).all()
    assert (np.diff(others.astype(int)) > 0).all()
    assert not set(rows.tolist()) & set(others.tolist())
    np.testing.assert_array_equal(held.validation.labels, dataset.train.labels[rows])
    np.testing.assert_array_equal(held.train.labels, dataset.train.labels[others])


def test_the_draw_stays_the_same_in_every_version_and_differs_by_seed():
    labels = np.repeat([0, 1], 10)
    assert np.flatnonzero(stratified_mask(labels, 4, 0, "ab")).tolist() == FIRST
    assert np.flatnonzero(stratified_mask(labels, 4, 1, "ab")).tolist() != FIRST


# epoch_order(0, 0, 10) begins with 1, 4; epoch_order(0, 1, 10) with the others.
FIRST = sorted([1, 4, *(10 + fcnn.data.epoch_order(0, 1, 10)[:2]).tolist()])


def test_a_share_is_rounded_and_0_holds_out_nothing():
    assert len(hold_out(numbered([0, 1] * 10), 0.14, 0).validation.labels) == 3
    for nothing in (0, 0.0):
        assert hold_out(numbered([0, 1] * 10), nothing, 0).validation is None


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (20, "letters: expected a validation split of 0 to 19 of its 20 training examples, got validation=20"),
        (-1, "got validation=-1"),
        (1.0, "a share from 0 to below 1, or as a whole number of examples, got 1.0"),
        (5000.0, "whole number of examples, got 5000.0"),
        (-0.1, "got -0.1"),
        (float("nan"), "got nan"),
        (0.001, "validation=0.001 of 20 training examples is none: take a larger share"),
        (0.999, "got validation=0.999"),
    ],
)
def test_impossible_numbers(validation, message):
    with pytest.raises(fcnn.InputError, match=message) as error:
        hold_out(numbered([0, 1] * 10), validation, 0)
    assert "\n" not in str(error.value)


def test_a_class_that_would_be_left_without_examples_is_named():
    with pytest.raises(fcnn.InputError, match="19 validation examples leave class b none of its 1 to train on"):
        hold_out(numbered([0] * 20 + [1]), 19, 0)
    # A rare class that is not drawn is no error: it has its example to train on.
    assert hold_out(numbered([0] * 20 + [1]), 2, 0).validation.labels.tolist() == [0, 0]
    with pytest.raises(fcnn.InputError, match="seed -1"):
        hold_out(numbered([0, 1] * 10), 2, -1)
