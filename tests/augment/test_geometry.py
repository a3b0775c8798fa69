"""What moves with an image: a region that is marked in all three is found in all three afterwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import augment

HEIGHT, WIDTH = 40, 48
EXACT = {
    "flip": augment.random_flip(),
    "crop": augment.random_crop(9),
    "small_crop": augment.random_crop(2, (20, 25)),
}
RESAMPLED = {
    "affine": augment.random_affine(rotation=25, scale=(0.7, 1.3), shear=15, translation=9),
    "scale_crop": augment.random_scale_crop((30, 36), (0.6, 1.6), rotation=20),
    "upscaled": augment.random_affine(scale=(1.3, 1.5)),
}


def marked(random, dtype=np.uint8, count=64):
    """Returns images, label maps and boxes in which one rectangle is bright, has the label 7, and is in box 1 of 2."""
    first = random.integers(0, [HEIGHT - 8, WIDTH - 8], (count, 2))
    last = np.minimum(first + random.integers(6, 16, (count, 2)), [HEIGHT, WIDTH])
    image, label = np.zeros((count, HEIGHT, WIDTH, 3), np.float32), np.zeros((count, HEIGHT, WIDTH), dtype)
    for i, ((top, left), (bottom, right)) in enumerate(zip(first, last, strict=True)):
        image[i, top:bottom, left:right] = 1
        label[i, top:bottom, left:right] = 7
    box = np.concatenate([first[:, ::-1], last[:, ::-1]], axis=1).astype(np.float32)
    batch = {
        "image": image,
        "label": label,
        "boxes": np.stack([np.zeros_like(box), box], axis=1),
        "valid": np.broadcast_to([False, True], (count, 2)),
        "classes": np.broadcast_to([0, 3], (count, 2)),
    }
    return jax.tree.map(jnp.asarray, batch)


def bounds(region):
    """Returns x1, y1, x2, y2 around the pixels of a mask."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def moved(augmentation, random, key, **options):
    batch = marked(random, **options)
    changed = jax.tree.map(np.asarray, jax.jit(augmentation)(key, batch))
    np.testing.assert_array_equal(changed["classes"], batch["classes"])
    assert not changed["valid"][:, 0].any()
    np.testing.assert_array_equal(changed["boxes"][~changed["valid"]], 0)
    assert changed["label"].shape == changed["image"].shape[:3]
    return changed


@pytest.mark.parametrize("name", EXACT)
def test_flips_and_crops_move_labels_and_boxes_exactly(name, random, key):
    changed = moved(EXACT[name], random, key)
    bright = (changed["image"] == 1).all(-1)
    np.testing.assert_array_equal(changed["label"] == 7, bright)
    valid = changed["valid"][:, 1]
    assert valid.sum() > 20
    for region, box in zip(bright[valid], changed["boxes"][valid, 1], strict=True):
        np.testing.assert_array_equal(bounds(region), box)
    if name == "flip":
        assert valid.all()
        assert not np.array_equal(changed["boxes"], marked(np.random.default_rng(0))["boxes"])
    else:
        assert not valid.all()


@pytest.mark.parametrize("name", RESAMPLED)
def test_resampling_moves_labels_and_boxes(name, random, key):
    changed = moved(RESAMPLED[name], random, key)
    bright, labelled = changed["image"][..., 0] > 0.5, changed["label"] == 7
    # Bilinear and nearest differ where a corner is rounded off, and where the image fades into the black.
    assert (bright != labelled).sum() < 0.05 * labelled.sum()
    height, width = bright.shape[1:]
    gaps = []
    for region, box, valid in zip(labelled, changed["boxes"][:, 1], changed["valid"][:, 1], strict=True):
        if not valid:
            continue
        found = bounds(region)
        # The centres of all pixels of the region are in the box, ...
        assert np.all(found[:2] + 0.5 >= box[:2] - 1e-3)
        assert np.all(found[2:] - 0.5 <= box[2:] + 1e-3)
        if np.all(box > 0) and np.all(box[2:] < [width, height]):
            gaps.append([*(found - box)[:2], *(box - found)[2:]])
    # ... which ends where they do, the tips of the corners aside: half a pixel on one side would be seen.
    assert len(gaps) > 10
    assert np.max(gaps) < 2.2
    assert np.ptp(np.mean(gaps, axis=0)) < 0.25


def test_a_doubled_image_doubles_its_boxes(key):
    boxes = jnp.array([[[10.0, 12, 20, 30], [0, 0, 14, 22], [0, 0, 10, 9], [20, 16, 28, 24]]])
    batch = {"image": jnp.ones((1, HEIGHT, WIDTH, 1)), "boxes": boxes, "valid": jnp.ones((1, 4))}
    changed = augment.random_affine(scale=(2.0, 2.0))(key, batch)
    # x' = 2 (x - 24) + 24, y' = 2 (y - 20) + 20, clipped to 48 x 40. The centre of the second is at (-10, 2).
    expected = [[0, 4, 16, 40], [0, 0, 0, 0], [0, 0, 0, 0], [16, 12, 32, 28]]
    np.testing.assert_allclose(changed["boxes"][0], expected, atol=1e-4)
    np.testing.assert_array_equal(changed["valid"], [[1, 0, 0, 1]])
    assert changed["valid"].dtype == batch["valid"].dtype


def test_a_rotated_box_is_the_hull_of_its_corners(key):
    batch = {
        "image": jnp.zeros((50, HEIGHT, WIDTH, 1)),
        "boxes": jnp.tile(jnp.array([20.0, 14, 32, 22]), (50, 1, 1)),
        "valid": jnp.ones((50, 1), bool),
    }
    boxes = augment.random_affine(rotation=30)(key, batch)["boxes"][:, 0]
    # The same angles, and each corner by itself.
    angle = jnp.deg2rad(60 * jax.random.uniform(key, (250,)).reshape(50, 5)[:, :1] - 30)
    x, y = np.array([20, 32, 20, 32]) - WIDTH / 2, np.array([14, 14, 22, 22]) - HEIGHT / 2
    column = jnp.cos(angle) * x + jnp.sin(angle) * y + WIDTH / 2
    row = jnp.cos(angle) * y - jnp.sin(angle) * x + HEIGHT / 2
    hull = jnp.stack([column.min(1), row.min(1), column.max(1), row.max(1)], axis=1)
    np.testing.assert_allclose(boxes, hull, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("name", ["crop", "affine", "scale_crop"])
def test_label_maps_hold_their_classes_and_the_ignored_one_outside(name, dtype, random, key):
    changed = moved((EXACT | RESAMPLED)[name], random, key, dtype=dtype)
    assert changed["label"].dtype == dtype
    assert set(np.unique(changed["label"])) == {0, 7, 255}
    white = {"image": jnp.ones((64, HEIGHT, WIDTH, 3)), "label": marked(random)["label"]}
    changed = jax.jit((EXACT | RESAMPLED)[name])(key, white)
    outside = np.asarray(changed["image"][..., 0] < 0.5)
    assert outside.any()
    assert (outside != (changed["label"] == 255)).mean() < 0.003


def test_another_ignored_label(random, key):
    batch = marked(random, dtype=np.int32)
    for augmentation in (
        augment.random_crop(9, ignore=-1),
        augment.random_affine(translation=9, ignore=-1),
        augment.random_scale_crop((80, 80), ignore=-1),
    ):
        assert set(np.unique(jax.jit(augmentation)(key, batch)["label"])) == {-1, 0, 7}


def test_identity_keeps_labels_and_boxes(random, key):
    batch = marked(random)
    kept = augment.random_affine()(key, batch)
    np.testing.assert_array_equal(kept["label"], batch["label"])
    np.testing.assert_allclose(kept["boxes"], batch["boxes"], atol=1e-5)
    same_size = augment.random_scale_crop((HEIGHT, WIDTH), (1.0, 1.0))(key, batch)
    np.testing.assert_array_equal(same_size["label"], batch["label"])
    np.testing.assert_allclose(same_size["image"], batch["image"], atol=1e-5)


def test_scaled_crops_show_every_part_and_lie_anywhere(random, key):
    # Each pixel has a label of its own, to be found with the image at twice its size.
    label = jnp.broadcast_to(jnp.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH), (200, HEIGHT, WIDTH))
    batch = {"image": jnp.ones((200, HEIGHT, WIDTH, 1)), "label": label}
    crop = augment.random_scale_crop((HEIGHT, WIDTH), (2.0, 2.0), ignore=-1)(key, batch)
    assert set(np.unique(crop["label"] // WIDTH)) == set(range(HEIGHT))
    assert set(np.unique(crop["label"] % WIDTH)) == set(range(WIDTH))
    assert not np.any(crop["label"] == -1)
    assert len(np.unique(crop["label"][0])) == pytest.approx(HEIGHT * WIDTH / 4, rel=0.1)
    # At half its size, all of it is seen, and the rest is empty.
    small = augment.random_scale_crop((HEIGHT, WIDTH), (0.5, 0.5), ignore=-1)(key, batch)
    seen = np.asarray(small["label"] != -1)
    np.testing.assert_array_equal(seen.sum((1, 2)), HEIGHT * WIDTH // 4)
    np.testing.assert_array_equal(bounds(seen.any(0)), [0, 0, WIDTH, HEIGHT])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"label": jnp.zeros((2, 5, 6), int)}, r"must be integers \[2, 8, 9\].*got int32 \[2, 5, 6\]"),
        ({"label": jnp.zeros((2, 8, 9))}, r"must be integers \[2, 8, 9\].*got float32 \[2, 8, 9\]"),
        ({"label": jnp.zeros((2, 8, 9), jnp.int8)}, "the ignored label 255 is not in the range .* int8"),
        ({"boxes": jnp.zeros((2, 3, 4))}, 'without "valid"'),
    ],
)
def test_what_cannot_be_moved_is_refused(entries, message, key):
    with pytest.raises(fcnn.InputError, match=message):
        augment.random_crop(2)(key, {"image": jnp.zeros((2, 8, 9, 1))} | entries)


@pytest.mark.parametrize(
    "make",
    [
        lambda: augment.random_scale_crop((0, 4)),
        lambda: augment.random_scale_crop((4, 4), (0.0, 1.0)),
        lambda: augment.random_scale_crop((4, 4), rotation=-1),
    ],
)
def test_impossible_ranges_are_refused(make):
    with pytest.raises(fcnn.InputError):
        make()
