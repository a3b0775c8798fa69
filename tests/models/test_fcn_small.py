"""The FCN for small images: what it takes from a classifier, and where its scores lie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.errors import InputError
from fcnn.models import capture, create_model, from_classifier, layer_table

STRIDES = (16, 8, 4, 2)


def initialised(model, shape):
    return jax.jit(lambda key: model.init(key, jnp.zeros(shape), train=False))(jax.random.key(0))


@pytest.mark.parametrize("stride", STRIDES)
def test_layers_and_their_sizes(stride):
    model = create_model(f"fcn{stride}s_small", num_classes=11)
    rows = {row.name: row for row in layer_table(model, (1, 96, 96, 1))}
    skips = [name for name, side in (("pool2", 12), ("pool1", 24), ("conv1", 48))]
    skips = skips[: STRIDES.index(stride)]
    assert [name for name in rows if name.startswith("score")] == ["score_fr", *(f"score_{name}" for name in skips)]
    assert model.heads == ("score_fr", *(f"score_{name}" for name in skips))
    assert rows["score_fr"].output_shape == (1, 6, 6, 11)
    assert rows[model.heads[-1]].output_shape == (1, 96 // stride, 96 // stride, 11)
    # a 4x4 kernel and 3x3 ones with biases, BatchNorm's two arrays, and a score's weights of each channel
    channels = ((16, 16), (16, 48), (48, 48), (48, 96), (96, 96), (96, 192))
    trunk = 16 * 16 + 3 * 16 + sum(9 * a * b + 3 * b for a, b in channels) + 192 * 192 + 3 * 192
    scores = sum(11 * (width + 1) for width in (192, 48, 16, 16)[: 1 + len(skips)])
    assert sum(row.parameters for row in rows.values()) == trunk + scores


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 31)])
def test_logits_have_the_size_of_the_image(size):
    model = create_model("fcn2s_small", num_classes=5)

    def logits_of(images):
        return model.apply(model.init(jax.random.key(0), images, train=False), images, train=False)

    assert jax.eval_shape(logits_of, jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)).shape == (2, *size, 5)


def test_the_middle_of_the_convolution_gives_what_the_linear_layers_gave(random):
    classifier, model = create_model("vgg_small", num_classes=10), create_model("fcn16s_small", num_classes=11)
    images = jnp.asarray(random.standard_normal((2, 48, 48, 1)), jnp.float32)
    variables = initialised(classifier, images.shape)
    variables = jax.tree.map(lambda leaf: random.uniform(0.5, 1.5, leaf.shape) * leaf, variables)
    started = from_classifier(model, variables, jax.random.key(1), images.shape)
    theirs = jax.jit(lambda images: capture(classifier, variables, images, ("classifier_0", "classifier_6")))(images)
    ours = jax.jit(lambda images: capture(model, started, images, ("fc6", "relu7")))(images)
    for layer, linear in (("fc6", "classifier_0"), ("relu7", "classifier_6")):
        assert ours[layer].shape == (2, 3, 3, 192)
        np.testing.assert_allclose(ours[layer][:, 1, 1], theirs[linear], atol=1e-5 * np.abs(theirs[linear]).max())
        assert np.any(theirs[linear])


def test_scores_lie_over_the_pixels_that_they_are_of():
    """Kernels of ones keep the symmetry of a square in the middle, in each of the scores that are added."""
    model = create_model("fcn2s_small", num_classes=1)
    images = jnp.zeros((1, 64, 64, 1)).at[0, 28:36, 28:36].set(1)
    variables = initialised(model, images.shape)
    logits_of = jax.jit(lambda variables: model.apply(variables, images, train=False)[0, :, :, 0])

    for score in model.heads:

        def ones(path, leaf, score=score):
            layer, name = path[0].key, path[-1].key
            used = name in ("kernel", "scale") and (layer == score or not layer.startswith("score"))
            return jnp.full_like(leaf, used)

        logits = logits_of(variables | {"params": jax.tree.map_with_path(ones, variables["params"])})
        assert np.argmax(logits) // 64 in range(24, 40)
        for mirrored in (logits[::-1], logits[:, ::-1], logits.T):
            np.testing.assert_allclose(logits, mirrored, rtol=1e-5, err_msg=score)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 3}, "stride must be one of 16, 8, 4, 2 with 3 stages, got 3"),
        ({"stride": 1}, "stride must be one of 16, 8, 4, 2 with 3 stages, got 1"),
        ({"grid": 4}, "grid must be odd, .* got 4"),
    ],
)
def test_what_no_network_has_is_refused(options, message):
    with pytest.raises(InputError, match=message) as caught:
        layer_table(create_model("fcn2s_small", **options), (1, 48, 48, 1))
    assert "\n" not in str(caught.value)
