"""A classification network as the start of one that labels every pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.errors import InputError
from fcnn.models import FCNVGG, capture, create_model, from_classifier


def random_variables(model, shape):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), train=False))
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if leaf.ndim < 2:
            return random.uniform(0.5, 1.5, leaf.shape).astype(np.float32) / 4
        values = random.standard_normal(leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return values.astype(np.float32)

    return {"batch_stats": {}} | jax.tree.map_with_path(draw, shapes)


TINY = {"stage_sizes": (1, 1, 1, 1, 1), "widths": (8, 16, 32, 32, 32), "hidden": 64}


@pytest.mark.parametrize(
    ("classifier", "name", "options"),
    [("vgg_digits", "fcn8s_vgg_digits", {}), ("vgg_tiny", "fcn32s_vgg16", TINY | {"batch_norm": True})],
)
def test_convolutions_give_what_the_linear_layers_gave(classifier, name, options, random, monkeypatch):
    # Without the padding that the scores need, an image of the classifier's size gives one pixel.
    monkeypatch.setattr(FCNVGG, "_check_sizes", lambda self: None)
    source, model = create_model(classifier), create_model(name, first_padding=1, **options)
    images = jnp.asarray(random.standard_normal((1, *source.input_shape)), jnp.float32)
    variables = random_variables(source, images.shape)
    started = from_classifier(model, variables, jax.random.key(0))

    theirs = jax.jit(lambda images: capture(source, variables, images, ("classifier_0", "classifier_4")))(images)
    ours = jax.jit(lambda images: capture(model, started, images, ("fc6", "relu7")))(images)
    for name, convolution in (("classifier_0", "fc6"), ("classifier_4", "relu7")):
        assert ours[convolution].shape == (1, 1, 1, model.hidden)
        error = np.abs(ours[convolution][:, 0, 0] - theirs[name]).max() / np.abs(theirs[name]).max()
        assert error <= 1e-5
        assert np.any(theirs[name])


def test_what_the_classifier_has_not_starts_as_the_network_has_it():
    model = create_model("fcn2s_vgg_digits", num_classes=5)
    shape = (1, 32, 32, 1)
    variables = random_variables(create_model("vgg_digits", num_classes=10), shape)
    started = from_classifier(model, variables, jax.random.key(0), shape)
    new = jax.jit(lambda: model.init(jax.random.key(0), jnp.zeros(shape), train=False))()
    assert jax.tree.map(jnp.shape, started) == jax.tree.map(jnp.shape, new)
    for layer, arrays in started["params"].items():
        if layer.startswith(("score", "up")):
            jax.tree.map(np.testing.assert_array_equal, arrays, new["params"][layer])
    assert not np.any(started["params"]["score_pool1"]["kernel"])
    np.testing.assert_array_equal(started["params"]["conv3_2"]["kernel"], variables["params"]["features_17"]["kernel"])
    np.testing.assert_array_equal(
        started["batch_stats"]["bn3_2"]["var"], variables["batch_stats"]["features_18"]["var"]
    )


def test_a_resnet_becomes_the_backbone():
    model = create_model("fcn_resnet_tiny", num_classes=3)
    variables = random_variables(create_model("resnet_tiny", num_classes=10), (1, 32, 32, 3))
    started = from_classifier(model, variables, jax.random.key(0), (1, 32, 32, 3))
    for collection in ("params", "batch_stats"):
        trained = {name: arrays for name, arrays in variables[collection].items() if name != "fc"}
        jax.tree.map(np.testing.assert_array_equal, started[collection]["backbone"], trained)
    assert np.std(started["params"]["classifier_0"]["kernel"]) > 0


@pytest.mark.parametrize(
    ("name", "classifier", "message"),
    [
        (
            "fcn8s_vgg_digits",
            "vgg_tiny",
            "that this FCNVGG starts from: features_1/mean, .* and 34 more differ",
        ),
        ("fcn_resnet_tiny", "vgg_digits", "that this FCNResNet starts from: bn1/mean, .* differ"),
        ("resnet_tiny", "resnet_tiny", "ResNet labels no pixels"),
    ],
)
def test_other_networks_are_refused(name, classifier, message):
    variables = random_variables(create_model(classifier), (1, 32, 32, 3))
    with pytest.raises(InputError, match=message) as caught:
        from_classifier(create_model(name), variables, jax.random.key(0))
    assert "\n" not in str(caught.value)
