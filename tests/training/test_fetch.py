"""Results come to the host in their order, and no more calls are under way than the backend profits from."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.training.fetch import fetch


@pytest.mark.parametrize(("backend", "ahead"), [("cpu", 0), ("gpu", 1), ("tpu", 1)])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_as_many_calls_are_ahead_as_the_backend_profits_from(backend, ahead, count, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    made = []

    def call(number):
        made.append(number)
        return {"loss": jnp.float32(number)}

    seen = []
    for result in fetch(call(number) for number in range(count)):
        assert isinstance(result["loss"], np.ndarray | np.generic)
        seen.append(int(result["loss"]))
        assert len(made) == min(len(seen) + ahead, count)
    assert seen == made == list(range(count))


@pytest.mark.parametrize(("backend", "least"), [("cpu", [None, 1, 2]), ("gpu", [])])
def test_on_a_cpu_memory_is_looked_at_after_each_call(backend, least, monkeypatch):
    seen = []
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    module = sys.modules["fcnn.training.fetch"]
    monkeypatch.setattr(module, "return_grown_memory", lambda held: seen.append(held) or len(seen))
    assert [int(result) for result in fetch(jnp.int32(number) for number in range(3))] == [0, 1, 2]
    assert seen == least
