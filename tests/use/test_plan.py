"""The plan of a network: each of its layers, with the formulation that a step takes."""

import jax
import jax.numpy as jnp
import pytest

import fcnn
from fcnn.models.plan import plan_network
from fcnn.ops.machine import Cpu
from fcnn.use.plan import measure_layer

AVX512 = Cpu(has_avx512=True, has_ynnpack=False)


def names(layers):
    return {(layer.name, part): choice.name for layer in layers for part, choice in layer.parts.items()}


def test_lenet_trains_in_two_products_of_windows():
    found = names(plan_network(fcnn.create_model("lenet"), (64, 32, 32, 1), cpu=AVX512))
    assert found["c1", "output"] == found["c3", "output"] == "product of windows"
    assert found["c5", "output"] == "product of whole images"
    assert set(found) == {(layer, "output") for layer in ("c1", "c3", "c5", "f6", "output")}


def test_a_residual_network_has_a_choice_for_each_part(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    layers = plan_network(fcnn.create_model("resnet18"), (16, 64, 64, 3), cpu=AVX512)
    found = names(layers)
    assert found["conv1", "to kernel"] == "convolution in rows"
    assert found["layer4_0/conv1", "output"] == found["layer4_1/conv2", "output"] == "product of all patches"
    assert found["layer4_1/conv2", "to images"] == "product of all patches"
    assert found["layer1_0/conv1", "output"] == "direct"
    assert found["layer2_0/downsample_0", "to images"] == "product of pixels"
    assert found["maxpool", "output"] == "columns, then rows"
    kinds = {layer.kind for layer in layers}
    assert kinds == {"Conv", "BatchNorm", "MaxPool", "Dense"}
    assert sum(layer.kind == "Conv" for layer in layers) == 20


def test_dilated_layers_and_other_types_are_known():
    found = names(plan_network(fcnn.create_model("fcn_resnet_tiny"), (2, 64, 64, 3), cpu=AVX512))
    assert "phases" in found.values()
    bfloat16 = Cpu(has_avx512=True, has_bfloat16_units=True)
    model = fcnn.create_model("resnet20")
    found = names(plan_network(model, (32, 32, 32, 3), dtype=jnp.bfloat16, cpu=bfloat16))
    assert found["layer1_0/conv1", "output"] == "product of patches"


def test_each_candidate_is_measured():
    layers = plan_network(fcnn.create_model("resnet_cifar_tiny"), (2, 16, 16, 3), cpu=AVX512)
    times = measure_layer(next(layer for layer in layers if layer.name == "layer1_0/conv1"))
    assert {"direct", "product of patches", "winograd", "in training", "xla in training"} <= set(times)
    assert all(0 < value < 1e3 for value in times.values())
    assert measure_layer(next(layer for layer in layers if layer.kind == "BatchNorm")) == {}


@pytest.mark.parametrize("name", ["fcn8s_vgg16", "googlenet", "inception_v3", "mlp", "alexnet"])
def test_every_kind_of_network(name):
    model = fcnn.create_model(name)
    shape = getattr(model, "input_shape", (28, 28, 1))
    assert len(plan_network(model, (1, *shape), cpu=AVX512)) >= 2
