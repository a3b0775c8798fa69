"""What the layers that are being traced are computed on: known before tracing, so that a program holds no branch."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, NamedTuple

import jax

from fcnn.ops import machine
from fcnn.ops.machine import Cpu

Platform = Literal["cpu", "gpu", "tpu"]

# XLA's names of what JAX's users call a GPU.
_GPUS = ("cuda", "rocm", "gpu")


class Target(NamedTuple):
    """What a program is compiled for.

    Attributes:
        platform: the kind of device.
        cpu: what its CPU can do, if that is the device.
    """

    platform: Platform
    cpu: Cpu | None


# JAX has such contexts for its own choices (`jax.default_matmul_precision`, meshes), and none for others' ones.
_target: ContextVar[Target | None] = ContextVar("what layers are computed on", default=None)


def target_of(platform: str | None = None, *, has_onednn: bool = False) -> Target:
    """Returns the target of a platform.

    Args:
        platform: "cpu", "gpu" or "tpu", or what JAX calls it; None for the one that JAX computes on.
        has_onednn: whether convolutions are compiled by oneDNN, on a CPU: `fcnn.jit` tells XLA so.
    """
    platform = platform or _default_platform()
    if platform in _GPUS:
        return Target("gpu", None)
    if platform == "cpu":
        return Target("cpu", machine.this_cpu(has_onednn=has_onednn))
    return Target("tpu", None)


@contextlib.contextmanager
def traced_for(target: Target) -> Iterator[None]:
    """While this lasts, layers are traced for a target."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def current_target() -> Target:
    """Returns what layers are traced for now: what `traced_for` says, else what JAX computes on."""
    return _target.get() or target_of()


def _default_platform():
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return jax.default_backend() if device is None else getattr(device, "platform", device)
