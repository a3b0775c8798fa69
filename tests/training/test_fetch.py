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


@pytest.mark.parametrize(("backend", "after"), [("cpu", [1]), ("gpu", [])])
def test_on_a_cpu_what_the_first_call_leaves_is_returned(backend, after, monkeypatch):
    made, seen = [], []
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(sys.modules["fcnn.training.fetch"], "return_unused_memory", lambda: seen.append(len(made)))
    results = fetch(made.append(number) or jnp.int32(number) for number in range(3))
    assert [int(result) for result in results] == [0, 1, 2]
    assert seen == after
