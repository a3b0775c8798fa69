"""What a report shows of a trained network itself: its size, its first kernels, the way of one image through it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree

from fcnn.models import capture, layer_table
from fcnn.training.pixels import Prepare, to_unit_range


class Anatomy(NamedTuple):
    """A network as a report shows it.

    Attributes:
        facts: what to know about it.
        kernels: the first layer's; None where they are no images.
        feature_maps: the layers' outputs for one image, by name, from first to last.
        example: that image, its pixels from 0 to 255.
    """

    facts: Mapping[str, str] = MappingProxyType({})
    kernels: Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None = None
    feature_maps: Mapping[str, np.ndarray] = MappingProxyType({})
    example: np.ndarray | None = None


def anatomy(model: Any, variables: Mapping[str, PyTree], prepare: Prepare | None, image: np.ndarray) -> Anatomy:
    """Returns what a report shows of a network.

    Args:
        model: the network.
        variables: its variables.
        prepare: as in the steps.
        image: the image that is followed through the layers [height, width, channel], uint8 or float in 0..1.
    """
    network_input = _network_input(prepare)
    pixels = np.asarray(image)[None]
    input_shape = jax.eval_shape(network_input, pixels).shape
    layers = layer_table(model, input_shape)
    names = _shown_layers(model, variables, layers, input_shape)

    # It runs once, on one image: compiled with less effort, it is there sooner.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def features_of(variables, pixels):
        return capture(model, variables, network_input(pixels), names)

    features = jax.device_get(features_of(variables, pixels))
    weights = sum(layer.parameters for layer in layers)
    operations = sum(layer.multiply_adds for layer in layers)
    # A compiled function returns its dictionary sorted by name, the layers are drawn as they follow each other.
    maps = {name.split("/")[-1]: features[name] for name in names}
    return Anatomy(
        {"Network": f"{type(model).__name__}, {weights:,} parameters, {operations:,} multiply-adds an image"},
        _first_kernels(layers, variables["params"], input_shape[1:]),
        {name: np.asarray(values, np.float32)[0] for name, values in maps.items()},
        as_bytes(pixels)[0],
    )


def _shown_layers(
    model: Any, variables: Mapping[str, PyTree], layers: Sequence, input_shape: Sequence[int]
) -> list[str]:
    """Returns the paths of the network's parts that give an array, from first to last.

    A trunk gives the outputs of its stages: its own parts stand in its place.
    """
    images = jax.ShapeDtypeStruct(tuple(input_shape), np.float32)
    outputs = jax.eval_shape(partial(capture, model), variables, images)
    names = {}
    for layer in layers:
        top, *inner = layer.name.split("/")
        if layer.kind == "Dropout" or top not in outputs:  # such as an auxiliary head, which is left out in evaluation
            continue
        names[top if not inner or isinstance(outputs[top], jax.ShapeDtypeStruct) else f"{top}/{inner[0]}"] = None
    return list(names)


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Returns pixels from 0 to 255."""
    images = np.asarray(images)
    return images if images.dtype == np.uint8 else (255 * np.clip(images, 0, 1)).round().astype(np.uint8)


def _network_input(prepare: Prepare | None) -> Callable:
    def network_input(pixels):
        images = to_unit_range(pixels)
        return images if prepare is None else prepare(images)

    return network_input


def _first_kernels(layers: Sequence, params: PyTree, image_shape: Sequence[int]) -> np.ndarray | None:
    """Returns the first layer's kernels, those of a fully connected one in the shape of the image; None of another."""
    first = next((layer for layer in layers if "kernel" in layer.variables), None)
    if first is None:
        return None
    for name in first.name.split("/"):
        params = params[name]
    kernel = np.asarray(params["kernel"])
    if kernel.ndim == 2 and len(kernel) == math.prod(image_shape):
        return kernel.reshape(*image_shape, -1)
    return kernel if kernel.ndim == 4 and kernel.shape[2] == image_shape[-1] else None
