"""Where computing in bfloat16 pays."""

import re
import warnings
from pathlib import Path

import jax

_FIRST_FAST_JAX = (0, 12)


def warn_if_bfloat16_is_slow(cpu_info: Path = Path("/proc/cpuinfo")) -> None:
    """Warns where a network that computes in bfloat16 would be slower than in float32; the results are right anyway.

    A GPU or a TPU has units for it. A CPU may have them (AMX, AVX-512's BF16, Arm's BF16), which JAX uses from 0.12 on.

    Args:
        cpu_info: where the system tells what the CPU can do; where there is no such file, nothing is said.
    """
    if jax.default_backend() != "cpu":
        return
    if jax.__version_info__[:2] < _FIRST_FAST_JAX:
        reason, remedy = f"JAX {jax.__version__} has no fast products for it", "take JAX 0.12 or later, or float32"
    elif cpu_info.exists() and not re.search(r"\b(amx_bf16|avx512_bf16|bf16)\b", cpu_info.read_text()):
        reason, remedy = "this CPU has no units for it", "take float32"
    else:
        return
    warnings.warn(f"bfloat16 is slower than float32 here: {reason}; {remedy}", stacklevel=3)
