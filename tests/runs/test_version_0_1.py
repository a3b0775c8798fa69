"""A run that version 0.1 began is read, and goes on to the end that it would have had."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from states import new_state

import fcnn
from fcnn.report import read_metrics

# Interrupted in its third epoch: python experiments/mlp_mnist.py --hidden 8 --batch-size 1000 --epochs 3
RUN = Path(__file__).parents[1] / "goldens" / "run_of_version_0_1"
MLP = Path(__file__).parents[2] / "experiments" / "mlp_mnist.py"
SETTINGS = ("--hidden", "8", "--batch-size", "1000", "--epochs", "3")


@pytest.fixture
def run(tmp_path):
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def resume(run, *options):
    command = [sys.executable, str(MLP), *SETTINGS, "--run-folder", str(run), "--resume", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"XLA_FLAGS": ""})


def test_its_checkpoints_are_read(run):
    model = fcnn.create_model("mlp", hidden=(8,), activation="sigmoid")
    like = new_state(model, fcnn.make_optimizer("sgd", lambda step: 0.1, momentum=0.9))
    assert fcnn.load_checkpoint(run, like, "last").step == 140
    best = fcnn.load_checkpoint(run, like, "best")
    assert best.step == 120
    test = fcnn.load_dataset("mnist").test
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(fcnn.load_dataset("mnist").train.images))
    metrics = fcnn.evaluate(jax.device_put(best), fcnn.make_eval_step(model, prepare=prepare), test, batch_size=1000)
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])
    assert metrics["top1"] == row["test_top1"]
    assert metrics["loss"] == pytest.approx(row["test_loss"], rel=1e-5)


def test_it_goes_on_as_it_would_have(run):
    done = resume(run, "--validation", "0")
    assert done.returncode == 0, done.stderr
    first, second, third = read_metrics(run)
    assert first["test_top1"] == 0.8319
    assert second["step"] == 120
    # As version 0.1 ends, when it is not interrupted.
    assert third["step"] == 180
    assert third["train_loss"] == pytest.approx(0.5919273529052734, rel=1e-5)
    assert third["train_top1"] == pytest.approx(0.8699833333333333, abs=2e-4)
    metrics = json.loads((run / "test.json").read_text())["metrics"]
    assert metrics["top1"] == pytest.approx(0.8719, abs=1e-3)
    assert metrics["loss"] == pytest.approx(0.5798824226379394, rel=1e-4)


def test_it_does_not_go_on_with_fewer_training_images(run):
    done = resume(run)
    assert done.returncode == 2
    assert "validation was None, now 5000" in done.stderr
