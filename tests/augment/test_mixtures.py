"""Mixup and cutmix: images and labels are mixed with the same partner, by the same share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import augment

SIZE = 12
MIXTURES = {"mixup": augment.mixup, "cutmix": augment.cutmix}


@pytest.fixture
def batch(random):
    """As many examples as classes: a row of the mixed labels says which two were mixed, and how."""
    return {
        "image": jnp.asarray(random.random((SIZE, 16, 32, 3)), jnp.float32),
        "label": jnp.asarray(random.permutation(SIZE)),
    }


def read_shares(batch, targets):
    """Returns each example's partner (itself, where it was left alone) and the share of its own label."""
    owner = np.argsort(batch["label"])
    others = np.asarray(targets).copy()
    shares = others[np.arange(len(others)), batch["label"]].copy()
    others[np.arange(len(others)), batch["label"]] = 0
    partner = np.where(others.any(1), owner[others.argmax(1)], np.arange(len(others)))
    return partner, shares


def several(alpha, make, key, count):
    """Returns the share of the own image and of the own label for many keys: the partner is black."""
    batch = {"image": jnp.zeros((2, 16, 32, 1)).at[0].set(1.0), "label": jnp.arange(2)}
    mixed = jax.jit(jax.vmap(make(alpha, 2), (0, None)))(jax.random.split(key, count), batch)
    partner_is_other = np.asarray(mixed["image"][:, 1].any((1, 2, 3)) | (mixed["label"][:, 0, 1] > 0))
    return np.asarray(mixed["image"])[partner_is_other], np.asarray(mixed["label"])[partner_is_other]


def test_mixup_adds_images_and_labels_by_the_same_share(batch, key):
    mixed = jax.jit(augment.mixup(1.0, SIZE))(key, batch)
    partner, shares = read_shares(batch, mixed["label"])
    np.testing.assert_allclose(mixed["label"].sum(1), 1, rtol=1e-6)
    assert sorted(partner) == list(range(SIZE))
    moved = partner != np.arange(SIZE)
    assert moved.sum() >= SIZE // 2
    share = shares[moved][0]
    assert 0.05 < share < 0.95
    np.testing.assert_array_equal(shares[moved], share)
    expected = share * batch["image"] + (1 - share) * batch["image"][partner]
    np.testing.assert_allclose(mixed["image"], expected, atol=1e-6)


def test_cutmix_pastes_one_box_and_mixes_labels_by_its_area(batch, key):
    cut = jax.jit(augment.cutmix(1.0, SIZE))
    boxes = set()
    for number in range(12):
        mixed = cut(jax.random.fold_in(key, number), batch)
        partner, shares = read_shares(batch, mixed["label"])
        np.testing.assert_array_equal(mixed["label"].sum(1), 1)
        assert sorted(partner) == list(range(SIZE))
        moved = partner != np.arange(SIZE)
        own = np.asarray(mixed["image"] == batch["image"]).all(-1)[moved]
        others = np.asarray(mixed["image"] == batch["image"][partner]).all(-1)[moved]
        np.testing.assert_array_equal(own, ~others)
        # The same box in all, full of the partner. Its area is what the labels say: shares of 512 are exact in float32.
        box = others[0] if len(others) else np.zeros((16, 32), bool)
        np.testing.assert_array_equal(others, np.broadcast_to(box, others.shape))
        np.testing.assert_array_equal(box, np.outer(box.any(1), box.any(0)))
        np.testing.assert_array_equal(shares[moved], 1 - box.sum() / 512)
        boxes.add(box.tobytes())
    assert len(boxes) > 9


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_its_share_from_beta(alpha, key):
    images, targets = several(alpha, augment.mixup, key, 4000)
    shares = targets[:, 0, 0]
    np.testing.assert_allclose(images[:, 0, 0, 0, 0], shares, atol=1e-6)
    assert len(shares) == pytest.approx(2000, abs=200)
    # Beta(a, a) has the mean 1 / 2 and the variance 1 / (4 (2 a + 1)).
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.mean() == pytest.approx(0.5, abs=4 * np.sqrt(variance / len(shares)))
    assert shares.var() == pytest.approx(variance, rel=0.12)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_cutmix_draws_boxes_as_the_paper_does(alpha, key, random):
    images, targets = several(alpha, augment.cutmix, key, 6000)
    found = np.sort(1 - targets[:, 0, 0])
    np.testing.assert_allclose(images[:, 0, ..., 0].mean((1, 2)), targets[:, 0, 0], atol=1e-6)
    # Algorithm A1 in NumPy, of the boxes that have an area. (Without one, the partner cannot be read.)
    cut = np.sqrt(1 - random.beta(alpha, alpha, 40_000))
    area = 1.0
    for side in (16, 32):
        centre = random.uniform(0, side, 40_000)
        first, last = np.maximum(centre - side * cut / 2, 0), np.minimum(centre + side * cut / 2, side)
        area = area * (np.round(last) - np.round(first)) / side
    expected = area[area > 0]
    assert len(found) == pytest.approx(3000 * len(expected) / len(area), rel=0.08)
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(found, share) == pytest.approx(np.quantile(expected, share), abs=0.04)


@pytest.mark.parametrize("name", MIXTURES)
def test_masked_examples_are_left_alone_and_mixed_into_no_other(name, batch, key):
    mask = jnp.array([1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1], jnp.float32)
    counted = np.asarray(mask) > 0
    hostile = batch | {"mask": mask, "image": jnp.where(mask[:, None, None, None] > 0, batch["image"], jnp.nan)}
    mix = jax.jit(MIXTURES[name](1.0, SIZE))
    partners = set()
    for number in range(12):
        mixed = mix(jax.random.fold_in(key, number), hostile)
        partner, shares = read_shares(batch, mixed["label"])
        np.testing.assert_array_equal(partner[~counted], np.flatnonzero(~counted))
        np.testing.assert_allclose(shares[~counted], 1, rtol=1e-6)
        assert sorted(partner[counted]) == list(np.flatnonzero(counted))
        assert np.isfinite(mixed["image"][counted]).all()
        np.testing.assert_array_equal(mixed["mask"], mask)
        partners |= set(zip(np.flatnonzero(counted), partner[counted], strict=True))
    # All pairs may occur: 64 of them, 8 in every draw.
    assert len(partners) > 40


@pytest.mark.parametrize("name", MIXTURES)
def test_probabilities_are_mixed_as_class_numbers_are(name, batch, key):
    mix = MIXTURES[name](1.0, SIZE)
    mixed = mix(key, batch)
    again = mix(key, batch | {"label": jax.nn.one_hot(batch["label"], SIZE)})
    np.testing.assert_array_equal(mixed["label"], again["label"])
    bytes_mixed = mix(key, batch | {"label": batch["label"].astype(jnp.uint8)})
    np.testing.assert_array_equal(mixed["label"], bytes_mixed["label"])
    twice = augment.compose(mix, mix)(key, batch)
    np.testing.assert_allclose(twice["label"].sum(1), 1, rtol=1e-6)
    assert (twice["label"] > 0).sum(1).max() > 2


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("wrong", [-1, SIZE])
def test_a_label_that_is_no_class_is_nan_in_each_row_that_it_is_mixed_into(name, wrong, batch, key):
    mixed = MIXTURES[name](1.0, SIZE)(key, batch | {"label": batch["label"].at[3].set(wrong)})
    rows = np.isnan(mixed["label"])
    assert rows[3].all()
    assert 1 <= rows.any(1).sum() <= 2
    np.testing.assert_array_equal(rows.any(1), rows.all(1))


@pytest.mark.parametrize("name", MIXTURES)
def test_a_batch_on_several_devices_is_mixed_as_on_one(name, random, key):
    batch = {"image": jnp.asarray(random.random((16, 8, 8, 1)), jnp.float32), "label": jnp.arange(16) % 5}
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = jax.device_put(batch, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    mix = jax.jit(MIXTURES[name](1.0, 5))
    for entry, value in mix(key, batch).items():
        np.testing.assert_allclose(mix(key, placed)[entry], value, atol=1e-6)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize(
    ("label", "message"),
    [
        (jnp.zeros((4, 3)), r"probabilities \[batch, 5\], got float32 \[4, 3\]"),
        (jnp.zeros(4), r"integers \[batch\] .*, got float32 \[4\]"),
        (jnp.zeros((4, 6, 6), int), r"got int32 \[4, 6, 6\]"),
    ],
)
def test_labels_that_cannot_be_mixed_are_refused(name, label, message, key):
    with pytest.raises(fcnn.InputError, match=message):
        MIXTURES[name](1.0, 5)(key, {"image": jnp.zeros((4, 6, 6, 1)), "label": label})


@pytest.mark.parametrize("name", MIXTURES)
def test_mixing_needs_labels_and_a_positive_alpha(name, key):
    with pytest.raises(fcnn.InputError, match='give a batch with "label"'):
        MIXTURES[name](1.0, 5)(key, jnp.zeros((4, 6, 6, 1)))
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(fcnn.InputError, match="alpha must be positive"):
            MIXTURES[name](alpha, 5)
    with pytest.raises(fcnn.InputError, match="number of classes"):
        MIXTURES[name](1.0, 0)
