"""Examples as named arrays."""

import numpy as np
import pytest

import fcnn
from fcnn.arrays import EvaluationBatches, count_examples, named_arrays


def test_a_split_and_any_pair_become_image_and_label(digits):
    for examples in (digits, tuple(digits)):
        arrays = named_arrays(examples)
        assert list(arrays) == ["image", "label"]
        assert arrays["image"] is digits.images
        assert arrays["label"] is digits.labels
        assert count_examples(arrays) == 640


def test_a_mapping_is_taken_as_it_is_and_not_changed():
    examples = {"boxes": np.zeros((3, 5, 4)), "image": np.zeros((3, 8, 8, 1))}
    arrays = named_arrays(examples)
    assert arrays == examples
    assert arrays is not examples
    assert count_examples(arrays) == 3


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (
            {"image": np.zeros((3, 8, 8, 1)), "label": np.zeros(4)},
            r"all begin with the same number of examples, got image \[3, 8, 8, 1\], label \[4\]$",
        ),
        ((np.zeros((3, 8)), np.zeros(2)), r"got image \[3, 8\], label \[2\]$"),
        ({}, "got an empty mapping"),
        ({"image": np.zeros((0, 8, 8, 1)), "label": np.zeros(0)}, r"got none: image \[0, 8, 8, 1\], label \[0\]$"),
        ({"image": np.float32(3)}, 'expected "image" as an array that begins with the examples'),
        ({"image": [1, 2]}, r'expected "image" as an array .* got \[1, 2\]'),
        (np.zeros((3, 8)), r"a mapping of named arrays or a pair \(images, labels\), got ndarray"),
    ],
)
def test_what_is_no_set_of_examples(examples, message):
    with pytest.raises(fcnn.InputError, match=message) as error:
        named_arrays(examples)
    assert "\n" not in str(error.value)


def test_what_makes_its_batches_itself_is_told_from_arrays(digits):
    class Sizes:
        def batches(self, batch_size):
            yield {"image": np.zeros((batch_size, 1, 1, 1)), "mask": np.ones(batch_size, np.float32)}

    assert isinstance(Sizes(), EvaluationBatches)
    assert not isinstance(digits, EvaluationBatches)
    assert not isinstance({"image": digits.images}, EvaluationBatches)
