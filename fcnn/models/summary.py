"""The table of a network: its layers, their output shapes, parameters and multiply-adds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class LayerRow(NamedTuple):
    """One layer of the table; `multiply_adds` are those of one forward pass over the whole batch."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layer_table(model: nn.Module, input_shape: Sequence[int]) -> list[LayerRow]:
    """Returns the layers of a network in the order in which they are computed.

    Nothing is computed or allocated: shapes are evaluated only. The layers are the leaves of the module tree; what a
    module holds itself beside its children is a row of its own.

    Args:
        model: any network of the library.
        input_shape: [batch, height, width, channel].
    """
    rows: list[LayerRow] = []

    def record(next_function, args, kwargs, context):
        before = len(rows)
        result = next_function(*args, **kwargs)
        module = context.module
        own = [p for p in module.variables.get("params", {}).values() if hasattr(p, "shape")]
        if context.method_name == "__call__" and module.path and (own or len(rows) == before):
            output = jax.tree.leaves(result)[0]
            rows.append(
                LayerRow(
                    "/".join(module.path),
                    type(module).__name__,
                    tuple(output.shape),
                    sum(math.prod(p.shape) for p in own),
                    _multiply_adds(module, output.shape),
                )
            )
        return result

    def initialise(images):
        with nn.intercept_methods(record):
            return model.init({"params": jax.random.key(0), "dropout": jax.random.key(0)}, images, train=True)

    jax.eval_shape(initialise, jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32))
    return rows


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
    total = LayerRow("total", "", (), sum(r.parameters for r in rows), sum(r.multiply_adds for r in rows))
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
