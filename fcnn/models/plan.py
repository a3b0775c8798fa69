"""What computes each layer of a network on a CPU."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fcnn.models import layers
from fcnn.models.summary import check_input_shape
from fcnn.ops.cpu import plan as plans
from fcnn.ops.cpu.choice import AS_DIFFERENTIATED, Choice, Convolution
from fcnn.ops.machine import Cpu
from fcnn.ops.sizes import explicit_padding


class LayerPlan(NamedTuple):
    """How one layer is computed.

    Attributes:
        name: its path in the network.
        kind: the name of its class.
        input_shape: of what it is given.
        parts: the choices by what they compute: "output", and for a convolution the gradients "to images" and
            "to kernel".
        convolution: what a convolution is of, else None.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    parts: dict[str, Choice]
    convolution: Convolution | None


def plan_network(
    model: nn.Module, input_shape: Sequence[int], *, cpu: Cpu, dtype: DTypeLike = jnp.float32
) -> list[LayerPlan]:
    """Returns what computes each layer of a network on a CPU, in training.

    On GPUs and TPUs every layer is XLA's own. Nothing is computed: shapes are evaluated only.

    Args:
        model: any network of the library.
        input_shape: [batch, height, width, channel].
        cpu: what the CPU can do; `fcnn.ops.machine.this_cpu()` says what this one can.
        dtype: of the computation, as the model has it.

    Raises:
        InputError: if the shape has other dimensions, or the network cannot take such images.
    """
    check_input_shape(input_shape)
    found: list[LayerPlan] = []

    def record(next_function, args, kwargs, context):
        if context.method_name == "__call__":
            parts, convolution = _parts(context.module, args[0], dtype, cpu) if args else ({}, None)
            if parts:
                path = "/".join(context.module.path)
                found.append(LayerPlan(path, type(context.module).__name__, tuple(args[0].shape), parts, convolution))
        return next_function(*args, **kwargs)

    def train(images):
        keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
        variables = model.init(keys, images, train=False)
        with nn.intercept_methods(record):
            return model.apply(
                variables, images, train=True, rngs={"dropout": keys["dropout"]}, mutable=["batch_stats"]
            )

    jax.eval_shape(train, jax.ShapeDtypeStruct(tuple(input_shape), jnp.float32))
    return found


def _parts(module: Any, x: Any, dtype: DTypeLike, cpu: Cpu) -> tuple[dict[str, Choice], Convolution | None]:
    """Returns the choices for a layer, and the convolution that it is; no choices where there is none to make."""
    if isinstance(module, layers.Conv | layers.PooledConv) and x.ndim == 4:
        layer: Any = module
        kernel, strides = tuple(layer.kernel_size), _pair(getattr(module, "strides", 1))
        dilation = _pair(getattr(module, "kernel_dilation", 1))
        seen = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        padding = module.padding
        if not isinstance(padding, str):
            padding = [_pair(pads) for pads in _pair(padding)]
        pads = explicit_padding(x.shape[1:3], seen, strides, padding)
        kernel_shape = (*kernel, x.shape[-1], module.features)
        convolution = Convolution(tuple(x.shape), kernel_shape, strides, pads, jnp.dtype(dtype))
        if isinstance(module, layers.PooledConv):
            pooled = plans.plan_convolution_with_pool(convolution, module.window)
            if pooled.name != "one after the other":
                return {"output": pooled}, None
        if dilation != (1, 1):
            return {"output": plans.plan_dilated(convolution, dilation)}, None
        output, *gradients = plans.plan_convolution(convolution, cpu)
        if set(gradients) == {AS_DIFFERENTIATED}:
            return {"output": output}, convolution
        return {"output": output, "to images": gradients[0], "to kernel": gradients[1]}, convolution
    if isinstance(module, layers.MaxPool):
        window = module.window
        pads = explicit_padding(x.shape[1:3], window, module.strides or window, module.padding)
        return {"output": plans.plan_max_pool(x.shape, window, module.strides or window, pads)}, None
    if isinstance(module, layers.BatchNorm):
        return {"output": plans.plan_batch_norm(x.shape, dtype)}, None
    if isinstance(module, layers.Dense):
        return {"output": plans.plan_dense(x.shape, jnp.dtype(dtype), jnp.dtype(jnp.float32), cpu)}, None
    return {}, None


def _pair(value: Any) -> tuple[Any, Any]:
    """Returns two values for height and width, of which Flax takes one for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
