"""What a network computes on the way: the outputs of its layers by name."""

import re
from collections.abc import Mapping, Sequence

import flax.linen as nn
from jaxtyping import Array, Float, PyTree

from fcnn.errors import unknown_name


def capture(
    model: nn.Module,
    variables: Mapping,
    images: Float[Array, "batch height width channel"],
    names: str | Sequence[str] = (),
) -> dict[str, PyTree]:
    """Returns the outputs of named layers in evaluation mode, in the order in which they are computed.

    Args:
        model: any network of the library.
        variables: its variables, `{"params": ..., "batch_stats": ...}`.
        images: float [batch, height, width, channel].
        names: paths of layers such as "c3" or "layer2_0/conv1", or of sequences of layers such as "layer2" or
            "features", which stand for the last of their layers ("layer2_1", "features_12"); all direct children of
            the network if empty.

    Returns:
        {name: output}; a layer that is called more than once gives its last output.

    Raises:
        InputError: if the network has no layer of that name.
    """
    names = (names,) if isinstance(names, str) else names
    outputs = {}

    def record(next_function, args, kwargs, context):
        result = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            outputs["/".join(context.module.path)] = result
        return result

    with nn.intercept_methods(record):
        model.apply(variables, images, train=False, mutable=["intermediates"])
    if not names:
        return {path: output for path, output in outputs.items() if "/" not in path}
    order = list(outputs)
    layers = {name: _layer_of(name, order) for name in names}
    return {name: outputs[layers[name]] for name in sorted(names, key=lambda name: order.index(layers[name]))}


def _layer_of(name, paths):
    """Returns the path that a name stands for: itself, or the last layer of the sequence of that name."""
    if name in paths:
        return name
    sequence = [path for path in paths if re.fullmatch(rf"{re.escape(name)}_\d+", path)]
    if not sequence:
        raise unknown_name("layer", name, paths)
    return sequence[-1]
