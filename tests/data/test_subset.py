"""Small subsets with the classes in balance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcnn.data import Split, balanced_subset
from fcnn.errors import InputError


def split_of(labels):
    """Each image holds its own position, to tell examples apart."""
    positions = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return Split(positions, np.array(labels, np.int32))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.data())
def test_classes_are_balanced_as_far_as_they_reach(labels, data):
    size = data.draw(st.integers(1, len(labels)))
    subset = balanced_subset(split_of(labels), size, seed=data.draw(st.integers(0, 100)))
    positions = subset.images.ravel()
    assert len(set(positions.tolist())) == len(subset.labels) == size
    np.testing.assert_array_equal(np.array(labels)[positions], subset.labels)
    chosen, available = np.bincount(subset.labels, minlength=6), np.bincount(labels, minlength=6)
    for few, all_of_it in zip(chosen, available, strict=True):
        assert few == all_of_it or few >= chosen.max() - 1


def test_depends_on_the_seed_alone():
    split = split_of([0, 1] * 50)
    first, again, other = (balanced_subset(split, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize("size", [0, 5])
def test_refuses_a_size_outside_the_split(size):
    with pytest.raises(InputError, match=f"1 to 4 examples, found the size {size}"):
        balanced_subset(split_of([0, 1, 2, 3]), size, seed=0)
