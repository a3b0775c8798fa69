"""Random parts of photos and masks: what torchvision's recipe says, and no label that was not there."""

import numpy as np
import pytest
from masks import save_pairs
from PIL import Image

import fcnn
from fcnn.data.mask_evaluation import resized
from fcnn.data.mask_files import MEAN_COLOUR
from fcnn.data.mask_loader import Cut, cut_image, cut_mask, random_cut


@pytest.fixture
def files(tmp_path):
    save_pairs(tmp_path, [(30, 40), (40, 30), (25, 60), (50, 50), (33, 47), (47, 33)] * 2)
    return fcnn.load_dataset(f"folder:{tmp_path}").train


def loader(files, batch_size, seed=0):
    return fcnn.data.MaskLoader(files, batch_size, seed, size=32, base_size=40)


def test_batches_are_bytes_of_one_size_in_the_order_of_the_seed(files):
    size = len(files.sizes)
    batches = list(loader(files, 4, seed=3).batches(1))
    assert len(batches) == loader(files, 4).steps_per_epoch == size // 4
    order = fcnn.data.epoch_order(3, 1, size)
    for batch, rows in zip(batches, order[: size // 4 * 4].reshape(-1, 4), strict=True):
        assert {name: (x.dtype, x.shape) for name, x in batch.items()} == {
            "image": (np.uint8, (4, 32, 32, 3)),
            "label": (np.uint8, (4, 32, 32)),
        }
        # The blue of a photo is its number, which the padding does not have.
        numbers = [int(files.image_paths[row].stem) for row in rows]
        assert [
            np.bincount(image[..., 2][label < 255]).argmax() for image, label in zip(*batch.values(), strict=True)
        ] == numbers
        assert set(np.unique(batch["label"])) <= {0, 1, 2, 255}
    with pytest.raises(fcnn.InputError, match="batch size must be from 1 to"):
        list(loader(files, 99).batches(0))


def test_how_an_example_is_cut_depends_on_seed_epoch_and_example_alone(files):
    def arrays(seed, epoch, batch_size, start=0):
        batches = list(loader(files, batch_size, seed).batches(epoch, start))
        return [np.concatenate([batch[name] for batch in batches]) for name in ("image", "label")]

    size = len(files.sizes) // 2 * 2
    whole = arrays(0, 0, 2)
    for name in (0, 1):
        np.testing.assert_array_equal(arrays(0, 0, 1)[name][:size], whole[name])
        np.testing.assert_array_equal(arrays(0, 0, 2, start=2)[name], whole[name][4:])
    assert (arrays(0, 1, 2)[0] != whole[0]).any()
    assert (arrays(1, 0, 2)[0] != whole[0]).any()


def reference(photo, labels, cut, size):
    """Resizes whole, mirrors, cuts and pads, step by step."""
    photo = photo.resize((cut.width, cut.height), Image.Resampling.BILINEAR)
    mask = Image.fromarray(labels).resize((cut.width, cut.height), Image.Resampling.NEAREST)
    image, label = (np.asarray(x)[cut.top : cut.top + size, cut.left : cut.left + size] for x in (photo, mask))
    if cut.mirrored:
        image, label = image[:, ::-1], label[:, ::-1]
    below, beside = size - image.shape[0], size - image.shape[1]
    label = np.pad(label, ((0, below), (0, beside)), constant_values=255)
    channels = [
        np.pad(image[..., i], ((0, below), (0, beside)), constant_values=colour) for i, colour in enumerate(MEAN_COLOUR)
    ]
    return np.stack(channels, axis=-1), label


@pytest.mark.parametrize("shape", [(50, 70), (70, 50), (31, 31)])
def test_a_part_is_cut_as_if_the_whole_had_been_resized(random, shape):
    photo = Image.fromarray(random.integers(0, 256, (*shape, 3), np.uint8))
    labels = random.integers(0, 21, shape, np.uint8)
    for _ in range(20):
        cut = random_cut(*shape, 48, 50, random.random(4))
        image, label = reference(photo, labels, cut, 48)
        # Pillow rounds the box to float32; in noise that is a level or two.
        assert np.abs(cut_image(photo, cut, 48).astype(int) - image).max() <= 2
        np.testing.assert_array_equal(cut_mask(labels, cut, 48), label)


def test_a_photo_smaller_than_the_part_is_padded_by_the_mean_and_255():
    cut = Cut(20, 30, 0, 0, mirrored=True)
    photo, labels = Image.new("RGB", (60, 40), (9, 9, 9)), np.zeros((40, 60), np.uint8)
    image, label = cut_image(photo, cut, 48), cut_mask(labels, cut, 48)
    assert (image[:20, :30] == 9).all()
    assert (label[:20, :30] == 0).all()
    inside = np.zeros((48, 48), bool)
    inside[:20, :30] = True
    assert (image[~inside] == (124, 116, 104)).all()
    assert (label[~inside] == 255).all()


def test_random_cuts_have_the_sizes_and_places_of_their_definition(random):
    cuts = [random_cut(300, 500, 480, 520, numbers) for numbers in random.random((4000, 4))]
    short = np.array([cut.height for cut in cuts])
    assert (short.min(), short.max()) == (260, 1040)
    assert short.mean() == pytest.approx(650, abs=15)
    assert all(cut.width == int(cut.height * 500 / 300) for cut in cuts)
    assert all(0 <= cut.top <= max(cut.height - 480, 0) and 0 <= cut.left <= max(cut.width - 480, 0) for cut in cuts)
    high = [cut.top / (cut.height - 480) for cut in cuts if cut.height > 580]
    assert (min(high), max(high)) == pytest.approx((0, 1), abs=0.01)
    assert np.mean(high) == pytest.approx(0.5, abs=0.02)
    assert np.mean([cut.mirrored for cut in cuts]) == pytest.approx(0.5, abs=0.04)


def test_the_longer_side_is_rounded_down_as_torchvision_does():
    assert resized(333, 500, 520) == (520, 780)
    assert resized(500, 333, 520) == (780, 520)
    assert resized(500, 334, 520) == (778, 520)
    assert resized(7, 9, None) == (7, 9)
