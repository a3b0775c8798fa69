import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn.use.anatomy import anatomy

TRUNK = ["conv1", "bn1", "relu", "maxpool", "layer1_0", "layer2_0", "layer3_0", "layer4_0"]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet_tiny", [*TRUNK, "avgpool", "fc"]),
        # Without the auxiliary head, which evaluation leaves out, and dropout.
        ("fcn_resnet_tiny", [*TRUNK, "classifier_0", "classifier_1", "classifier_2", "classifier_4"]),
    ],
)
def test_the_parts_of_a_trunk_are_on_the_way_of_an_image(name, layers, random):
    model = fcnn.create_model(name, num_classes=3)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(jax.random.key(0))
    image = random.integers(0, 256, (40, 48, 3), np.uint8)
    found = anatomy(model, jax.device_get(variables), None, image)
    assert list(found.feature_maps) == layers
    assert found.feature_maps["conv1"].shape == (20, 24, 8)
    first = variables["params"]["backbone" if "backbone" in variables["params"] else "conv1"]
    np.testing.assert_array_equal(found.kernels, first.get("conv1", first)["kernel"])
