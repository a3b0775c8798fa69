"""Where computing in bfloat16 pays."""

import warnings
from pathlib import Path

import jax

from fcnn.ops import machine


def warn_if_bfloat16_is_slow(cpu_info: Path = Path("/proc/cpuinfo")) -> None:
    """Warns where a network that computes in bfloat16 would be slower than in float32; the results are right anyway.

    A GPU or a TPU has units for it. A CPU may have them (AMX, AVX-512's BF16, Arm's BF16), which JAX uses from 0.12 on.

    Args:
        cpu_info: where the system tells what the CPU can do; where there is no such file, nothing is said.
    """
    if jax.default_backend() != "cpu":
        return
    if not machine.jax_uses_bfloat16_units():
        reason, remedy = f"JAX {jax.__version__} has no fast products for it", "take JAX 0.12 or later, or float32"
    elif machine.has_bfloat16_units(cpu_info) is False:
        reason, remedy = "this CPU has no units for it", "take float32"
    else:
        return
    warnings.warn(f"bfloat16 is slower than float32 here: {reason}; {remedy}", stacklevel=3)
