"""The table of a network: its layers, their output shapes, parameters and multiply-adds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fcnn.errors import InputError


class LayerRow(NamedTuple):
    """One layer of the table.

    Attributes:
        name: its path in the network.
        kind: the name of its class.
        output_shape: the shape of its output in training.
        parameters: how many numbers it learns.
        multiply_adds: those of one pass over the whole batch in evaluation, where a layer that only training needs, as
            in an auxiliary head, has none.
        variables: the shapes of its own arrays by name, such as "kernel" or "mean".
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    variables: Mapping[str, tuple[int, ...]]


def layer_table(model: nn.Module, input_shape: Sequence[int]) -> list[LayerRow]:
    """Returns the layers of a network in the order in which they are computed.

    Nothing is computed or allocated: shapes are evaluated only. The layers are the leaves of the module tree; what a
    module holds itself beside its children is a row of its own.

    Args:
        model: any network of the library.
        input_shape: [batch, height, width, channel].

    Raises:
        InputError: if the shape has other dimensions, or the network cannot take such images.
    """
    check_input_shape(input_shape)
    rows: list[LayerRow] = []

    def record_row(next_function, args, kwargs, context):
        before = len(rows)
        result = next_function(*args, **kwargs)
        module = context.module
        parameters = _shapes(module, "params")
        if context.method_name == "__call__" and module.path and (parameters or len(rows) == before):
            output = jax.tree.leaves(result)[0]
            rows.append(
                LayerRow(
                    "/".join(module.path),
                    type(module).__name__,
                    tuple(output.shape),
                    sum(map(math.prod, parameters.values())),
                    _multiply_adds(module, output.shape),
                    parameters | _shapes(module, "batch_stats"),
                )
            )
        return result

    def initialise(images):
        with nn.intercept_methods(record_row):
            keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
            return model.init(keys, images, train=False, mutable=True)

    images = jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32)
    variables = jax.eval_shape(initialise, images)
    if not getattr(model, "auxiliary_heads", False):
        return rows
    evaluated = _evaluated_layers(model, variables, images)
    return [row if row.name in evaluated else row._replace(multiply_adds=0) for row in rows]


def check_input_shape(input_shape: Sequence[int]) -> None:
    """Refuses what is no shape of images.

    Args:
        input_shape: [batch, height, width, channel].

    Raises:
        InputError: if it has other dimensions.
    """
    if len(input_shape) != 4 or min(input_shape) < 1:
        raise InputError(
            f"the input's shape is (batch, height, width, channel), each at least 1, got {tuple(input_shape)}"
        )


def _evaluated_layers(model, variables, images):
    """Returns the paths of the layers that evaluation computes."""
    paths = set()

    def record_path(next_function, args, kwargs, context):
        paths.add("/".join(context.module.path))
        return next_function(*args, **kwargs)

    with nn.intercept_methods(record_path):
        jax.eval_shape(lambda variables, images: model.apply(variables, images, train=False), variables, images)
    return paths


def _shapes(module, collection):
    """Returns the shapes of the arrays that a module holds itself, beside its children's."""
    return {
        name: tuple(array.shape)
        for name, array in module.variables.get(collection, {}).items()
        if hasattr(array, "shape")
    }


def _multiply_adds(module, output_shape):
    if not isinstance(module, nn.Conv | nn.Dense):
        return 0
    *receptive_field, out_channels = module.variables["params"]["kernel"].shape
    return math.prod(receptive_field) * out_channels * math.prod(output_shape[:-1])


def summary(model: nn.Module, input_shape: Sequence[int]) -> None:
    """Prints the table of a network: layer, output shape, parameters, multiply-adds.

    Args:
        model: any network of the library.
        input_shape: [batch, height, width, channel].
    """
    rows = layer_table(model, input_shape)
    total = LayerRow("total", "", (), sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows), {})
    cells = [("layer", "kind", "output", "parameters", "multiply-adds")]
    for row in [*rows, total]:
        shape = " x ".join(map(str, row.output_shape))
        cells.append((row.name, row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    for i, (name, kind, shape, parameters, multiply_adds) in enumerate(cells):
        left = f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}"
        if i in (1, len(cells) - 1):
            print(rule)
        print(f"{left}  {parameters:>{widths[3]}}  {multiply_adds:>{widths[4]}}")
