"""The loop: what it logs and saves, and that a run that was stopped is the same run."""

import itertools
import json
import os
import signal
import sys

import jax
import numpy as np
import pytest
from states import new_state

import fcnn
from fcnn.training import InterruptedRun, NonFiniteLossError

MODEL = fcnn.create_model("mlp", hidden=(16,), activation="relu", dropout_rate=0.2)
TX = fcnn.make_optimizer("adam", 1e-2)
STEP = fcnn.make_train_step(MODEL, TX, ema_decay=0.9)
EVAL_STEP = fcnn.make_eval_step(MODEL)


def begin():
    return new_state(MODEL, TX, ema=True)


@pytest.fixture
def loader(digits):
    return fcnn.Loader(digits, 64, seed=1)


def evaluate_on(split):
    return lambda state: fcnn.evaluate(state, EVAL_STEP, split, batch_size=200)


def assert_same(one, other):
    jax.tree.map(
        np.testing.assert_array_equal,
        one._replace(key=jax.random.key_data(one.key)),
        other._replace(key=jax.random.key_data(other.key)),
    )


def test_learns_and_writes_what_it_did(loader, digits, tmp_path):
    state, rows = fcnn.fit(
        begin(), STEP, loader, epochs=3, evaluate=evaluate_on(digits), run_folder=tmp_path, steps_per_call=5,
        learning_rate=lambda step: 1e-2,
    )  # fmt: skip
    assert state.step == 30
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert rows[-1]["validation_top1"] > 0.6
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert rows[0].keys() >= {"epoch", "train_top1", "validation_loss", "seconds", "images_per_second", "learning_rate"}
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert rows[-1]["validation_top1"] == evaluate_on(digits)(state)["top1"]


def test_metrics_of_an_epoch_are_those_of_its_steps(loader):
    state, losses, top1 = begin(), 0.0, 0
    for batch in loader.batches(0):
        state, metrics = STEP(state, batch)
        losses, top1 = losses + float(metrics["loss"]), top1 + int(metrics["top1"])
    fitted, rows = fcnn.fit(begin(), STEP, loader, epochs=1, steps_per_call=4)
    assert rows[0]["train_loss"] == pytest.approx(losses / 640, rel=1e-5)
    assert rows[0]["train_top1"] == top1 / 640
    np.testing.assert_allclose(
        fitted.params["output"]["kernel"], state.params["output"]["kernel"], rtol=1e-3, atol=1e-5
    )


def test_streaming_gives_the_same_as_the_device(loader):
    resident, rows = fcnn.fit(begin(), STEP, loader, epochs=2)
    streamed, streamed_rows = fcnn.fit(begin(), STEP, loader, epochs=2, resident_bytes=0)
    np.testing.assert_allclose(
        streamed.params["output"]["kernel"], resident.params["output"]["kernel"], rtol=1e-3, atol=1e-5
    )
    assert streamed_rows[-1]["train_loss"] == pytest.approx(rows[-1]["train_loss"], rel=1e-4)


class StopsAfter:
    """A loader that sends this process a signal before a certain block of indices is read."""

    def __init__(self, loader, epoch, number=signal.SIGINT):
        self.loader, self.epoch, self.number = loader, epoch, number

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def indices(self, epoch):
        if epoch == self.epoch:
            os.kill(os.getpid(), self.number)
        return self.loader.indices(epoch)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_and_goes_on_bit_for_bit(number, loader, digits, tmp_path):
    options = {"epochs": 3, "evaluate": evaluate_on(digits), "steps_per_call": 4}
    whole, rows = fcnn.fit(begin(), STEP, loader, **options)
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRun, match="stopped after step 14 of 30.*--resume"):
        fcnn.fit(begin(), STEP, StopsAfter(loader, 1, number), run_folder=tmp_path, **options)
    assert signal.getsignal(number) == before
    resumed, resumed_rows = fcnn.fit(begin(), STEP, loader, run_folder=tmp_path, **options)
    assert_same(resumed, whole)
    timeless = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]
    for row, expected in zip(resumed_rows, timeless, strict=True):
        assert {k: row[k] for k in expected} == pytest.approx(expected, rel=1e-6)


def test_a_finished_run_is_only_read(loader, tmp_path):
    state, rows = fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path)
    again, rows_again = fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path)
    assert_same(again, state)
    assert rows_again == rows


def test_a_run_in_stages_with_steps_of_their_own_goes_on_in_the_last(loader, tmp_path):
    smoothed = fcnn.make_train_step(MODEL, TX, ema_decay=0.9, label_smoothing=0.2)

    def train(run_folder):
        state = begin()
        for epochs, step in ((1, STEP), (2, smoothed)):
            state, rows = fcnn.fit(state, step, loader, epochs=epochs, run_folder=run_folder)
        return state, rows

    state, rows = train(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert_same(train(None)[0], state)
    again, rows_again = train(tmp_path)
    assert_same(again, state)
    assert rows_again == rows


def test_the_best_checkpoint_is_kept_beside_the_last(loader, tmp_path):
    scores = iter([0.3, 0.9, 0.5, 0.4])
    best_params = []

    def evaluate(state):
        best_params.append(jax.device_get(state.params))
        return {"top1": next(scores), "loss": 1.0}

    state, _ = fcnn.fit(begin(), STEP, loader, epochs=4, evaluate=evaluate, run_folder=tmp_path)
    best = fcnn.load_checkpoint(tmp_path, begin())
    assert best.step == 20
    jax.tree.map(np.testing.assert_array_equal, best.params, best_params[1])
    assert_same(fcnn.load_checkpoint(tmp_path, begin(), "last"), state)
    steps = {path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    assert steps == {"20", "40"}


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_checkpoint(digits, tmp_path):
    tx = fcnn.make_optimizer("sgd", 0.1)
    # Between the 14th and the 15th step the images stop being numbers.
    step = fcnn.make_train_step(MODEL, tx)

    def poisoned(state, batch):
        state, metrics = step.__wrapped__(state, batch)
        return state, metrics | {"loss": jax.numpy.where(state.step == 15, jax.numpy.nan, metrics["loss"])}

    state = new_state(MODEL, tx)
    with pytest.raises(NonFiniteLossError, match=r"nan at step 14.*checkpoint is kept"):
        fcnn.fit(state, poisoned, fcnn.Loader(digits, 64), epochs=3, run_folder=tmp_path, steps_per_call=3)
    state = new_state(MODEL, tx)
    assert fcnn.load_checkpoint(tmp_path, state, "last").step == 10


def test_a_checkpoint_of_another_network_is_refused_by_its_entries(loader, tmp_path):
    fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path)
    wider = fcnn.create_model("mlp", hidden=(17,), activation="relu")
    state = new_state(wider, TX, ema=True)
    with pytest.raises(fcnn.InputError, match=r"hidden1.*shape \(16,\) instead of \(17,\)"):
        fcnn.load_checkpoint(tmp_path, state, "last")
    without = new_state(MODEL, TX)
    with pytest.raises(fcnn.InputError, match=r"ema.*left over"):
        fcnn.load_checkpoint(tmp_path, without, "last")
    deeper = fcnn.create_model("mlp", hidden=(16, 16), activation="relu")
    state = new_state(deeper, TX, ema=True)
    with pytest.raises(fcnn.InputError, match=r"hidden2.*missing"):
        fcnn.load_checkpoint(tmp_path, state, "last")


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(fcnn.InputError, match="holds no checkpoints"):
        fcnn.load_checkpoint(tmp_path, begin())


def test_a_batch_larger_than_the_set_is_refused(digits, tmp_path):
    with pytest.raises(fcnn.InputError, match="from 1 to 640.*got 641"):
        fcnn.fit(begin(), STEP, fcnn.Loader(digits, 641), epochs=1, run_folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_state_that_diverged_in_the_last_step_of_an_epoch_is_not_saved(digits, tmp_path):
    """The loss of a step is that before its update: only the parameters tell of it."""
    tx = fcnn.make_optimizer("sgd", lambda step: np.inf)
    state = new_state(MODEL, tx)
    with pytest.raises(NonFiniteLossError, match="not finite after step 1:"):
        fcnn.fit(state, fcnn.make_train_step(MODEL, tx), fcnn.Loader(digits, 640), epochs=1, run_folder=tmp_path)
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_a_run_goes_on_with_the_batches_that_it_began_with(loader, digits, tmp_path):
    fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path)
    with pytest.raises(fcnn.InputError, match="has 10 steps an epoch, this one 20"):
        fcnn.fit(begin(), STEP, fcnn.Loader(digits, 32), epochs=2, run_folder=tmp_path)


def test_a_batch_that_the_devices_cannot_share_is_refused(digits):
    mesh = fcnn.make_mesh()
    with pytest.raises(fcnn.InputError, match="a batch of 60 cannot be split over 8 devices"):
        fcnn.fit(begin(), STEP, fcnn.Loader(digits, 60), epochs=1, mesh=mesh)


def test_a_folder_that_cannot_be_written_is_one_line(loader, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fcnn.InputError, match="cannot be written"):
        fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path / "file")


def test_reading_a_checkpoint_leaves_what_is_being_written(loader, tmp_path):
    fcnn.fit(begin(), STEP, loader, epochs=1, run_folder=tmp_path)
    unfinished = tmp_path / "checkpoints" / "99.orbax-checkpoint-tmp"
    unfinished.mkdir()
    fcnn.load_checkpoint(tmp_path, begin(), "last")
    assert unfinished.exists()


@pytest.mark.parametrize("resident_bytes", [0, 2**30])
def test_every_epoch_is_compiled_before_its_first_call(resident_bytes, loader, monkeypatch):
    events = []
    module = sys.modules["fcnn.training.fit"]  # its function has the same name
    monkeypatch.setattr(module, "compile_ahead", lambda function, *arguments: events.append(len(arguments)))
    fcnn.fit(begin(), STEP, loader, epochs=2, resident_bytes=resident_bytes)
    assert events == [3 if resident_bytes else 2] * 2


class Miscounting:
    """A loader that says that it gives two batches."""

    batch_size, steps_per_epoch = 64, 2

    def __init__(self, loader, count):
        self.loader, self.count = loader, count

    def batches(self, epoch, start=0):
        return itertools.islice(self.loader.batches(epoch), start, self.count)


@pytest.mark.parametrize(("count", "given"), [(0, "0"), (1, "1"), (5, "more")])
def test_a_loader_that_miscounts_is_refused(loader, count, given):
    with pytest.raises(fcnn.InputError, match=rf"an epoch has 2 batches \(steps_per_epoch\), and gives {given}:"):
        fcnn.fit(begin(), STEP, Miscounting(loader, count), epochs=2)
