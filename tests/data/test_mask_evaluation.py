"""Whole photos with masks in batches of few shapes: each once, and nothing outside them counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masks import save_pairs
from PIL import Image

import fcnn
from fcnn.arrays import EvaluationBatches
from fcnn.data import MaskEvaluation, read_mask
from fcnn.data.mask_evaluation import _few_shapes

SIZES = [(30, 40), (40, 30), (25, 60), (50, 50), (33, 47), (47, 33), (64, 64), (65, 64)]


@pytest.fixture
def files(tmp_path):
    save_pairs(tmp_path / "train", SIZES)
    save_pairs(tmp_path / "val", SIZES[:1])
    return fcnn.load_dataset(f"folder:{tmp_path}").train


@pytest.mark.parametrize("batch_size", [1, 2, 3, 20])
@pytest.mark.parametrize("resize", [None, 20])
def test_every_example_comes_once_and_padding_counts_nowhere(files, batch_size, resize):
    whole = MaskEvaluation(files, resize, bucket=16)
    assert isinstance(whole, EvaluationBatches)
    seen, shapes = [], set()
    indices = whole.indices(batch_size)
    for batch, rows in zip(whole.batches(batch_size), indices, strict=True):
        height, width = batch["label"].shape[1:]
        shapes.add((height, width))
        assert (height % 16, width % 16) == (0, 0)
        assert batch["image"].shape == (batch_size, height, width, 3)
        assert (batch["image"].dtype, batch["label"].dtype, batch["mask"].dtype) == (np.uint8, np.uint8, np.float32)
        assert batch["mask"].tolist() == [1] * len(rows) + [0] * (batch_size - len(rows))
        assert (batch["label"][len(rows) :] == 255).all()
        for image, label, row in zip(batch["image"], batch["label"], rows.tolist(), strict=False):
            expected_image, expected_label = whole.read(row)
            h, w = expected_label.shape
            np.testing.assert_array_equal(image[:h, :w], expected_image)
            np.testing.assert_array_equal(label[:h, :w], expected_label)
            outside = np.ones((height, width), bool)
            outside[:h, :w] = False
            assert (label[outside] == 255).all()
            assert (image[outside] == (124, 116, 104)).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(SIZES)))
    assert len(shapes) == len(np.unique(whole.shapes(), axis=0)) <= 8


def test_an_example_is_its_files_resized_as_torchvision_does(files):
    image, label = MaskEvaluation(files).read(2)
    np.testing.assert_array_equal(image, np.asarray(Image.open(files.image_paths[2])))
    np.testing.assert_array_equal(label, read_mask(files.mask_paths[2]))
    image, label = MaskEvaluation(files, resize=35).read(2)
    photo, mask = Image.open(files.image_paths[2]), Image.open(files.mask_paths[2])
    np.testing.assert_array_equal(image, np.asarray(photo.resize((84, 35), Image.Resampling.BILINEAR)))
    np.testing.assert_array_equal(label, np.asarray(mask.resize((84, 35), Image.Resampling.NEAREST)))


def test_shapes_are_multiples_of_the_bucket_or_the_sizes_themselves(files):
    assert MaskEvaluation(files, bucket=64, max_shapes=None).shapes().tolist() == [[64, 64]] * 7 + [[128, 64]]
    assert MaskEvaluation(files, bucket=1, max_shapes=None).shapes().tolist() == [list(size) for size in SIZES]
    assert MaskEvaluation(files, bucket=1, max_shapes=1).shapes().tolist() == [[65, 64]] * 8


def test_shapes_that_add_the_fewest_pixels_are_joined():
    # Joining the first two adds 10 x 10 for each of two examples; any other pair adds more.
    shapes = np.array([[10, 20], [10, 20], [20, 20], [90, 90]])
    assert _few_shapes(shapes, 2).tolist() == [[20, 20]] * 3 + [[90, 90]]
    # One large example among many small ones: the middle one joins the large one.
    shapes = np.array([[10, 10]] * 100 + [[50, 50], [60, 60]])
    assert _few_shapes(shapes, 2).tolist() == [[10, 10]] * 100 + [[60, 60]] * 2


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=40), st.integers(1, 10))
def test_few_shapes_hold_all_and_are_not_more_than_allowed(shapes, limit):
    shapes = np.array(shapes)
    few = _few_shapes(shapes, limit)
    assert (few >= shapes).all()
    assert len(np.unique(few, axis=0)) <= limit
    np.testing.assert_array_equal(_few_shapes(shapes, None), shapes)


def test_wrong_numbers_are_refused(files):
    with pytest.raises(fcnn.InputError, match="batch size must be at least 1, got 0"):
        MaskEvaluation(files).batches(0)
    for name in ("resize", "bucket", "max_shapes"):
        with pytest.raises(fcnn.InputError, match=f"expected {name} of at least 1, got 0"):
            MaskEvaluation(files)._replace(**{name: 0}).indices(1)
