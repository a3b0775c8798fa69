"""Convolutions where XLA leaves them to oneDNN: on a CPU, in a function that `fcnn.jit` compiles.

oneDNN, which comes with JAX and which PyTorch has as well, is the fastest at a convolution in the common direction, in
bfloat16 too where the CPU has units. XLA takes it only if it is told to, and not for the gradient to a kernel as
differentiation leaves it: the layers choose what suits it while such a function is traced, and else what suits XLA.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

# Who asked for it, of the convolutions in a function that can be compiled with it.
_takers: ContextVar[list | None] = ContextVar("convolutions that take oneDNN", default=None)


@contextlib.contextmanager
def on_offer() -> Iterator[list]:
    """While this lasts, what is traced can be compiled with oneDNN; gives a list of the kernels that take it."""
    takers = []
    token = _takers.set(takers)
    try:
        yield takers
    finally:
        _takers.reset(token)


def is_on_offer() -> bool:
    """Returns whether what is traced now can be compiled with oneDNN."""
    return _takers.get() is not None


def take(kernel_shape) -> bool:
    """Returns whether a convolution will be compiled with oneDNN: it is, if that can be.

    Args:
        kernel_shape: of the convolution.
    """
    takers = _takers.get()
    if takers is not None:
        takers.append(kernel_shape)
    return takers is not None
