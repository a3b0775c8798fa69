"""The head of a network, its last layer, and the body before it: a new head for other classes, and each by itself."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from fcnn.errors import InputError
from fcnn.models.layers import Dense
from fcnn.models.paths import by_path, from_paths


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
    initialise = partial(initial_arrays, model, input_shape=input_shape)
    old = by_path(variables)
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
    return from_paths(merged)


def initial_arrays(model: nn.Module, key: Key[Array, ""], input_shape: Sequence[int] | None = None) -> dict[str, Array]:
    """Returns a network's new variables by path, such as "params/fc/kernel".

    Args:
        model: the network.
        key: what they are drawn with.
        input_shape: [batch, height, width, channel]; by default one image of the size that the network is made for.
    """
    images = jnp.zeros(tuple(input_shape or (1, *model.input_shape)), jnp.float32)
    return by_path(model.init({"params": key, "dropout": key}, images, train=False))


def body_layers(model: nn.Module, params: Mapping[str, PyTree]) -> tuple[str, ...]:
    """Returns the names of the layers around which a new head is trained: all but the heads and what holds them.

    Args:
        model: the network.
        params: its parameters.
    """
    heads = {head.split("/")[0] for head in model.heads}
    return tuple(name for name in params if name not in heads)


class Body(NamedTuple):
    """A network without its head, as a module to apply: it gives the features of images, what the head is given.

    Attributes:
        model: the network.
    """

    model: nn.Module

    def apply(
        self, variables: Mapping[str, PyTree], images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch 1 1 feature"]:
        """Returns the features, as images of one pixel, with the variables of the whole network."""
        inputs = []

        def record(next_function, args, kwargs, context):
            if context.method_name == "__call__" and "/".join(context.module.path) == self.model.heads[0]:
                inputs.append(args[0])
            return next_function(*args, **kwargs)

        with nn.intercept_methods(record):
            self.model.apply(variables, images, train=train)
        return inputs[0].astype(jnp.float32)[:, None, None]


class Head(NamedTuple):
    """The head of a network alone, as a module to apply: trained on features, which need be computed only once.

    Attributes:
        model: the network.
    """

    model: nn.Module

    def apply(
        self,
        variables: Mapping[str, PyTree],
        features: Float[Array, "batch 1 1 feature"],
        *,
        train: bool,
        **options: Any,
    ) -> PyTree:
        """Returns the logits of features, with the variables of the whole network; options as for a module."""
        head = variables["params"]
        for name in self.model.heads[0].split("/"):
            head = head[name]
        return Dense(self.model.num_classes).apply({"params": head}, features[:, 0, 0], **options)
