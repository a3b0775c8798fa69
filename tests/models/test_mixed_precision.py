"""A network that would be slower in bfloat16 says so, and one that would not is silent."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import fcnn
from fcnn.models.mixed_precision import warn_if_bfloat16_is_slow

NEW_JAX, OLD_JAX = (0, 12, 0), (0, 10, 1)


@pytest.fixture
def cpu_info(tmp_path):
    def write(flags):
        path = tmp_path / "cpuinfo"
        path.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n")
        return path

    return write


@pytest.mark.parametrize("units", ["amx_bf16", "avx512_bf16"])
def test_silent_where_the_cpu_has_the_units(monkeypatch, cpu_info, units):
    monkeypatch.setattr(jax, "__version_info__", NEW_JAX)
    with warnings.catch_warnings(action="error"):
        warn_if_bfloat16_is_slow(cpu_info(units))


@pytest.mark.parametrize(
    ("version", "flags", "reason"),
    [(NEW_JAX, "avx2 avx512f", "this CPU has no units"), (OLD_JAX, "amx_bf16", "no fast products")],
)
def test_says_why_it_is_slow(monkeypatch, cpu_info, version, flags, reason):
    monkeypatch.setattr(jax, "__version_info__", version)
    with pytest.warns(UserWarning, match=reason):
        warn_if_bfloat16_is_slow(cpu_info(flags))


def test_silent_on_a_gpu(monkeypatch, cpu_info):
    monkeypatch.setattr(jax, "__version_info__", OLD_JAX)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with warnings.catch_warnings(action="error"):
        warn_if_bfloat16_is_slow(cpu_info("avx2"))


def test_silent_in_float32_and_asked_for_every_network_in_bfloat16(monkeypatch):
    asked = []
    monkeypatch.setattr("fcnn.models.networks.warn_if_bfloat16_is_slow", lambda: asked.append(True))
    fcnn.create_model("resnet18")
    assert not asked
    fcnn.create_model("resnet18", dtype=jnp.bfloat16)
    fcnn.create_model("mlp", dtype="bfloat16")
    assert len(asked) == 2
