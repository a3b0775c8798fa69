"""The state dicts of torchvision into variables and back: one rule for all networks."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import flax.traverse_util
import jax
import numpy as np
from jaxtyping import PyTree

from fcnn.errors import InputError
from fcnn.models import VGG, AlexNet, GoogLeNet, create_model, layer_table

# Layers that torchvision counts through: "layer1_0/downsample_1" here is "layer1.0.downsample.1" there. Inception's
# "branch7x7_1" has that name there too.
_SEQUENCES = re.compile(r"\b(features|(?:aux_)?classifier|layer\d|downsample|branch\d)_(\d+)(?=/|$)")

_LEAVES = {
    "kernel": "weight",
    "fixed_kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_LEAF_ORDER = tuple(_LEAVES)
_COUNTER = "num_batches_tracked"

# The linear layers that see a feature map, and its height and width: they were trained on it in the order channel,
# height, width, and meet it in the order height, width, channel here.
_FLATTENED = {
    (AlexNet, "classifier_1"): lambda model: (6, 6),
    (VGG, "classifier_0"): lambda model: (model.grid, model.grid),
    (GoogLeNet, "aux1/fc1"): lambda model: (4, 4),
    (GoogLeNet, "aux2/fc1"): lambda model: (4, 4),
}


class _Entry(NamedTuple):
    """An array of a network: where it is here, and torchvision's key, layout and order for it."""

    key: str
    path: tuple[str, ...]
    shape: tuple[int, ...]
    map_size: tuple[int, int] | None


def convert_torchvision(name: str, state_dict: Mapping[str, np.ndarray], **options) -> dict[str, PyTree]:
    """Returns the variables of a network from torchvision's state dict for it.

    The keys are torchvision's, and for the networks of VGG that label pixels Caffe's (`conv1_1.weight`). The number of
    classes and of the images' channels follow the state dict. Without the keys of any auxiliary head it
    gives the variables of the network with `auxiliary_heads=False`, which in evaluation fit the one with heads too.
    The counters `num_batches_tracked`, which old files have not, are left out. Arrays are views where they can be.

    Args:
        name: one of `list_models()`.
        state_dict: {torchvision's key: array in PyTorch's layout}.
        **options: the network's attributes that change its arrays, such as `paper_kernels`.

    Returns:
        {"params": ..., "batch_stats": ...}, float32.

    Raises:
        InputError: if keys are missing, left over or of the wrong shape; all of them are told at once. Also if
            `num_classes` is given and another.
    """
    shapes = {key: np.shape(array) for key, array in state_dict.items() if not key.endswith(f".{_COUNTER}")}
    entries = _entries(_network(name, shapes, options), shapes)
    _check(name, entries, shapes)
    variables = {entry.path: _from_torch(state_dict[entry.key], entry.map_size) for entry in entries}
    return {"params": {}, "batch_stats": {}} | flax.traverse_util.unflatten_dict(variables)


def export_torchvision(name: str, variables: Mapping[str, PyTree], **options) -> dict[str, np.ndarray]:
    """Returns torchvision's state dict of a network: the inverse of `convert_torchvision`.

    Args:
        name: one of `list_models()`.
        variables: {"params": ..., "batch_stats": ...}.
        **options: the network's attributes that change its arrays, such as `paper_kernels`.

    Returns:
        {torchvision's key: array in PyTorch's layout}, in torchvision's order; counters `num_batches_tracked` are 0.

    Raises:
        InputError: if the variables do not fit the network; all that is wrong is told at once.
    """
    collections = {collection: variables.get(collection, {}) for collection in ("params", "batch_stats")}
    arrays = {_key(path): np.asarray(a) for path, a in flax.traverse_util.flatten_dict(collections).items()}
    shapes = {key: _torch_shape(array.shape) for key, array in arrays.items()}
    entries = _entries(_network(name, shapes, options), shapes)
    _check(name, entries, shapes)
    state_dict = {}
    for entry in entries:
        state_dict[entry.key] = _to_torch(arrays[entry.key], entry.map_size)
        if entry.path[-1] == "var":
            state_dict[entry.key.replace("running_var", _COUNTER)] = np.array(0)
    return state_dict


def _network(name, shapes, options):
    """Returns the network with as many classes as there are, and with auxiliary heads if there are any."""
    model = create_model(name, **options)
    head, *auxiliary = map(_torch_name, model.heads)
    found = {}
    if len(shapes.get(f"{head}.bias", ())) == 1:
        found["num_classes"] = shapes[f"{head}.bias"][0]
        if options.get("num_classes", found["num_classes"]) != found["num_classes"]:
            raise InputError(
                f"the weights are those of {name} with {found['num_classes']} classes, expected {model.num_classes}: "
                "leave num_classes out, and replace the head for other classes"
            )
    prefixes = tuple(f"{name.split('.')[0]}." for name in auxiliary)
    has_auxiliary_heads = getattr(model, "auxiliary_heads", False)
    if has_auxiliary_heads and "auxiliary_heads" not in options and not any(key.startswith(prefixes) for key in shapes):
        found["auxiliary_heads"] = False
    # Shapes are all that is asked of it, and tracing how kernels are drawn takes half of the time.
    return model.clone(**found, kernel_init=jax.nn.initializers.zeros)


def _entries(model, shapes):
    """Returns the arrays of a network in torchvision's order; the channels of the images are those of `shapes`."""
    entries = []
    for row in layer_table(model, (1, *model.input_shape)):
        for leaf in sorted(row.variables, key=_LEAF_ORDER.index):
            collection = "batch_stats" if leaf in ("mean", "var") else "params"
            path = (collection, *row.name.split("/"), leaf)
            size_of = _FLATTENED.get((type(model), row.name)) if leaf == "kernel" else None
            map_size = None if size_of is None else size_of(model)
            entries.append(_Entry(_key(path), path, _torch_shape(row.variables[leaf]), map_size))
    first = entries[0]
    found = shapes.get(first.key, ())
    if len(first.shape) == len(found) == 4:
        entries[0] = first._replace(shape=(first.shape[0], found[1], *first.shape[2:]))
    return entries


def _check(name, entries, shapes):
    """Raises one error for all that is missing, left over, or of the wrong shape."""
    expected = {entry.key: entry.shape for entry in entries}
    missing = [key for key in expected if key not in shapes]
    left_over = [key for key in shapes if key not in expected]
    wrong = [
        f"{key} {list(shapes[key])} instead of {list(shape)}"
        for key, shape in expected.items()
        if key in shapes and shapes[key] != shape
    ]
    if missing or left_over or wrong:
        findings = {"missing": missing, "not expected": left_over, "of the wrong shape": wrong}
        told = "; ".join(f"{len(keys)} {what}: {_shortened(keys)}" for what, keys in findings.items() if keys)
        raise InputError(
            f"the weights do not fit {name} ({told}): take those of {name}, or the network and options they are of"
        )


def _shortened(items):
    # A key is whatever a file holds: nothing that could fill or move about a terminal.
    shown = ", ".join(item[:120] if item.isprintable() else repr(item[:120]) for item in items[:4])
    return f"{shown} and {len(items) - 4} more" if len(items) > 4 else shown


def _torch_name(path):
    return _SEQUENCES.sub(r"\1.\2", path).replace("/", ".")


def _key(path):
    _, *layer, leaf = path
    return f"{_torch_name('/'.join(layer))}.{_LEAVES.get(leaf, leaf)}"


def _torch_shape(shape):
    """Returns a shape in PyTorch's layout: kernels are [out, in, height, width] or [out, in]."""
    if len(shape) < 2:
        return tuple(shape)
    *window, inputs, outputs = shape
    return (outputs, inputs, *window)


def _from_torch(array, map_size):
    array = np.asarray(array, np.float32)
    if map_size:
        array = array.reshape(len(array), -1, math.prod(map_size)).swapaxes(1, 2).reshape(len(array), -1)
    return array.transpose(*range(2, array.ndim), 1, 0) if array.ndim > 1 else array


def _to_torch(array, map_size):
    if array.ndim > 1:
        array = array.transpose(-1, -2, *range(array.ndim - 2))
    if map_size:
        array = array.reshape(len(array), math.prod(map_size), -1).swapaxes(1, 2).reshape(len(array), -1)
    return np.ascontiguousarray(array)
