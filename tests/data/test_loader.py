"""The order of an epoch and its batches."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcnn.data import Loader, Split, epoch_order, prefetch
from fcnn.errors import InputError


def numbered(size):
    """A split whose example i has label i and all pixels i + 1, to tell it from padding."""
    labels = np.arange(size, dtype=np.int32)
    return Split(np.broadcast_to((labels + 1).astype(np.uint8)[:, None, None, None], (size, 2, 3, 1)), labels)


@given(st.integers(0, 2**63), st.integers(0, 10_000), st.integers(0, 300))
def test_the_order_is_a_permutation_and_a_function_of_its_arguments(seed, epoch, size):
    order = epoch_order(seed, epoch, size)
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(size))
    np.testing.assert_array_equal(order, epoch_order(seed, epoch, size))


def test_orders_differ_by_seed_and_epoch():
    orders = [epoch_order(seed, epoch, 100).tolist() for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25


def test_the_order_stays_the_same_in_every_version():
    assert epoch_order(0, 0, 10).tolist() == [1, 4, 5, 6, 8, 2, 0, 3, 9, 7]
    assert epoch_order(7, 3, 10).tolist() == [4, 5, 1, 0, 8, 3, 6, 9, 2, 7]


def test_every_example_comes_as_often_at_every_place():
    places = np.stack([epoch_order(seed, 0, 4) for seed in range(2000)])
    frequencies = np.stack([np.bincount(places[:, i], minlength=4) for i in range(4)]) / 2000
    np.testing.assert_allclose(frequencies, 0.25, atol=0.05)


@given(st.integers(1, 60), st.data())
def test_an_epoch_visits_its_order_and_drops_the_rest(size, data):
    batch_size = data.draw(st.integers(1, size))
    batches = list(Loader(numbered(size), batch_size, seed=1).batches(2))
    assert len(batches) == size // batch_size
    assert all(batch["image"].shape == (batch_size, 2, 3, 1) for batch in batches)
    visited = np.concatenate([batch["label"] for batch in batches])
    np.testing.assert_array_equal(visited, epoch_order(1, 2, size)[: len(batches) * batch_size])
    for batch in batches:
        np.testing.assert_array_equal(batch["image"][:, 1, 2, 0], batch["label"] + 1)


def test_an_epoch_can_be_entered_in_the_middle():
    whole = list(Loader(numbered(50), 8, seed=3).batches(4))
    rest = list(Loader(numbered(50), 8, seed=3).batches(4, start=2))
    assert len(rest) == 4
    for expected, found in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(found["label"], expected["label"])


def test_a_mapping_of_named_arrays_gives_every_one_of_them_in_the_same_order():
    split = numbered(20)
    boxes = np.arange(20 * 8, dtype=np.float32).reshape(20, 2, 4)
    loader = Loader({"image": split.images, "label": split.labels, "boxes": boxes}, 6, seed=5)
    for batch, expected in zip(loader.batches(1), Loader(split, 6, seed=5).batches(1), strict=True):
        assert list(batch) == ["image", "label", "boxes"]
        np.testing.assert_array_equal(batch["image"], expected["image"])
        np.testing.assert_array_equal(batch["label"], expected["label"])
        np.testing.assert_array_equal(batch["boxes"], boxes[expected["label"]])
    with pytest.raises(InputError, match=r"same number of examples, got image \[20, 2, 3, 1\], label \[19\]"):
        list(Loader({"image": split.images, "label": split.labels[1:]}, 6).batches(0))


@pytest.mark.parametrize("batch_size", [-1, 0, 11])
def test_refuses_batches_that_the_set_cannot_fill(batch_size):
    with pytest.raises(InputError, match=f"batch size must be from 1 to 10.*got {batch_size}"):
        Loader(numbered(10), batch_size).batches(0)


def test_refuses_a_negative_seed():
    with pytest.raises(InputError, match="seed -1"):
        epoch_order(-1, 0, 10)


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "fcnn-prefetch"]


def test_prefetch_yields_all_in_order_and_ends():
    batches = list(Loader(numbered(40), 4, seed=0).batches(0))
    found = list(prefetch(iter(batches)))
    assert all(a is b for a, b in zip(batches, found, strict=True))
    assert not prefetch_threads()


def test_prefetch_stays_just_ahead():
    produced = []
    ahead = threading.Event()

    def source():
        for i in itertools.count():
            produced.append(i)
            if i == 3:
                ahead.set()
            yield {"label": np.array([i])}

    batches = prefetch(source(), size=2)
    next(batches)
    # One is in use, two are ready, one waits for its place.
    assert ahead.wait(5)
    assert not threading.Event().wait(0.3)
    assert produced == [0, 1, 2, 3]
    batches.close()
    assert not prefetch_threads()


def test_prefetch_passes_exceptions_on():
    def source():
        yield {"label": np.array([1])}
        raise InputError("the second batch is damaged")

    batches = prefetch(source())
    assert next(batches)["label"] == 1
    with pytest.raises(InputError, match="the second batch is damaged"):
        next(batches)
    assert not prefetch_threads()


def test_a_dropped_prefetch_leaves_no_thread():
    batches = prefetch({"label": np.array([i])} for i in itertools.count())
    next(batches)
    assert prefetch_threads()
    del batches
    assert not prefetch_threads()
