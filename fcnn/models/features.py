"""What a network computes on the way: the outputs of its layers by name."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
from jaxtyping import Array, Float, PyTree

from fcnn.errors import unknown_name


def capture(
    model: nn.Module, variables: Mapping, images: Float[Array, "batch height width channel"], names: Sequence[str] = ()
) -> dict[str, PyTree]:
    """Returns the outputs of named layers in evaluation mode, in the order in which they are computed.

    Args:
        model: any network of the library.
        variables: its variables, `{"params": ..., "batch_stats": ...}`.
        images: float [batch, height, width, channel].
        names: paths of layers such as "c3" or "layer2_0/conv1"; all direct children of the network if empty.

    Returns:
        {name: output}; a layer that is called more than once gives its last output.

    Raises:
        InputError: if the network has no layer of that name.
    """
    outputs = {}

    def record(next_function, args, kwargs, context):
        result = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            outputs["/".join(context.module.path)] = result
        return result

    with nn.intercept_methods(record):
        model.apply(variables, images, train=False)
    for name in names:
        if name not in outputs:
            raise unknown_name("layer", name, outputs)
    wanted = names or [name for name in outputs if "/" not in name]
    return {name: output for name, output in outputs.items() if name in wanted}
