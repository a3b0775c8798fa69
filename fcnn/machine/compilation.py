"""Compilation for a platform, with what is fastest on this machine."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr

from fcnn.ops.target import target_of, traced_for

# The first JAX whose XLA has oneDNN's convolutions on a CPU.
_FIRST_WITH_ONEDNN = (0, 12)
# XLA prefers its own library's convolutions where it has them; that library keeps products and sums.
_WITH_ONEDNN = {
    "xla_cpu_experimental_onednn_custom_call": True,
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
}


def jit(function: Callable, *, platform: str | None = None, **options: Any) -> "Compiled":
    """Returns a function compiled by `jax.jit`, whose layers are traced for one platform.

    On a CPU that is with oneDNN's convolutions, from JAX 0.12 on, where there is one device; everything else is
    `jax.jit`'s own. The steps of this package are compiled so. What `jax.jit` compiles is right as well, but takes
    XLA's convolutions; the page of experiments/benchmarks has the difference.

    Args:
        function: of arrays; it may be called within another function that is compiled, and is then a part of it.
        platform: "cpu", "gpu" or "tpu", for a program that is lowered for another machine; by default this one's.
        options: of `jax.jit`, all but `compiler_options`, which JAX does not allow there.
    """
    return Compiled(function, platform=platform, **options)


class Compiled:
    """A function that is compiled as `jit` says; to JAX, the same as what `jax.jit` returns."""

    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable, *, platform: str | None = None, **options: Any):
        """Takes a function, the platform that it is for, and options of `jax.jit`."""
        functools.update_wrapper(self, function)
        self._platform = platform
        # A part of another function is traced into that one: where it is called there instead, XLA may order what it
        # does in a way that takes a tenth longer.
        self._options = {"inline": True, **options}
        self._compiled = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Returns what the function does."""
        if _is_traced(arguments, named):
            # It is traced for what the outer function is for. What has been traced for one may not suit another one.
            return jax.jit(functools.partial(self.__wrapped__), **self._options)(*arguments, **named)
        return self._compiled_for(arguments, named)(*arguments, **named)

    def trace(self, *arguments: Any, **named: Any) -> jax.stages.Traced:
        """Returns the traced function, as `jax.jit(...).trace` does."""
        return self._compiled_for(arguments, named).trace(*arguments, **named)

    def lower(self, *arguments: Any, **named: Any) -> jax.stages.Lowered:
        """Returns the lowered function, as `jax.jit(...).lower` does."""
        traced, platform = self.trace(*arguments, **named), target_of(self._platform).platform
        if platform == target_of().platform:
            return traced.lower()
        return traced.lower(lowering_platforms=("cuda" if platform == "gpu" else platform,))

    def _compiled_for(self, arguments, named):
        if self._compiled is None:
            self._compiled = self._with_onednn(arguments, named) or self._for(target_of(self._platform))
        return self._compiled

    def _for(self, target, **options):
        @functools.wraps(self.__wrapped__)
        def traced(*arguments, **named):
            with traced_for(target):
                return self.__wrapped__(*arguments, **named)

        return jax.jit(traced, **self._options, **options)

    def _with_onednn(self, arguments, named):
        """Returns the function compiled with oneDNN, or None where it has no convolution to take.

        JAX keeps no such program from run to run, which is a loss for one whose convolutions are all products.
        """
        if self._platform not in (None, "cpu") or not has_onednn():
            return None
        compiled = self._for(target_of("cpu", has_onednn=True), compiler_options=_WITH_ONEDNN)
        return compiled if _has_convolution(compiled.trace(*arguments, **named).jaxpr.jaxpr) else None


def _has_convolution(jaxpr):
    return any(
        equation.primitive is lax.conv_general_dilated_p or any(map(_has_convolution, _parts(equation)))
        for equation in jaxpr.eqns
    )


def _parts(equation):
    """Returns the programs that an equation has within it, such as the body of a loop."""
    leaves = jax.tree.leaves(equation.params, is_leaf=lambda value: isinstance(value, Jaxpr | ClosedJaxpr))
    parts = [value for value in leaves if isinstance(value, Jaxpr | ClosedJaxpr)]
    return [part.jaxpr if isinstance(part, ClosedJaxpr) else part for part in parts]


def _is_traced(*values):
    """Returns whether this is being traced: with such values, or for a function that gives others as constants."""
    leaves = (*jax.tree.leaves(values), jnp.empty(()))
    return any(isinstance(leaf, Tracer) for leaf in leaves)


def has_onednn() -> bool:
    """Returns whether XLA takes oneDNN's convolutions if it is told to, on the one device that there is."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and _xla_knows_onednn()


@functools.cache
def _xla_knows_onednn():
    if jax.__version_info__ < _FIRST_WITH_ONEDNN:
        return False
    nothing = jax.jit(lambda x: x).lower(jax.ShapeDtypeStruct((), jnp.float32))
    try:
        nothing.compile(compiler_options=_WITH_ONEDNN)
    except jax.errors.JaxRuntimeError:
        # The options are experimental, and may go.
        return False
    return True
