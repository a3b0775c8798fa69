"""The same training on parts of this machine, as a user runs it, with a tiny budget."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "gpu_and_cpu.py"
TYPES = "float32", "bfloat16"


def run(*options):
    environment = os.environ | {"XLA_FLAGS": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(EXPERIMENT), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_all_settings_train_the_same_network(tmp_path):
    few = "--networks", "lenet", "--images", "512", "--batch-size", "64"
    done = run(*few, "--run-folder", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    (network, found), *others = json.loads((tmp_path / "run" / "speeds.json").read_text()).items()
    assert network == "lenet"
    assert not others
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    one, every, rounded = f"1 of {cores} cores, float32", *(f"{cores} of {cores} cores, {t}" for t in TYPES)
    assert found.keys() == {one, every, rounded}
    losses = {name: row["train_loss"] for name, row in found.items()}
    assert losses[one] < 1.8  # guesses have log(10), 2.3
    assert losses[every] == pytest.approx(losses[one], rel=1e-2)
    assert losses[rounded] == pytest.approx(losses[one], rel=5e-2)
    for setting, row in found.items():
        assert f"{row['images_per_second']:,.0f} images/s" in done.stdout, setting
    with Image.open(tmp_path / "run" / "gpu_and_cpu.png") as picture:
        assert picture.size[0] == 1344


def test_an_unknown_network_is_one_line_before_any_training(tmp_path):
    done = run("--networks", "lenet", "lenett", "--run-folder", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "did you mean lenet" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
