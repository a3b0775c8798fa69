"""Augmentations of batches: what is changed, what is read, which key is whose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import augment


class Recorded(dict):
    """A batch that knows what was read from it, as that of a train step does."""

    def __init__(self, batch):
        super().__init__(batch)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


def turn(key, batch):
    """An augmentation of a task that the library does not know: the label is an angle."""
    return {**batch, "angle": batch["angle"] + jax.random.uniform(key)}


EVERY = {
    "affine": augment.random_affine(rotation=20, scale=(0.8, 1.2), shear=10, translation=3),
    "crop": augment.random_crop(4),
    "scale_crop": augment.random_scale_crop((12, 10), rotation=5),
    "flip": augment.random_flip(),
    "cutout": augment.cutout(6),
    "compose": augment.compose(augment.random_flip(), augment.cutout(3)),
    "choose_one": augment.choose_one(augment.random_flip(), augment.cutout(3)),
    "images": augment.images(lambda key, images: images * jax.random.uniform(key)),
}


@pytest.fixture
def batch(random):
    return {
        "image": jnp.asarray(random.random((6, 14, 16, 3)), jnp.float32),
        "label": jnp.arange(6),
        "angle": jnp.linspace(0, 1, 6),
        "mask": jnp.array([1.0, 1, 1, 1, 1, 0]),
    }


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_and_images_alone_get_the_same_pixels(name, batch, key):
    changed = jax.jit(EVERY[name])(key, batch)
    np.testing.assert_array_equal(changed["image"], jax.jit(EVERY[name])(key, batch["image"]))
    assert not np.array_equal(changed["image"], batch["image"])
    assert changed.keys() == batch.keys()
    for kept in ("label", "angle", "mask"):
        np.testing.assert_array_equal(changed[kept], batch[kept])


def test_lifting_changes_the_image_only_and_twice_does_no_harm(batch, key):
    darker = augment.images(lambda key, images: images / 2)
    for lifted in (darker, augment.images(darker)):
        np.testing.assert_array_equal(lifted(key, batch)["image"], batch["image"] / 2)
        np.testing.assert_array_equal(lifted(key, batch["image"]), batch["image"] / 2)
    maps = batch | {"label": jnp.arange(6 * 14 * 16).reshape(6, 14, 16)}
    flipped = augment.images(augment.random_flip(1.0))(key, maps)
    np.testing.assert_array_equal(flipped["image"], batch["image"][:, :, ::-1])
    np.testing.assert_array_equal(flipped["label"], maps["label"])


@pytest.mark.parametrize("name", EVERY)
def test_only_the_image_is_read_where_nothing_else_moves(name, batch, key):
    recorded = Recorded(batch)
    EVERY[name](key, recorded)
    assert recorded.read == {"image"}


def test_what_is_read_in_a_composition_is_read_from_the_batch(batch, key):
    nested = augment.compose(augment.compose(augment.random_flip(), turn), augment.cutout(2))
    for augmentation in (augment.compose(augment.random_flip(), turn), nested):
        recorded = Recorded(batch)
        changed = augmentation(key, recorded)
        assert recorded.read == {"image", "angle"}
        assert type(changed) is dict
        assert jnp.all(changed["angle"] > batch["angle"])


def test_reading_is_of_what_is_mixed_or_moved(batch, key):
    mixed = Recorded(batch)
    augment.choose_one(augment.mixup(1.0, 6), augment.cutmix(1.0, 6))(key, mixed)
    assert mixed.read == {"image", "label", "mask"}
    moved = Recorded(
        {
            "image": batch["image"],
            "label": jnp.zeros((6, 14, 16), jnp.uint8),
            "boxes": jnp.zeros((6, 2, 4)),
            "valid": jnp.zeros((6, 2), bool),
            "classes": jnp.zeros((6, 2), int),
        }
    )
    augment.random_flip()(key, moved)
    assert moved.read == {"image", "label", "boxes", "valid"}


def test_composition_folds_the_place_into_the_key(batch, key):
    composed = augment.compose(augment.random_crop(2), augment.random_flip(), turn)(key, batch)
    by_hand = augment.random_crop(2)(jax.random.fold_in(key, 0), batch)
    by_hand = augment.random_flip()(jax.random.fold_in(key, 1), by_hand)
    by_hand = turn(jax.random.fold_in(key, 2), by_hand)
    for name, value in by_hand.items():
        np.testing.assert_array_equal(composed[name], value)


def test_draws_are_those_of_the_first_version(batch, key):
    # A run that is resumed sees the images that it would have seen.
    images = batch["image"]
    flipped = jax.random.bernoulli(key, 0.5, (6, 1, 1, 1))
    np.testing.assert_array_equal(
        augment.random_flip()(key, images), jnp.where(flipped, images[:, :, ::-1], images), strict=True
    )
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    corners = jax.random.randint(key, (6, 2), 0, np.array([9, 9]))
    cropped = [image[top : top + 14, left : left + 16] for image, (top, left) in zip(padded, corners, strict=True)]
    np.testing.assert_array_equal(augment.random_crop(4)(key, images), cropped)
    angle, size, *_, down, right = jax.random.uniform(key, (30,)).reshape(6, 5).T
    angle, size = jnp.deg2rad(40 * angle - 20), 0.8 + 0.4 * size
    matrix = jnp.stack([jnp.cos(angle), jnp.sin(angle), -jnp.sin(angle), jnp.cos(angle)], -1) / size[:, None]
    shift = jnp.stack([6 * down - 3, 6 * right - 3], -1)
    np.testing.assert_allclose(
        augment.random_affine(rotation=20, scale=(0.8, 1.2), translation=3)(key, images),
        augment.affine_resample(images, matrix.reshape(6, 2, 2), shift),
        atol=1e-5,
    )


def test_one_of_several_is_applied_to_the_whole_batch_each_as_often(key):
    images = jnp.ones((3, 2, 2, 1))
    choose = augment.choose_one(*(augment.images(lambda key, images, to=to: images * to) for to in (2.0, 3.0, 5.0)))
    chosen = jax.jit(jax.vmap(choose, (0, None)))(jax.random.split(key, 3000), images)
    assert jnp.all(chosen == chosen[:, :1, :1, :1])
    numbers, counts = np.unique(chosen[:, 0, 0, 0, 0], return_counts=True)
    np.testing.assert_array_equal(numbers, [2, 3, 5])
    assert np.all(abs(counts - 1000) < 5 * np.sqrt(3000 * 2 / 9))


def test_choices_that_return_different_things_are_refused(batch, key):
    with pytest.raises(fcnn.InputError, match=r"label int32 \[6\].* and .*label float32 \[6, 6\].* from another"):
        augment.choose_one(augment.random_flip(), augment.mixup(1.0, 6))(key, batch)
    with pytest.raises(fcnn.InputError, match="at least one augmentation"):
        augment.choose_one()
