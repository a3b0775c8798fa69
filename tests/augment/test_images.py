import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

import fcnn
from fcnn import augment

EVERY = {
    "affine": augment.random_affine(rotation=20, scale=(0.8, 1.2), shear=10, translation=3),
    "crop": augment.random_crop(4),
    "flip": augment.random_flip(),
    "cutout": augment.cutout(6),
}


@pytest.fixture
def images(random):
    return jnp.asarray(random.random((16, 20, 24, 3)), jnp.float32)


@pytest.mark.parametrize("name", EVERY)
def test_is_a_function_of_the_key_and_differs_by_image(name, images, key):
    transform = jax.jit(EVERY[name])
    same = jnp.broadcast_to(images[:1], images.shape)
    first = transform(key, same)
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    np.testing.assert_array_equal(first, transform(key, same))
    assert not jnp.array_equal(first, transform(jax.random.key(1), same))
    assert len({np.asarray(image).tobytes() for image in first}) > 1


def test_affine_is_bilinear_resampling(images, random):
    matrix = jnp.asarray(np.eye(2) + 0.4 * random.standard_normal((16, 2, 2)), jnp.float32)
    shift = jnp.asarray(random.uniform(-9, 9, (16, 2)), jnp.float32)

    def reference(image, matrix, shift):
        centre = jnp.array([(20 - 1) / 2, (24 - 1) / 2])
        pixels = jnp.stack(jnp.meshgrid(jnp.arange(20), jnp.arange(24), indexing="ij"), -1) - centre - shift
        row, column = jnp.einsum("ij,hwj->ihw", matrix, pixels) + centre[:, None, None]
        channels = [map_coordinates(image[..., c], [row, column], 1, mode="constant") for c in range(3)]
        return jnp.stack(channels, -1)

    found = augment.affine_resample(images, matrix, shift)
    np.testing.assert_allclose(found, jax.vmap(reference)(images, matrix, shift), atol=1e-5)


def test_no_range_is_the_identity(images, key):
    np.testing.assert_allclose(augment.random_affine()(key, images), images, atol=1e-6)


def test_quarter_turn(images):
    square = images[:, :, :20]
    turn = jnp.broadcast_to(jnp.array([[0.0, 1.0], [-1.0, 0.0]]), (16, 2, 2))
    turned = augment.affine_resample(square, turn, jnp.zeros((16, 2)))
    assert any(np.allclose(turned, jnp.rot90(square, k, axes=(1, 2)), atol=1e-4) for k in (1, 3))


def test_shift_moves_down_and_right(images):
    identity = jnp.broadcast_to(jnp.eye(2), (16, 2, 2))
    shifted = augment.affine_resample(images, identity, jnp.broadcast_to(jnp.array([2.0, 3.0]), (16, 2)))
    np.testing.assert_allclose(shifted[:, 2:, 3:], images[:, :-2, :-3], atol=1e-5)
    assert not shifted[:, :2].any()
    assert not shifted[:, :, :3].any()


def test_rotation_stays_in_its_range(key):
    # A bright pixel to the right of the centre moves up and down by at most its distance times the sine.
    image = jnp.zeros((256, 41, 41, 1)).at[:, 20, 38].set(1.0)
    turned = augment.random_affine(rotation=10)(key, image)
    rows = (turned.sum((2, 3)) * jnp.arange(41)).sum(1) / turned.sum((1, 2, 3))
    angles = jnp.rad2deg(jnp.arcsin((rows - 20) / 18))
    assert 9 < jnp.abs(angles).max() < 11
    assert jnp.abs(angles.mean()) < 1


def test_scale_keeps_its_range(key):
    image = jnp.zeros((256, 41, 41, 1)).at[:, 10:31, 10:31].set(1.0)
    areas = augment.random_affine(scale=(0.5, 1.5))(key, image).sum((1, 2, 3))
    sides = jnp.sqrt(areas)
    assert sides.min() == pytest.approx(0.5 * 21, abs=0.5)
    assert sides.max() == pytest.approx(1.5 * 21, abs=0.7)


def test_crop_shows_a_part_of_the_padded_image(images, key):
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    places = set()
    for image, whole in zip(np.asarray(augment.random_crop(4)(key, images)), padded, strict=True):
        found = [(i, j) for i in range(9) for j in range(9) if np.array_equal(image, whole[i : i + 20, j : j + 24])]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 8


def test_crop_of_another_size_shows_every_part(key, random):
    images = jnp.asarray(random.random((500, 6, 7, 1)), jnp.float32)
    places = set()
    for image, whole in zip(np.asarray(augment.random_crop(0, (4, 6))(key, images)), np.asarray(images), strict=True):
        places |= {(i, j) for i in range(3) for j in range(2) if np.array_equal(image, whole[i : i + 4, j : j + 6])}
    assert places == {(i, j) for i in range(3) for j in range(2)}


def test_crop_larger_than_the_padded_image_is_refused(images, key):
    with pytest.raises(fcnn.InputError, match="a crop of 23x24 does not fit into images of 20x24 with 1 pixels around"):
        augment.random_crop(1, (23, 24))(key, images)


def test_flip_mirrors_about_half(key, random):
    images = jnp.asarray(random.random((400, 4, 6, 1)), jnp.float32)
    flipped = augment.random_flip()(key, images)
    mirrored = jnp.all(flipped == images[:, :, ::-1], axis=(1, 2, 3))
    kept = jnp.all(flipped == images, axis=(1, 2, 3))
    assert jnp.all(mirrored ^ kept)
    assert 150 < mirrored.sum() < 250


def test_cutout_blackens_one_square(key):
    black = augment.cutout(6)(key, jnp.ones((64, 20, 24, 3))) == 0
    rows, columns = black.any((2, 3)).sum(1), black.any((1, 3)).sum(1)
    assert jnp.all((rows <= 6) & (columns <= 6) & (rows >= 3) & (columns >= 3))
    np.testing.assert_array_equal(black.sum((1, 2, 3)), rows * columns * 3)


def test_compose_gives_each_its_own_key(images, key):
    composed = augment.compose(augment.cutout(4), augment.cutout(4))(key, jnp.ones_like(images))
    once = augment.cutout(4)(key, jnp.ones_like(images))
    assert (composed == 0).sum() > 1.2 * (once == 0).sum()


@pytest.mark.parametrize(
    "make",
    [
        lambda: augment.random_affine(rotation=-1),
        lambda: augment.random_affine(scale=(0.0, 1.0)),
        lambda: augment.random_affine(scale=(1.2, 0.8)),
        lambda: augment.random_affine(shear=90),
        lambda: augment.random_crop(-1),
        lambda: augment.random_crop(0, (0, 4)),
        lambda: augment.random_flip(1.5),
        lambda: augment.cutout(-2),
    ],
)
def test_impossible_ranges_are_refused(make):
    with pytest.raises(fcnn.InputError):
        make()
