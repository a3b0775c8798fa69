"""Activations and a training step as PyTorch computes them, with weights that are a function of their key and shape."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_weights import GOLDENS, relative_error, weight

from fcnn.models import capture, create_model, layer_table
from fcnn.pretrained.convert import convert_torchvision, export_torchvision

AS_A_USERS = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
if jax.__version_info__ < (0, 11):
    AS_A_USERS["xla_cpu_use_fusion_emitters"] = True


def norm_of_pytorch(array):
    """The L2 norm as PyTorch sums it on CPU: eight lanes of float32, which are off by 1e-4 for two million squares."""
    squares = np.square(array, dtype=np.float32).ravel()
    lanes = np.pad(squares, (0, -squares.size % 8)).reshape(-1, 8).cumsum(axis=0, dtype=np.float32)[-1]
    return np.sqrt(lanes.sum(dtype=np.float32))


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "inception_v3", "resnet18", "resnet50", "vgg11", "vgg16_bn"])
def test_activations_are_those_of_torchvision(name):
    keys = json.loads((GOLDENS / "torchvision" / f"{name}.keys.json").read_text())
    golden = np.load(GOLDENS / "torchvision" / f"{name}.npz")
    variables = convert_torchvision(name, {key: weight(key, shape) for key, shape in keys.items()})
    batch, size = int(golden["batch"]), int(golden["input_size"])
    images = np.random.default_rng(0).standard_normal((batch, size, size, 3)).astype(np.float32)
    model = create_model(name)
    stages = [key.removeprefix("stage/") for key in golden.files if key.startswith("stage/")]

    outputs = jax.jit(lambda variables, images: capture(model, variables, images, stages))(variables, images)

    assert relative_error(outputs[stages[-1]], golden["logits"]) <= 1e-5
    for stage in stages:
        output = np.asarray(outputs[stage], np.float64)
        mean, mean_absolute, deviation = golden[f"stage/{stage}"]
        found = np.array([output.mean(), np.abs(output).mean(), output.std()])
        # A mean may be near zero: its digits are counted against the values' size.
        assert np.abs(found - [mean, mean_absolute, deviation]).max() <= 1e-4 * mean_absolute, stage


def test_training_step_is_that_of_torchvision():
    golden = np.load(GOLDENS / "train" / "resnet18_train_step.npz")
    keys = json.loads((GOLDENS / "torchvision" / "resnet18.keys.json").read_text())
    keys |= {"fc.weight": [10, 512], "fc.bias": [10]}
    before = {key: weight(key, shape) for key, shape in keys.items()}
    variables = convert_torchvision("resnet18", before)
    batch, size = int(golden["batch"]), int(golden["size"])
    rng = np.random.default_rng(int(golden["seed"]))
    images = rng.standard_normal((batch, size, size, 3)).astype(np.float32)
    labels = rng.integers(0, 10, batch)
    model = create_model("resnet18", num_classes=10)

    def loss_of(params, batch_stats, images):
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats}, images, train=True, mutable=["batch_stats"]
        )
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels)).mean()
        return loss, (logits, updates["batch_stats"])

    # Some activations are so near zero that their last bit decides whether a gradient passes: compiled as for a user.
    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True), compiler_options=AS_A_USERS)
    (loss, (logits, batch_stats)), gradients = step(variables["params"], variables["batch_stats"], images)

    np.testing.assert_array_equal(labels, golden["labels"])
    np.testing.assert_allclose(loss, golden["loss"], rtol=1e-5)
    assert relative_error(logits, golden["logits"]) <= 1e-5
    after = export_torchvision("resnet18", {"params": gradients, "batch_stats": batch_stats})
    examples = {row.name: np.prod(row.output_shape[:-1]) for row in layer_table(model, images.shape)}
    compared = {"gradnorm": 0, "stats": 0}
    for name in golden.files:
        kind, _, key = name.partition("/")
        if kind == "gradnorm":
            np.testing.assert_allclose(norm_of_pytorch(after[key]), golden[name], rtol=1e-5, err_msg=key)
        elif kind == "stats":
            found = after[key]
            if key.endswith("running_var"):
                # PyTorch adds n / (n - 1) times the variance of the batch, Flax the variance itself.
                layer = re.sub(r"\.(?=\d)", "_", key.removesuffix(".running_var")).replace(".", "/")
                n = examples[layer]
                found = 0.9 * before[key] + (found - 0.9 * before[key]) * n / (n - 1)
            size = golden[name].size
            np.testing.assert_allclose(found[:size], golden[name], rtol=1e-5, atol=1e-6, err_msg=key)
        else:
            continue
        compared[kind] += 1
    assert compared == {"gradnorm": 62, "stats": 20}
