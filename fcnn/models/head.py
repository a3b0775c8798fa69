"""The head of a network, its last layer: what it is given, and a new one for other classes."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from fcnn.errors import InputError


def replace_head(
    model: nn.Module, variables: Mapping[str, PyTree], key: Key[Array, ""], input_shape: Sequence[int] | None = None
) -> dict[str, PyTree]:
    """Returns variables for a network with other classes: a new head, all else as it was.

    Args:
        model: the network with the new number of classes; its `heads` name the layers that are made anew.
        variables: those of the same network, with any number of classes, such as from `load_pretrained`.
        key: what the new head is drawn with.
        input_shape: [batch, height, width, channel]; by default one image of the size that the network is made for.

    Returns:
        {"params": ..., "batch_stats": ...}.

    Raises:
        InputError: if the variables are not those of such a network; all that differs is told.
    """

    def initialise(key):
        images = jnp.zeros(tuple(input_shape or (1, *model.input_shape)), jnp.float32)
        new = model.init({"params": key, "dropout": key}, images, train=False)
        return flax.traverse_util.flatten_dict({"params": {}, "batch_stats": {}} | new, sep="/")

    old = {collection: variables.get(collection, {}) for collection in ("params", "batch_stats")}
    old = flax.traverse_util.flatten_dict(old, sep="/")
    in_head = tuple(f"params/{head}/" for head in model.heads)
    expected = jax.eval_shape(initialise, key)
    body = {path: array.shape for path, array in expected.items() if not path.startswith(in_head)}
    found = {path: array.shape for path, array in old.items() if not path.startswith(in_head)}
    differing = sorted(path for path in body.keys() | found.keys() if body.get(path) != found.get(path))
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise InputError(
            f"the variables are not those of this {type(model).__name__}: {', '.join(differing[:4])}{more} differ; "
            f"take the network and options that they are of"
        )
    # Compiled, only what is returned is computed.
    new = jax.jit(lambda key: {path: array for path, array in initialise(key).items() if path.startswith(in_head)})(key)
    merged = {path: old[path] for path in body} | new
    return {"params": {}, "batch_stats": {}} | flax.traverse_util.unflatten_dict(merged, sep="/")


def head_inputs(
    model: nn.Module, variables: Mapping[str, PyTree], images: Float[Array, "batch height width channel"]
) -> Float[Array, "batch feature"]:
    """Returns what a network's head is given in evaluation mode: the features of images.

    Args:
        model: the network.
        variables: its variables.
        images: the network's input.
    """
    inputs = []

    def record(next_function, args, kwargs, context):
        if context.method_name == "__call__" and "/".join(context.module.path) == model.heads[0]:
            inputs.append(args[0])
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record):
        model.apply(variables, images, train=False)
    return inputs[0].astype(jnp.float32)
