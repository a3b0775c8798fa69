"""Compilation with what is fastest on this machine."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from fcnn.ops import onednn

# The first JAX whose XLA has oneDNN's convolutions on a CPU.
_FIRST_WITH_ONEDNN = (0, 12)
# XLA prefers its own library's convolutions where it has them; that library keeps products and sums.
_WITH_ONEDNN = {
    "xla_cpu_experimental_onednn_custom_call": True,
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
}


def jit(function: Callable, **options: Any) -> "Compiled":
    """Returns a function compiled by `jax.jit`, on a CPU with oneDNN's convolutions, for which the layers are made.

    That is from JAX 0.12 on, where there is one device; everything else is `jax.jit`'s own. The steps of this package
    are compiled so. What `jax.jit` compiles is right as well, but takes XLA's convolutions; the page of
    experiments/benchmarks has the difference.

    Args:
        function: of arrays; it may be called within another function that is compiled, and is then a part of it.
        options: of `jax.jit`, all but `compiler_options`, which JAX does not allow there.
    """
    return Compiled(function, **options)


class Compiled:
    """A function that is compiled as `jit` says; to JAX, the same as what `jax.jit` returns."""

    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable, **options: Any):
        """Takes a function and options of `jax.jit`."""
        functools.update_wrapper(self, function)
        # A part of another function is traced into that one: where it is called there instead, XLA may order what it
        # does in a way that takes a tenth longer.
        self._options = {"inline": True, **options}
        self._plain = jax.jit(function, **self._options)
        self._compiled = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Returns what the function does."""
        if self._compiled is not self._plain and _is_traced(arguments, named):
            # What has been traced for one function that this is a part of may not suit another one: traced anew.
            return jax.jit(functools.partial(self.__wrapped__), **self._options)(*arguments, **named)
        return self._compiled_for(arguments, named)(*arguments, **named)

    def trace(self, *arguments: Any, **named: Any) -> jax.stages.Traced:
        """Returns the traced function, as `jax.jit(...).trace` does."""
        return self._compiled_for(arguments, named).trace(*arguments, **named)

    def lower(self, *arguments: Any, **named: Any) -> jax.stages.Lowered:
        """Returns the lowered function, as `jax.jit(...).lower` does."""
        return self._compiled_for(arguments, named).lower(*arguments, **named)

    def _compiled_for(self, arguments, named):
        if self._compiled is None:
            self._compiled = self._with_onednn(arguments, named) or self._plain
        return self._compiled

    def _with_onednn(self, arguments, named):
        """Returns the function compiled with oneDNN, or None where no convolution takes it.

        JAX keeps no such program from run to run, which is a loss for one without convolutions, or with small ones.
        """
        if not has_onednn():
            return None
        takers = []

        @functools.wraps(self.__wrapped__)
        def offered(*arguments, **named):
            with onednn.on_offer() as more:
                out = self.__wrapped__(*arguments, **named)
            takers.extend(more)
            return out

        compiled = jax.jit(offered, compiler_options=_WITH_ONEDNN, **self._options)
        compiled.trace(*arguments, **named)
        return compiled if takers else None


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
