"""Intermediate features by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.errors import InputError
from fcnn.models import capture, create_model


@pytest.fixture(scope="module")
def network():
    model = create_model("resnet20", blocks_per_stage=2, widths=(4, 4, 8))
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    return model, jax.jit(lambda images: model.init(jax.random.key(1), images, train=False))(images), images


def test_stage_stands_for_its_last_layer(network):
    outputs = capture(*network, ("layer3", "layer1", "layer2_0"))
    assert list(outputs) == ["layer1", "layer2_0", "layer3"]
    assert [output.shape for output in outputs.values()] == [(2, 8, 8, 4), (2, 4, 4, 4), (2, 2, 2, 8)]
    exact = capture(*network, ("layer1_1", "layer3_1"))
    np.testing.assert_array_equal(outputs["layer1"], exact["layer1_1"])
    np.testing.assert_array_equal(outputs["layer3"], exact["layer3_1"])


def test_sequences_of_vgg():
    model = create_model("vgg_tiny", num_classes=3)

    def compute(images):
        variables = model.init(jax.random.key(1), images, train=False)
        return capture(model, variables, images, ("features", "avgpool", "classifier"))

    outputs = jax.eval_shape(compute, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    assert {name: output.shape for name, output in outputs.items()} == {
        "features": (1, 1, 1, 32),
        "avgpool": (1, 7, 7, 32),
        "classifier": (1, 3),
    }


def test_all_layers_by_default(network):
    outputs = capture(*network)
    expected = ["conv1", "bn1", "relu"] + [f"layer{stage}_{i}" for stage in (1, 2, 3) for i in (0, 1)]
    assert list(outputs) == [*expected, "avgpool", "fc"]
    model, variables, images = network
    np.testing.assert_array_equal(outputs["fc"], model.apply(variables, images, train=False))


def test_layer_within_a_block(network):
    assert capture(*network, ("layer2_0/conv1",))["layer2_0/conv1"].shape == (2, 4, 4, 4)


@pytest.mark.parametrize("name", ["layer4", "layer", "conv", "layer2_0/conv3"])
def test_unknown_layer_is_refused(network, name):
    with pytest.raises(InputError, match=f"unknown layer '{name}'"):
        capture(*network, (name,))
