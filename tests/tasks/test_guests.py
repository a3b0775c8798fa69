"""The door is open: tasks that are not in the library train, resume, evaluate exactly, log and report."""

import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console
from tasks.guests import GUESTS, begin
from tasks.stopping import StopsAfter, assert_same, assert_same_rows

import fcnn
from fcnn.training import InterruptedRun

TX = fcnn.make_optimizer("adam", 3e-3)
EPOCHS, BATCH = 4, 32
OWN_METRIC = {"angle": "angle_error", "tags": "mean_average_precision", "autoencoding": "signal_to_noise"}


class Trained:
    """A guest that was trained from end to end, with what it left behind."""

    def __init__(self, name, mnist, folder):
        self.name, self.guest, self.folder = name, GUESTS[name], folder
        split = fcnn.Split(mnist.train.images[:2400], mnist.train.labels[:2400])
        held_out = fcnn.Split(mnist.test.images[:206], mnist.test.labels[:206])
        self.train, self.validation = self.guest.make(split), self.guest.make(held_out)
        self.step = fcnn.make_train_step(
            self.guest.model, TX, task=self.guest.task, augment=self.guest.augment, ema_decay=0.9
        )
        self.printed = io.StringIO()
        self.state, self.rows = self.fit(folder)

    def begin(self):
        return begin(self.guest, TX, self.train["image"].shape[1:], ema=True)

    def fit(self, folder, loader=None):
        loader = loader or fcnn.Loader(self.train, BATCH, seed=1)
        console = Console(file=self.printed, width=200)
        return fcnn.fit(
            self.begin(), self.step, loader, epochs=EPOCHS, validation=self.validation, run_folder=folder,
            validation_batch_size=100, steps_per_call=20, console=console,
        )  # fmt: skip


@pytest.fixture(scope="module", params=list(GUESTS))
def trained(request, mnist, tmp_path_factory):
    return Trained(request.param, mnist, tmp_path_factory.mktemp(request.param))


def test_it_learns(trained):
    first, last = trained.rows[0], trained.rows[-1]
    assert last["step"] <= 300
    assert last["train_loss"] < 0.75 * first["train_loss"]
    metric, best = OWN_METRIC[trained.name], trained.guest.task.best
    untrained = fcnn.evaluate(trained.begin(), trained.step.evaluation, trained.validation, batch_size=103)
    sign = -1 if best.startswith("-") else 1
    assert sign * last[f"validation_{metric}"] > sign * untrained[metric]


def test_its_metrics_are_logged_and_shown(trained):
    metric = OWN_METRIC[trained.name]
    rows = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == trained.rows
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    # What needs the scores of all examples is there in validation only.
    in_training = {"angle": {"loss", "angle_error"}, "tags": {"loss"}, "autoencoding": {
        "loss", "loss_reconstruction", "loss_sparsity", "signal_to_noise"}}[trained.name]  # fmt: skip
    assert {name.removeprefix("train_") for name in rows[0] if name.startswith("train_")} == in_training
    lines = [line for line in trained.printed.getvalue().splitlines() if line.startswith("epoch")]
    shown = {"angle": "angle_error {:.4g}", "tags": "mean_average_precision {:.4g}", "autoencoding": "{:.2f} dB"}
    for row, line in zip(rows, lines, strict=True):
        value = shown[trained.name].format(row[f"validation_{metric}"])
        assert f"validation loss {row['validation_loss']:.4f} {value}  " in line


def test_its_own_metric_chooses_the_best_checkpoint(trained):
    best = trained.guest.task.best
    scores = [row[f"validation_{best.removeprefix('-')}"] for row in trained.rows]
    chosen = int(np.argmin(scores) if best.startswith("-") else np.argmax(scores))
    assert fcnn.load_checkpoint(trained.folder, trained.begin()).step == trained.rows[chosen]["step"]


def test_interrupted_it_goes_on_bit_for_bit(trained, tmp_path):
    loader = fcnn.Loader(trained.train, BATCH, seed=1)
    with pytest.raises(InterruptedRun, match="stopped after step 169 of 300"):
        trained.fit(tmp_path, StopsAfter(loader, 2))
    progress = tmp_path / "checkpoints" / "169" / "progress" / "metadata"
    sums = json.loads(progress.read_text())["sums"]
    assert sums["count"] == 19 * BATCH
    assert isinstance(sums["count"], int)
    resumed, rows = trained.fit(tmp_path)
    assert_same(resumed, trained.state)
    assert_same_rows(rows, trained.rows)


@pytest.fixture(scope="module")
def expected(trained):
    """What NumPy finds for all examples at once."""
    images = trained.validation["image"] / np.float32(255 if trained.validation["image"].dtype == np.uint8 else 1)
    outputs = jax.jit(lambda variables, images: trained.guest.model.apply(variables, images, train=False))(
        trained.state.evaluation_variables, images
    )
    return trained.guest.expected(np.asarray(trained.guest.task.predict(outputs)), trained.validation)


@pytest.mark.parametrize(("devices", "batch_size"), [(1, 100), (8, 24), (8, 103), (8, 500)])
def test_evaluates_exactly_on_any_devices_and_batches(trained, expected, devices, batch_size):
    mesh = fcnn.make_mesh(jax.devices()[:devices])
    state = fcnn.parallel.replicate(mesh, trained.state)
    evaluate_batch = fcnn.make_eval_step(trained.guest.model, task=trained.guest.task, mesh=mesh)
    found = fcnn.evaluate(state, evaluate_batch, trained.validation, batch_size=batch_size)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert expected[OWN_METRIC[trained.name]] == pytest.approx(
        trained.rows[-1][f"validation_{OWN_METRIC[trained.name]}"], rel=1e-5
    )


def test_its_report_is_written(trained, expected):
    result = fcnn.conclude_run(
        trained.folder, trained.state, trained.step.evaluation, trained.validation, title=f"The {trained.name} run",
        batch_size=100, examined="held-out digits",
    )  # fmt: skip
    metric = OWN_METRIC[trained.name]
    assert result.metrics[metric] == pytest.approx(expected[metric], rel=1e-5)
    page = (trained.folder / "report.html").read_text()
    assert f"The {trained.name} run" in page
    assert f"{result.metrics[metric]:.4g}" in page
    assert f"{metric.replace('_', ' ')} of the held-out digits" in page
    written = json.loads((trained.folder / "test.json").read_text())
    assert written["metrics"] == result.metrics
