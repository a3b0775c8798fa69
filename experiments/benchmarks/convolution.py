"""Milliseconds of convolution, pooling and batch normalisation: `fcnn.ops` beside XLA's own, shape by shape.

python experiments/benchmarks/convolution.py                       # every shape
python experiments/benchmarks/convolution.py --only resnet18       # those with that in their name
python experiments/benchmarks/convolution.py --in-scan             # inside lax.scan, where XLA's are slow
python experiments/benchmarks/convolution.py --bfloat16            # both in bfloat16

XLA's are compiled by `jax.jit` and by `fcnn.jit`; all take turns. README.md beside this file says what was
tried and what it gave.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import tyro
from jax import lax
from jaxtyping import Array

from fcnn import jit, keep_freed_memory, ops

# name: batch, height and width, channels in, channels out, kernel, stride, padding
CONVOLUTIONS = {
    "lenet c1": (128, 32, 1, 6, 5, 1, 0),
    "lenet c3": (128, 14, 6, 16, 5, 1, 0),
    "lenet c5": (128, 5, 16, 120, 5, 1, 0),
    "resnet20 conv1": (128, 32, 3, 16, 3, 1, 1),
    "resnet20 layer1": (128, 32, 16, 16, 3, 1, 1),
    "resnet20 layer2, first": (128, 32, 16, 32, 3, 2, 1),
    "resnet20 layer2": (128, 16, 32, 32, 3, 1, 1),
    "resnet20 layer3": (128, 8, 64, 64, 3, 1, 1),
    "resnet18 conv1": (16, 224, 3, 64, 7, 2, 3),
    "resnet18 layer1": (16, 56, 64, 64, 3, 1, 1),
    "resnet18 layer2, first": (16, 56, 64, 128, 3, 2, 1),
    "resnet18 layer2, shortcut": (16, 56, 64, 128, 1, 2, 0),
    "resnet18 layer2": (16, 28, 128, 128, 3, 1, 1),
    "resnet18 layer3": (16, 14, 256, 256, 3, 1, 1),
    "resnet18 layer4": (16, 7, 512, 512, 3, 1, 1),
    "vgg11 first": (16, 64, 3, 64, 3, 1, 1),
    "vgg11 second": (16, 32, 64, 128, 3, 1, 1),
    "vgg11 fourth": (16, 16, 256, 256, 3, 1, 1),
    "alexnet first": (16, 224, 3, 64, 11, 4, 2),
    "alexnet second": (16, 27, 64, 192, 5, 1, 2),
    "alexnet third": (16, 13, 192, 384, 3, 1, 1),
}
# name: batch, height and width, channels, window, stride, padding
POOLS = {
    "lenet pool": (128, 28, 6, 2, 2, 0),
    "resnet18 pool": (16, 112, 64, 3, 2, 1),
    "alexnet pool": (16, 55, 64, 3, 2, 0),
}
# name: batch, height and width, channels
NORMS = {"resnet20 norm": (128, 32, 16), "resnet18 norm": (16, 112, 64), "resnet18 norm, layer3": (16, 14, 256)}
# After another program, a call finds the caches and the memory as that one left them, which counts for a millisecond.
CALLS = 4


@dataclass(frozen=True)
class Config:
    """Which shapes, and how often."""

    only: str = ""
    """Part of the names of the shapes that are measured."""
    in_scan: bool = False
    bfloat16: bool = False
    rounds: int = 9


def xla_max_pool(x: Array, window: int, stride: int, pad: int) -> Array:
    """Returns the maximum of each window as `flax.linen.max_pool` has it."""
    pads = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), pads)


def plain_batch_norm(x: Array, scale: Array, bias: Array) -> Array:
    """Returns normalised values as the formula says."""
    mean = x.mean((0, 1, 2))
    return (x - mean) * lax.rsqrt(jnp.square(x - mean).mean((0, 1, 2)) + 1e-5) * scale + bias


def cases(config: Config) -> dict[str, tuple[Callable, Callable, tuple[Array, ...]]]:
    """Returns each case as (fcnn's function, XLA's, what they take)."""
    found = {}
    for name, (batch, size, channels, features, window, stride, pad) in CONVOLUTIONS.items():
        strides, pads = (stride, stride), ((pad, pad), (pad, pad))

        def own(x, kernel, strides=strides, pads=pads):
            return ops.conv2d(x, kernel, strides, pads)

        def xla(x, kernel, strides=strides, pads=pads):
            return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))

        found[name] = own, xla, normal((batch, size, size, channels), (window, window, channels, features))
    for name, (batch, size, channels, window, stride, pad) in POOLS.items():

        def own_pool(x, window=window, stride=stride, pad=pad):
            return ops.max_pool(x, (window, window), (stride, stride), ((pad, pad), (pad, pad)))

        def pool_of_xla(x, window=window, stride=stride, pad=pad):
            return xla_max_pool(x, window, stride, pad)

        found[name] = own_pool, pool_of_xla, normal((batch, size, size, channels))
    for name, (batch, size, channels) in NORMS.items():
        arrays = normal((batch, size, size, channels), (channels,), (channels,))
        found[name] = lambda x, scale, bias: ops.batch_norm(x, scale, bias, 1e-5)[0], plain_batch_norm, arrays
    return {name: case for name, case in found.items() if config.only in name}


def normal(*shapes: tuple[int, ...]) -> tuple[Array, ...]:
    """Returns normal numbers in arrays of the given shapes."""
    return tuple(jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate(shapes))


def programs(function: Callable, arguments: tuple[Array, ...], in_scan: bool, jit: Callable) -> dict[str, Callable]:
    """Returns the forward pass and the gradient to each of the first two arguments, compiled.

    They take the gradient to the output after the arguments: as a constant, XLA would arrange it while it compiles.
    """

    def compiled(work):
        if not in_scan:
            return jit(work)

        def repeated(*arguments):
            def again(carry, _):
                # What changes from turn to turn keeps XLA from doing the work once, before the loop.
                first = arguments[0] + carry
                return work(first, *arguments[1:]).ravel()[0] * 0, None

            return lax.scan(again, jnp.zeros(()), length=4)[0]

        return jit(repeated)

    found = {"forward": compiled(lambda *operands: function(*operands[:-1]))}
    for place, what in zip(range(len(arguments[:2])), ("gradient to input", "to kernel or scale"), strict=False):

        def gradient(*operands, place=place):
            *arguments, out_gradient = operands

            def of_one(argument):
                return function(*arguments[:place], argument, *arguments[place + 1 :])

            return jax.vjp(of_one, arguments[place])[1](out_gradient)[0]

        found[what] = compiled(gradient)
    return found


def median_times(program: dict[str, Callable], arguments: tuple[Array, ...], rounds: int) -> dict[str, float]:
    """Returns the median milliseconds of programs that take turns of some calls; the first turn compiles."""
    times = {name: [] for name in program}
    for turn in range(rounds + 1):
        for name, run in program.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                jax.block_until_ready(run(*arguments))
            if turn > 0:
                times[name].append(1e3 * (time.perf_counter() - start) / CALLS)
    return {name: statistics.median(values) for name, values in times.items()}


def main(config: Config) -> None:
    """Measures and prints a row for each case and pass: milliseconds, and how many times faster fcnn is."""
    # As in training: otherwise the system maps the tiles of Winograd's products anew for each of them.
    keep_freed_memory()
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    where = ", inside lax.scan" if config.in_scan else ""
    print(f"jax {jax.__version__} on {jax.default_backend()}, {jnp.dtype(dtype).name}{where}")
    print(f"{'':<48}{'fcnn ms':>9}{'XLA ms':>9}{'faster':>8}{'by fcnn.jit':>14}{'faster':>8}")
    for name, (own, xla, arguments) in cases(config).items():
        out_gradient = jax.random.normal(jax.random.key(9), jax.eval_shape(own, *arguments).shape)
        arguments = tuple(array.astype(dtype) for array in (*arguments, out_gradient))
        ours, theirs, jitted = (
            programs(function, arguments[:-1], config.in_scan, compiled)
            for function, compiled in ((own, jit), (xla, jax.jit), (xla, jit))
        )
        for what in ours:
            programs_of_pass = {"own": ours[what], "xla": theirs[what], "by fcnn.jit": jitted[what]}
            own_ms, xla_ms, jitted_ms = median_times(programs_of_pass, arguments, config.rounds).values()
            print(
                f"{name:<28}{what:<20}{own_ms:>9.2f}{xla_ms:>9.2f}{xla_ms / own_ms:>8.2f}"
                f"{jitted_ms:>14.2f}{jitted_ms / own_ms:>8.2f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
