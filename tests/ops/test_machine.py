"""What the system says of the CPU."""

import pytest

from fcnn.ops import machine


@pytest.mark.parametrize(
    ("text", "flags", "units"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\nbugs\t: amx_bf16\n", {"fpu", "avx2"}, False),
        ("flags\t: fpu avx512_bf16\n\nflags\t: fpu avx512_bf16\n", {"fpu", "avx512_bf16"}, True),
        ("Features\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}, True),
        ("flags : avx512_bf16x\n", {"avx512_bf16x"}, False),
    ],
)
def test_flags(text, flags, units, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert machine.cpu_flags(path) == flags
    assert machine.has_bfloat16_units(path) is units


def test_a_system_that_does_not_tell(tmp_path):
    assert machine.cpu_flags(tmp_path / "none") is None
    assert machine.has_bfloat16_units(tmp_path / "none") is None
