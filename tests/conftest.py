"""Before anything is imported: eight CPU devices, and every annotation of the package checked at run time.

XLA optimises little: a test runs a program a few times, and would wait for its compilation. Experiments that are run in
a process of their own, and the golden training step, are compiled as a user's program is.
"""

import gc
import importlib.metadata
import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)
if importlib.metadata.version("jax").startswith("0.10."):
    # A third less to compile; later versions have no such option.
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
# What tests compile does not belong into the user's cache folder.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import jaxtyping

_hook = jaxtyping.install_import_hook("fcnn", "type_checker.check")

import jax
import numpy as np
import pytest

import fcnn

# Tracing makes many objects, and to look through all that is imported for garbage, again and again, took a fifth of
# the tests' time.
gc.freeze()
gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def mnist() -> fcnn.Dataset:
    return fcnn.load_dataset("mnist")


@pytest.fixture(scope="session")
def digits(mnist) -> fcnn.Split:
    """A few hundred digits."""
    return fcnn.Split(mnist.train.images[:640], mnist.train.labels[:640])


@pytest.fixture
def batch(digits) -> dict:
    return {"image": digits.images[:32], "label": digits.labels[:32]}


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def random():
    return np.random.default_rng(0)
