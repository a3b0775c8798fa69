"""torchvision's state dicts into variables and back."""

import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.errors import InputError
from fcnn.models import create_model, list_models
from fcnn.pretrained.convert import convert_torchvision, export_torchvision

GOLDENS = Path(__file__).parent.parent / "goldens" / "torchvision"


def distinct_state_dict(shapes):
    """Every number another one, so that no exchange goes unseen."""
    state_dict, start = {}, 0
    for key, shape in shapes.items():
        size = math.prod(shape)
        if key.endswith("num_batches_tracked"):
            state_dict[key] = np.array(0)
        else:
            state_dict[key] = np.arange(start, start + size, dtype=np.int32).view(np.float32).reshape(shape)
            start += size
    return state_dict


def torchvision_shapes(name, classes=1000):
    shapes = json.loads((GOLDENS / f"{name}.keys.json").read_text())
    return {key: [classes, *shape[1:]] if shape[:1] == [1000] else shape for key, shape in shapes.items()}


def tiny_variables(name, **options):
    model = create_model(name, **options)
    images = jax.ShapeDtypeStruct((1, *model.input_shape), jnp.float32)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    rng = np.random.default_rng(0)
    return {"batch_stats": {}} | jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "inception_v3", "resnet50", "vgg16_bn"])
def test_round_trip_is_bitwise_and_in_torchvisions_order(name):
    state_dict = distinct_state_dict(torchvision_shapes(name))
    variables = convert_torchvision(name, state_dict)
    exported = export_torchvision(name, variables)
    assert list(exported) == list(state_dict)
    for key, array in exported.items():
        assert array.dtype == state_dict[key].dtype
        assert array.flags.c_contiguous
        assert array.tobytes() == state_dict[key].tobytes(), key


def test_conversion_of_100_megabytes_takes_less_than_3_seconds():
    state_dict = distinct_state_dict(torchvision_shapes("resnet50"))
    # Time of this process: other tests may run beside it.
    start = time.process_time()
    convert_torchvision("resnet50", state_dict)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "name", [name for name in list_models() if name.endswith(("_tiny", "_digits")) or name in ("resnet20", "resnet34")]
)
def test_variables_are_those_of_the_network(name):
    variables = tiny_variables(name, num_classes=3)
    state_dict = export_torchvision(name, variables)
    back = convert_torchvision(name, state_dict)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, variables))


def test_layouts():
    state_dict = distinct_state_dict(torchvision_shapes("resnet18"))
    variables = convert_torchvision("resnet18", state_dict)
    params, statistics = variables["params"], variables["batch_stats"]
    kernel = params["layer2_0"]["downsample_0"]["kernel"]
    assert kernel.shape == (1, 1, 64, 128)
    assert kernel[0, 0, 5, 7] == state_dict["layer2.0.downsample.0.weight"][7, 5, 0, 0]
    assert params["conv1"]["kernel"][1, 2, 0, 9] == state_dict["conv1.weight"][9, 0, 1, 2]
    assert params["fc"]["kernel"][3, 4] == state_dict["fc.weight"][4, 3]
    np.testing.assert_array_equal(params["layer4_1"]["bn2"]["scale"], state_dict["layer4.1.bn2.weight"])
    np.testing.assert_array_equal(statistics["layer4_1"]["bn2"]["var"], state_dict["layer4.1.bn2.running_var"])


@pytest.mark.parametrize(
    ("name", "layer", "key", "size"),
    [
        ("alexnet_tiny", ("classifier_1",), "classifier.1.weight", (6, 6)),
        ("vgg_tiny", ("classifier_0",), "classifier.0.weight", (7, 7)),
        ("googlenet_tiny", ("aux2", "fc1"), "aux2.fc1.weight", (4, 4)),
    ],
)
def test_rows_after_a_feature_map_are_reordered(name, layer, key, size):
    variables = tiny_variables(name, num_classes=3)
    kernel = variables["params"]
    for part in (*layer, "kernel"):
        kernel = kernel[part]
    height, width = size
    channels = kernel.shape[0] // (height * width)
    weight = export_torchvision(name, variables)[key].reshape(-1, channels, height, width)
    kernel = kernel.reshape(height, width, channels, -1)
    np.testing.assert_array_equal(weight[4, 3, 1, 2], kernel[1, 2, 3, 4])


def test_number_of_classes_and_channels_follow_the_state_dict():
    shapes = torchvision_shapes("resnet18", classes=2) | {"conv1.weight": [64, 1, 7, 7]}
    variables = convert_torchvision("resnet18", distinct_state_dict(shapes))
    assert variables["params"]["fc"]["kernel"].shape == (512, 2)
    assert variables["params"]["conv1"]["kernel"].shape == (7, 7, 1, 64)
    assert list(export_torchvision("resnet18", variables)) == list(shapes)


def test_weights_for_other_classes_than_asked_for_are_refused():
    state_dict = export_torchvision("fcn_resnet_tiny", tiny_variables("fcn_resnet_tiny", num_classes=7))
    assert convert_torchvision("fcn_resnet_tiny", state_dict, num_classes=7)
    with pytest.raises(InputError, match="are those of fcn_resnet_tiny with 7 classes, expected 3: leave") as caught:
        convert_torchvision("fcn_resnet_tiny", state_dict, num_classes=3)
    assert "\n" not in str(caught.value)


def test_keys_of_segmentation_networks():
    digits = export_torchvision("fcn2s_vgg_digits", tiny_variables("fcn2s_vgg_digits", num_classes=3))
    assert digits["upscore_pool2.weight"].shape == (3, 3, 4, 4)
    assert digits["upscore.weight"].shape == (3, 3, 4, 4)
    assert {"conv1_1.weight", "bn1_1.running_mean", "fc6.bias", "score_fr.weight", "score_pool1.bias"} < digits.keys()
    resnet = export_torchvision("fcn_resnet_tiny", tiny_variables("fcn_resnet_tiny"))
    assert {
        "backbone.layer4.0.downsample.1.running_var",
        "classifier.4.bias",
        "aux_classifier.1.weight",
    } < resnet.keys()


@pytest.mark.parametrize("name", ["fcn_resnet_tiny", "googlenet_tiny", "inception_tiny"])
def test_without_auxiliary_heads(name):
    variables = tiny_variables(name, num_classes=3, auxiliary_heads=False)
    state_dict = export_torchvision(name, variables)
    assert not any(key.lower().startswith("aux") for key in state_dict)
    back = convert_torchvision(name, state_dict)
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, variables))


def test_one_auxiliary_head_of_two_is_refused():
    state_dict = export_torchvision("googlenet_tiny", tiny_variables("googlenet_tiny"))
    one = {key: array for key, array in state_dict.items() if not key.startswith("aux2")}
    with pytest.raises(InputError, match=r"9 missing: aux2\.conv\.conv\.weight"):
        convert_torchvision("googlenet_tiny", one)


def test_counters_may_be_absent():
    state_dict = distinct_state_dict(torchvision_shapes("resnet18"))
    old = {key: array for key, array in state_dict.items() if not key.endswith("num_batches_tracked")}
    assert list(export_torchvision("resnet18", convert_torchvision("resnet18", old))) == list(state_dict)


def test_all_that_is_wrong_is_told_in_one_line():
    shapes = torchvision_shapes("resnet18")
    shapes |= {"bn1.bias": [65], "layer3.0.conv1.weight": [256, 128, 1, 1], "state.epoch": []}
    del shapes["layer1.1.bn2.running_mean"]
    with pytest.raises(InputError) as caught:
        convert_torchvision("resnet18", distinct_state_dict(shapes))
    message = str(caught.value)
    assert "\n" not in message
    assert "resnet18" in message
    assert "1 missing: layer1.1.bn2.running_mean" in message
    assert "1 not expected: state.epoch" in message
    assert "bn1.bias [65] instead of [64]" in message
    assert "layer3.0.conv1.weight [256, 128, 1, 1] instead of [256, 128, 3, 3]" in message


def test_a_key_cannot_move_about_the_terminal():
    state_dict = distinct_state_dict(torchvision_shapes("resnet18"))
    with pytest.raises(InputError) as caught:
        convert_torchvision("resnet18", state_dict | {"\x1b[2J\nfc" + "x" * 10_000: np.zeros(1, np.float32)})
    assert str(caught.value).isprintable()
    assert r"\x1b[2J\nfc" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "other"), [("resnet18", "resnet50"), ("resnet50", "resnet18"), ("vgg11", "vgg16_bn"), ("alexnet", "vgg11")]
)
def test_file_of_another_network_is_refused(name, other):
    state_dict = distinct_state_dict(torchvision_shapes(other))
    with pytest.raises(InputError, match=f"do not fit {name}") as caught:
        convert_torchvision(name, state_dict)
    assert len(str(caught.value)) < 1000


def test_export_refuses_variables_of_another_network():
    variables = tiny_variables("resnet_tiny", num_classes=3)
    with pytest.raises(InputError, match=r"do not fit resnet18 .* conv1\.weight \[8, 3, 7, 7\] instead of \[64, 3, 7"):
        export_torchvision("resnet18", variables)


def test_options_change_what_fits():
    variables = tiny_variables("googlenet_tiny", paper_kernels=True)
    with pytest.raises(InputError, match="of the wrong shape"):
        export_torchvision("googlenet_tiny", variables)
    state_dict = export_torchvision("googlenet_tiny", variables, paper_kernels=True)
    assert state_dict["inception4a.branch3.1.conv.weight"].shape[2:] == (5, 5)
    back = convert_torchvision("googlenet_tiny", state_dict, paper_kernels=True)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, variables))
