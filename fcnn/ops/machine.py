"""What this machine's CPU can do, as far as the choice of a formulation depends on it."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import jax

# The first JAX whose products in bfloat16 use the CPU's units, in all layouts but the transposed ones.
_FIRST_WITH_BFLOAT16 = (0, 12)
_FIRST_WITH_YNNPACK = (0, 12)
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


class Cpu(NamedTuple):
    """What the choice of a formulation depends on.

    Attributes:
        has_avx512: whether it has registers of sixteen numbers of float32.
        has_bfloat16_units: whether it has units for products in bfloat16 that this JAX uses.
        has_ynnpack: whether XLA's routines are those of YNNPACK, from JAX 0.12 on; before, they are Eigen's.
        has_onednn: whether convolutions are compiled by oneDNN.
    """

    has_avx512: bool = False
    has_bfloat16_units: bool = False
    has_ynnpack: bool = True
    has_onednn: bool = False


def this_cpu(*, has_onednn: bool = False) -> Cpu:
    """Returns what this machine's CPU can do, with this JAX.

    Args:
        has_onednn: whether convolutions are compiled by oneDNN.
    """
    return Cpu(
        has_avx512="avx512f" in (cpu_flags() or ()),
        has_bfloat16_units=jax_uses_bfloat16_units() and bool(has_bfloat16_units()),
        has_ynnpack=jax.__version_info__ >= _FIRST_WITH_YNNPACK,
        has_onednn=has_onednn,
    )
