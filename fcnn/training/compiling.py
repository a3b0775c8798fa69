"""Compilation of steps."""

from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from fcnn import parallel
from fcnn.machine import Compiled, jit, return_unused_memory


def compile_for(mesh: Mesh | None, function: Callable, *, platform: str | None = None, **options: Any) -> Compiled:
    """Returns a compiled function, whose results are on every device of the mesh, if there is one.

    Args:
        mesh: the mesh.
        function: of arrays.
        platform: what it is lowered for; by default that of the mesh, or this machine's.
        **options: of `fcnn.jit`.
    """
    if platform is None and mesh is not None:
        platform = mesh.devices.flat[0].platform
    return jit(
        function, platform=platform, out_shardings=None if mesh is None else parallel.replicated(mesh), **options
    )


def compile_ahead(function: Callable, *arguments: Any) -> None:
    """Compiles a jitted function for the arguments of its next call, and gives back the memory that took.

    Otherwise what the compiler leaves, hundreds of megabytes for a deep network, lies beside the memory of the call.

    Args:
        function: a function; one that is not jitted is left alone.
        arguments: what it will be called with.
    """
    lower = getattr(function, "lower", None)
    if lower is not None:
        lower(*arguments).compile()
    return_unused_memory()
