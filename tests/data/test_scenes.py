"""Scenes of digits: labels and boxes that fit each other, digits that no grey value gives away."""

import numpy as np
import pytest

import fcnn
from fcnn.data import digit_boxes, digit_scenes


@pytest.fixture(scope="module")
def scenes(digits):
    return digit_scenes(digits, 100), digit_boxes(digits, 100)


@pytest.fixture(scope="module")
def apart(digits):
    """Scenes in which every digit is all there: none covers another."""
    labels, boxes = digit_scenes(digits, 300, seed=5), digit_boxes(digits, 300, seed=5)
    alone = boxes["valid"].sum(axis=1) == 1
    return {name: x[alone] for name, x in (labels | boxes).items()}


def test_shapes_and_types(scenes):
    labels, boxes = scenes
    assert {name: (x.dtype, x.shape) for name, x in labels.items()} == {
        "image": (np.uint8, (100, 96, 96, 1)),
        "label": (np.uint8, (100, 96, 96)),
    }
    assert {name: (x.dtype, x.shape) for name, x in boxes.items()} == {
        "image": (np.uint8, (100, 96, 96, 1)),
        "boxes": (np.float32, (100, 4, 4)),
        "classes": (np.int32, (100, 4)),
        "valid": (np.bool_, (100, 4)),
    }
    np.testing.assert_array_equal(labels["image"], boxes["image"])


def test_a_scene_is_a_function_of_seed_and_index(digits, scenes):
    few = digit_scenes(digits, 7)
    for name, array in scenes[0].items():
        np.testing.assert_array_equal(few[name], array[:7])
    other = digit_scenes(digits, 7, seed=1)
    assert (few["image"] != other["image"]).mean(axis=(1, 2, 3)).min() > 0.5
    assert len({image.tobytes() for image in scenes[0]["image"]}) == 100


def test_a_label_is_1_and_the_digit_and_its_box_is_tight(apart):
    assert len(apart["label"]) > 50
    for label, box, digit in zip(apart["label"], apart["boxes"][:, 0], apart["classes"][:, 0], strict=True):
        assert np.unique(label).tolist() == [0, 1 + digit]
        rows, columns = np.nonzero(label)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_the_label_is_the_digits_grey_value_by_threshold(digits):
    """With digits of one size that is their own, nothing is resized: the label is the digit's image, cut to its ink."""
    row = 3
    inside = digits.images[row, ..., 0] >= 128
    rows, columns = np.nonzero(inside)
    inside = inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    one = fcnn.Split(digits.images[row : row + 1], digits.labels[row : row + 1])
    side = max(inside.shape)
    options = {"sides": (side, side), "clutter": 30, "size": (40, 60)}
    labels, boxes = digit_scenes(one, 40, **options)["label"], digit_boxes(one, 40, **options)
    assert (boxes["classes"][boxes["valid"]] == digits.labels[row]).all()
    alone = np.flatnonzero(boxes["valid"].sum(axis=1) == 1)
    assert len(alone) > 5
    for label, (x1, y1, x2, y2) in zip(labels[alone], boxes["boxes"][alone, 0].astype(int), strict=True):
        np.testing.assert_array_equal(label[y1:y2, x1:x2] > 0, inside)
        assert (label > 0).sum() == inside.sum()


def test_numbers_sizes_and_overlaps_of_the_digits(digits):
    scenes = digit_boxes(digits, 400)
    boxes, valid = scenes["boxes"], scenes["valid"]
    counts = valid.sum(axis=1)
    assert np.bincount(counts, minlength=5)[1:].min() > 40
    assert counts.min() == 1
    assert (digit_boxes(digits, 50, most=2)["valid"].sum(axis=1) <= 2).all()
    # Those that are there come first, the rest are zeros.
    np.testing.assert_array_equal(valid, np.arange(4) < counts[:, None])
    assert not boxes[~valid].any()
    assert boxes.min() >= 0
    assert boxes.max() <= 96
    sides = (boxes[..., 2:] - boxes[..., :2]).max(axis=-1)[valid]
    # Cutting to half of the ink after resizing takes a pixel at most on either side.
    assert 18 <= sides.min() < 23
    assert 53 < sides.max() <= 56
    assert np.bincount(scenes["classes"][valid], minlength=10).min() > 40
    left_top = np.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    right_bottom = np.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    both = np.maximum(right_bottom - left_top, 0).prod(axis=-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    iou = both / np.maximum(areas[:, :, None] + areas[:, None] - both, 1)
    iou[:, np.arange(4), np.arange(4)] = 0
    assert 0.05 < iou.max() <= 0.2 / 1.8


def test_no_threshold_of_grey_tells_digits_from_ground(scenes):
    grey, digit = scenes[0]["image"][..., 0], scenes[0]["label"] > 0
    assert 0.05 < digit.mean() < 0.2
    for threshold in range(0, 256, 8):
        for guess in (grey >= threshold, grey <= threshold):
            assert (guess & digit).sum() / (guess | digit).sum() < 0.25


def test_digits_stand_out_from_what_is_around_them(digits):
    scenes = digit_scenes(digits, 60, clutter=0, seed=2)
    differences = []
    for image, label in zip(scenes["image"][..., 0].astype(float), scenes["label"], strict=True):
        for value in set(np.unique(label)) - {0}:
            rows, columns = np.nonzero(label == value)
            around = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            differences.append(image[label == value].mean() - image[around][label[around] == 0].mean())
    assert np.quantile(np.abs(differences), 0.05) > 30
    # Lighter and darker ones are about as many.
    assert 0.3 < np.mean(np.array(differences) > 0) < 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "a count from 1"),
        ({"count": 1, "seed": -1}, "seed from 0 on"),
        ({"count": 1, "clutter": -1}, "clutter"),
        ({"count": 1, "most": 5}, "from 1 to 4 digits in a scene at most, got 5"),
        ({"count": 1, "size": (50, 96)}, r"sides from 2 to the scenes' 50 pixels, the smaller first, got \(20, 56\)"),
        ({"count": 1, "sides": (30, 20)}, r"the smaller first, got \(30, 20\)"),
    ],
)
def test_wrong_numbers_are_refused(digits, options, message):
    with pytest.raises(fcnn.InputError, match=message):
        digit_scenes(digits, **options)


def test_photos_in_colour_are_no_digits():
    colour = fcnn.Split(np.zeros((3, 28, 28, 3), np.uint8), np.zeros(3, np.int32))
    with pytest.raises(fcnn.InputError, match=r"expected grey digits \[n, height, width, 1\], got \[3, 28, 28, 3\]"):
        digit_scenes(colour, 1)
