"""How long each formulation that a layer could have takes on this machine."""

import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp

from fcnn.machine import has_onednn, jit
from fcnn.models.plan import LayerPlan
from fcnn.ops.cpu import plan as plans
from fcnn.ops.cpu.choice import XLA, Choice
from fcnn.ops.cpu.convolution import compute_output, convolve
from fcnn.ops.machine import this_cpu

# Timings of one layer vary by a tenth; a round is long enough for the clock.
_ROUNDS, _ROUND_SECONDS = 5, 0.05


def measure_layer(layer: LayerPlan) -> dict[str, float]:
    """Returns the milliseconds that a convolution takes here: its output in each formulation that it could have.

    "in training" is the output and both gradients as planned, "xla in training" the same as XLA differentiates it.

    Args:
        layer: of `plan_network`.

    Returns:
        The median of some rounds for each formulation by its name, in milliseconds; nothing for other layers.
    """
    if layer.convolution is None:
        return {}
    x_shape, kernel_shape, strides, pads, dtype = layer.convolution
    x, kernel = jnp.ones(x_shape, dtype), jnp.ones(kernel_shape, dtype)

    def training(convolution, x, kernel):
        out, back = jax.vjp(convolution, x, kernel)
        return out, back(out)

    options = {"strides": strides, "pads": pads, "precision": None}
    functions = {
        choice.name: partial(compute_output, choice, **options) for choice in plans.candidates(layer.convolution)
    }
    functions["in training"] = partial(training, partial(convolve, cpu=this_cpu(has_onednn=has_onednn()), **options))
    functions["xla in training"] = partial(training, partial(compute_output, Choice(XLA, "for comparison"), **options))
    return _milliseconds({name: jit(function) for name, function in functions.items()}, x, kernel)


def _milliseconds(functions, *arrays):
    """Returns the median time of each of some functions, which take turns."""
    calls = {}
    for name, function in functions.items():
        jax.block_until_ready(function(*arrays))
        start = time.perf_counter()
        jax.block_until_ready(function(*arrays))
        calls[name] = max(1, int(_ROUND_SECONDS / (time.perf_counter() - start)))
    times = {name: [] for name in functions}
    for _ in range(_ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready([function(*arrays) for _ in range(calls[name])])
            times[name].append(1e3 * (time.perf_counter() - start) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}
