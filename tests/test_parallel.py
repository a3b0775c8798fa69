"""The same step on one device, on eight, and on two processes."""

import os
import socket
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from states import new_state

import fcnn

BATCHES, BATCH_SIZE = 4, 32


def train(mesh, split, steps_per_call=1):
    """Returns losses, running means and parameters after a few steps with all that depends on the batch as a whole."""
    model = fcnn.create_model("lenet", batch_norm=True, dropout_rate=0.2)
    tx = fcnn.make_optimizer("sgd", 0.01, clip_norm=1.0)
    step = fcnn.make_train_step(model, tx, augment=fcnn.augment.random_affine(rotation=10.0), ema_decay=0.9, mesh=mesh)
    state = new_state(model, tx, ema=True, input_shape=(1, 32, 32, 1))
    loader = fcnn.Loader(fcnn.Split(*(array[: BATCHES * BATCH_SIZE] for array in split)), BATCH_SIZE)
    state, rows = fcnn.fit(state, step, loader, epochs=1, mesh=mesh, steps_per_call=steps_per_call)
    return rows[0]["train_loss"], np.asarray(state.batch_stats["c3_norm"]["mean"]), jax.device_get(state.ema["params"])


@pytest.fixture(scope="module")
def on_one_device(mnist):
    return train(None, mnist.train)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_mesh_trains_as_one_device(devices, steps_per_call, mnist, on_one_device):
    mesh = fcnn.make_mesh(jax.devices()[:devices])
    loss, mean, params = train(mesh, mnist.train, steps_per_call)
    assert loss == pytest.approx(on_one_device[0], rel=1e-4)
    np.testing.assert_allclose(mean, on_one_device[1], rtol=1e-3, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=1e-4), params, on_one_device[2])


def test_the_batch_is_split_and_the_state_is_not(mnist):
    mesh = fcnn.make_mesh()
    batch = fcnn.parallel.shard_batch(mesh, {"image": mnist.train.images[:16], "label": mnist.train.labels[:16]})
    assert {shard.data.shape for shard in batch["image"].addressable_shards} == {(2, 28, 28, 1)}
    state = fcnn.parallel.replicate(mesh, {"key": jax.random.key(3), "kernel": np.ones((5, 3))})
    assert len(state["kernel"].addressable_shards) == 8
    assert state["kernel"].is_fully_replicated
    assert jax.random.key_data(state["key"]).is_fully_replicated


def test_a_batch_that_does_not_divide_is_refused(mnist):
    with pytest.raises(fcnn.InputError, match="batch of 10 cannot be split over 8 devices"):
        fcnn.parallel.shard_batch(fcnn.make_mesh(), {"image": mnist.train.images[:10]})


def test_a_process_outside_of_the_processes_is_refused():
    with pytest.raises(fcnn.InputError, match="process 2 is not one of 0 to 1"):
        fcnn.parallel.initialize_processes("localhost:1", 2, 2)


TWO_PROCESSES = """
import sys
sys.path.insert(0, {tests!r})
import jax, numpy as np
import fcnn
fcnn.parallel.initialize_processes("localhost:{port}", 2, int(sys.argv[1]))
from test_parallel import train
assert jax.process_count() == 2 and len(jax.devices()) == 2
mesh = fcnn.make_mesh()
split = fcnn.load_dataset("mnist").train
loss, mean, params = train(mesh, split)
resident, _, _ = train(mesh, split, steps_per_call=3)
if fcnn.parallel.is_main_process():
    np.savez(sys.argv[2], loss=loss, resident=resident, mean=mean, kernel=params["c1"]["kernel"])
"""


def test_two_processes_train_as_one(tmp_path, on_one_device):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = tmp_path / "process.py"
    script.write_text(textwrap.dedent(TWO_PROCESSES.format(port=port, tests=os.path.dirname(__file__))))
    # Each with one device of its own.
    environment = os.environ | {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(i), str(tmp_path / "out.npz")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)[-3000:]
    found = np.load(tmp_path / "out.npz")
    assert found["loss"] == pytest.approx(on_one_device[0], rel=1e-4)
    assert found["resident"] == pytest.approx(on_one_device[0], rel=1e-4)
    np.testing.assert_allclose(found["mean"], on_one_device[1], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["kernel"], on_one_device[2]["c1"]["kernel"], rtol=2e-2, atol=1e-4)
