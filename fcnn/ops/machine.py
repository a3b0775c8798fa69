"""What this machine's CPU can do, as far as the choice of a formulation depends on it."""

import functools
import re
from pathlib import Path

import jax

# The first JAX whose products in bfloat16 use the CPU's units, in all layouts but the transposed ones.
_FIRST_WITH_BFLOAT16 = (0, 12)
_BFLOAT16_UNITS = {"amx_bf16", "avx512_bf16", "bf16"}


@functools.cache
def cpu_flags(cpu_info: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """Returns what the CPU can do, in Linux's words; None where the system does not tell.

    Args:
        cpu_info: where it tells.
    """
    if not cpu_info.exists():
        return None
    lists = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpu_info.read_text(), re.MULTILINE)
    return frozenset(" ".join(lists).split())


def jax_uses_bfloat16_units() -> bool:
    """Returns whether this JAX is one that takes the units for products in bfloat16 of a CPU that has them."""
    return jax.__version_info__[:2] >= _FIRST_WITH_BFLOAT16


def has_bfloat16_units(cpu_info: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Returns whether the CPU has units for products in bfloat16 (AMX, AVX-512's, Arm's); None where it is not known.

    Args:
        cpu_info: where the system tells.
    """
    flags = cpu_flags(cpu_info)
    return None if flags is None else not flags.isdisjoint(_BFLOAT16_UNITS)


def has_avx512() -> bool:
    """Returns whether the CPU has registers of sixteen numbers of float32."""
    return "avx512f" in (cpu_flags() or ())
