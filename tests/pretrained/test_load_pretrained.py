"""From a weight file to the variables of a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from fcnn.errors import InputError
from fcnn.models import create_model
from fcnn.pretrained import EvaluationTransform, export_torchvision, load_pretrained
from fcnn.use import classify

NAME = "resnet_tiny"


@pytest.fixture(scope="module")
def network():
    """Returns the variables of a small network with 7 classes, and its state dict."""
    model = create_model(NAME, num_classes=7)
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.uniform(0.5, 1.5, leaf.shape).astype(np.float32) / 8, shapes)
    return variables, export_torchvision(NAME, variables)


def _equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, dict(one), dict(other))


def test_safetensors_come_back(network, tmp_path):
    variables, state_dict = network
    safetensors.numpy.save_file(state_dict, tmp_path / "a.safetensors")
    loaded = load_pretrained(NAME, tmp_path / "a.safetensors")
    _equal(loaded, variables)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(loaded))


@pytest.mark.parametrize("write", ["zip_file", "stream_file"])
def test_pth_files_come_back(network, torch_writer, tmp_path, write):
    variables, state_dict = network
    types = {"float32": "FloatStorage", "int64": "LongStorage"}
    view = (None,) if write == "stream_file" else ()
    tensors, storages = {}, {}
    for key, array in state_dict.items():
        if array.dtype == np.int64 and write == "stream_file":
            continue  # the writer knows one size of elements, and old files have no counters
        strides = tuple(stride // array.itemsize for stride in array.strides)
        tensors[key] = torch_writer.tensor(types[array.dtype.name], key, array.size, array.shape, strides, view=view)
        storages[key] = array.tobytes()
    path = tmp_path / "a.pth"
    path.write_bytes(getattr(torch_writer, write)(tensors, storages))
    _equal(load_pretrained(NAME, path), variables)


def test_weights_of_another_network_and_unknown_names(network, tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(network[1], path)
    with pytest.raises(InputError, match=f"{path}: the weights do not fit vgg_tiny"):
        load_pretrained("vgg_tiny", path)
    with pytest.raises(InputError, match="unknown network 'resnet19': did you mean"):
        load_pretrained("resnet19", path)
    with pytest.raises(InputError, match="no weights are published for 'resnet_tiny'"):
        load_pretrained(NAME)


def test_without_a_path_the_cached_file_is_taken(tmp_path):
    with pytest.raises(InputError, match=f"put it at {tmp_path / 'resnet50-0676ba61.pth'}"):
        load_pretrained("resnet50", version="V1", cache_folder=tmp_path, base_address="http://127.0.0.1:9/")
    (tmp_path / "resnet50-11ad3fa6.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"resnet50-11ad3fa6.pth: its SHA-256 begins with .*, expected 11ad3fa6"):
        load_pretrained("resnet50", cache_folder=tmp_path)


def test_classify_equals_the_network(network):
    variables, _ = network
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    transform = EvaluationTransform(36, 32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    model = create_model(NAME, num_classes=7)
    images = jnp.asarray(transform(image))[np.newaxis]
    logits = np.asarray(jax.jit(partial(model.apply, train=False))(variables, images)[0], np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    (classification,) = classify(NAME, variables, [image], transform)
    order = np.argsort(-expected)[:5]
    assert classification.class_names == tuple(f"class {i}" for i in order)
    np.testing.assert_allclose(classification.probabilities, expected[order], rtol=1e-4)
    with pytest.raises(InputError, match="expected 7 class names, as many as the weights have, found 2"):
        next(classify(NAME, variables, [image], transform, ("a", "b")))
