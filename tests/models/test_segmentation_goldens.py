"""Logits of the networks that label pixels, as PyTorch computes them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_weights import GOLDENS, relative_error, weight

from fcnn.models import FrozenNorms, create_model
from fcnn.models.segment.fcn_vgg import bilinear_kernel
from fcnn.pretrained.convert import convert_torchvision, export_torchvision


def state_dict_of(name):
    keys = json.loads((GOLDENS / "segmentation" / f"{name}.keys.json").read_text())
    return {key: upsampling(shape) if key.startswith("upscore") else weight(key, shape) for key, shape in keys.items()}


def upsampling(shape):
    """A bilinear kernel in PyTorch's layout [in, out, height, width]."""
    return np.asarray(bilinear_kernel(None, (*shape[2:], *shape[:2]))).transpose(2, 3, 0, 1)


@pytest.mark.parametrize(("name", "step"), [("fcn_resnet50", 7), ("fcn8s_vgg16", 5)])
def test_logits_are_those_of_pytorch(name, step):
    golden = np.load(GOLDENS / "segmentation" / f"{name}.npz")
    state_dict = state_dict_of(name)
    variables = convert_torchvision(name, state_dict)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == golden["n_params"]
    exported = export_torchvision(name, variables)
    assert list(exported) == list(state_dict)
    assert all(np.array_equal(array, state_dict[key]) for key, array in exported.items())

    batch, height, width = (int(golden[key]) for key in ("batch", "height", "width"))
    images = np.random.default_rng(0).standard_normal((batch, height, width, 3)).astype(np.float32)
    model = create_model(name)
    logits_of = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    logits = np.asarray(logits_of(variables, images))
    assert (logits.shape, logits.dtype) == ((batch, height, width, 21), np.float32)
    assert relative_error(logits[:, ::step, ::step], golden["out_sample"]) <= 1e-5
    assert (logits.argmax(-1) != golden["out_argmax"]).mean() <= 1e-4
    if name == "fcn_resnet50":
        # JAX 0.10.2 computed a second shape wrongly.
        part = jnp.asarray(images[:1, :33, :47])
        other = logits_of(variables, part)
        expected = jax.jit(lambda *args: model.apply(*args, train=False))(variables, part)
        assert relative_error(other, expected) <= 1e-5


def test_auxiliary_logits_are_those_of_pytorch():
    golden = np.load(GOLDENS / "segmentation" / "fcn_resnet50.npz")
    variables = convert_torchvision("fcn_resnet50", state_dict_of("fcn_resnet50"))
    batch, height, width = (int(golden[key]) for key in ("batch", "height", "width"))
    images = np.random.default_rng(0).standard_normal((batch, height, width, 3)).astype(np.float32)
    # In training there are auxiliary logits; for the rest it is as in evaluation.
    model = FrozenNorms(create_model("fcn_resnet50", dropout_rate=0.0), (".*",))
    outputs, _ = jax.jit(lambda *args: model.apply(*args, train=True, mutable=["batch_stats"]))(variables, images)
    assert relative_error(outputs.logits[:, ::7, ::7], golden["out_sample"]) <= 1e-5
    assert outputs.weights == (0.5,)
    (found,) = map(np.asarray, outputs.auxiliary)
    assert relative_error(found[:, ::7, ::7], golden["aux_sample"]) <= 1e-5
    assert (found.argmax(-1) != golden["aux_argmax"]).mean() <= 1e-4
