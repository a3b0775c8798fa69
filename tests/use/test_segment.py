import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import fcnn
from fcnn.pretrained import EvaluationTransform
from fcnn.use import segment
from fcnn.use.segment import highest_class

NAME = "fcn_resnet_tiny"
TRANSFORM = EvaluationTransform(40, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("size", [(70, 53), (9, 31), (12, 17), (1, 1), (64, 5)])
def test_the_highest_class_is_that_of_the_interpolated_logits(random, size):
    logits = jnp.asarray(random.normal(size=(12, 17, 5)), jnp.float32)
    expected = fcnn.ops.resize_bilinear(logits[None], size)[0].argmax(axis=-1)
    np.testing.assert_array_equal(highest_class(logits, size), expected)


def test_no_pixel_is_moved():
    """The border between two classes stays at the same share of the width."""
    halves = np.zeros((8, 16, 2), np.float32)
    halves[:, :6, 0] = halves[:, 6:, 1] = 1
    enlarged = np.asarray(highest_class(jnp.asarray(halves), (24, 48)))
    np.testing.assert_array_equal(enlarged, np.broadcast_to(np.arange(48) >= 18, (24, 48)))


@pytest.fixture(scope="module")
def variables():
    model = fcnn.create_model(NAME, num_classes=3)
    return jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(jax.random.key(0))


def test_images_of_any_size_and_mode_are_labelled_at_their_size(variables, random):
    pixels = random.integers(0, 256, (60, 90, 3), np.uint8)
    photos = [Image.fromarray(pixels), pixels[:50, :30], Image.fromarray(pixels[..., 0])]
    maps = list(segment(NAME, variables, photos, TRANSFORM))
    assert [found.shape for found in maps] == [(60, 90), (50, 30), (60, 90)]
    model = fcnn.create_model(NAME, num_classes=3)
    for photo, found in zip(photos, maps, strict=True):
        logits = model.apply(variables, jnp.asarray(TRANSFORM(photo)[None]), train=False)
        assert logits.shape[1:3] == TRANSFORM(photo).shape[:2]
        expected = fcnn.ops.resize_bilinear(logits, found.shape)[0].argmax(axis=-1)
        assert np.mean(found == expected) > 0.999


def test_weights_for_grey_images_are_refused():
    model = fcnn.create_model(NAME, num_classes=3)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 1)), train=False))(jax.random.key(0))
    with pytest.raises(fcnn.InputError, match="do not take images of 3 channels"):
        next(segment(NAME, variables, [np.zeros((40, 40, 3), np.uint8)], TRANSFORM))
