"""What each network is."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from types import MappingProxyType

import flax.linen as nn

from fcnn.errors import unknown_name
from fcnn.models.features import capture
from fcnn.models.layers import AvgPool, Conv, MaxPool, batch_norm, he_normal
from fcnn.models.lenet import LeNet
from fcnn.models.mlp import MLP
from fcnn.models.summary import LayerRow, layer_table, summary

__all__ = [
    "MLP",
    "AvgPool",
    "Conv",
    "LayerRow",
    "LeNet",
    "MaxPool",
    "batch_norm",
    "capture",
    "create_model",
    "he_normal",
    "layer_table",
    "list_models",
    "summary",
]

NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "lenet": LeNet,
        "mlp": MLP,
    }
)


def list_models() -> tuple[str, ...]:
    """Returns the names that `create_model` knows, sorted."""
    return tuple(sorted(NETWORKS))


def create_model(name: str, **options) -> nn.Module:
    """Returns the network of that name.

    Args:
        name: one of `list_models()`.
        **options: the network's attributes, such as `num_classes` or `dtype`; the others keep their defaults.

    Raises:
        InputError: if there is no such network, or the network has no such option; the nearest names are given.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    network = NETWORKS[name]
    module_class = network.func if isinstance(network, partial) else network
    known = {field.name for field in fields(module_class)} - {"parent", "name"}
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
    return network(**options)
