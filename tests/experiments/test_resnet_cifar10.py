"""Residual networks on made-up files in the form of CIFAR-10, from the command line to the report."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import fcnn
from fcnn.data.cifar import BINARY_FORMS

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "resnet_cifar10.py"


@pytest.fixture(scope="module")
def experiment():
    return runpy.run_path(str(EXPERIMENT))


@pytest.fixture
def colours(tmp_path, random, monkeypatch):
    """A folder of noise in ten colours, as many as the classes: 32 images a training file and 20 for the test."""
    form = BINARY_FORMS["cifar10"]._replace(train_records=32, test_records=20)
    monkeypatch.setitem(BINARY_FORMS, "cifar10", form)
    palette = random.integers(0, 200, (10, 3, 1))
    folder = tmp_path / "cifar" / form.folder
    folder.mkdir(parents=True)
    for file in (*form.train_files, *form.test_files):
        labels = np.arange(form.train_records if file in form.train_files else form.test_records) % 10
        planes = palette[labels] + random.integers(0, 56, (len(labels), 3, 32 * 32))
        records = np.concatenate([labels[:, None], planes.reshape(len(labels), -1)], axis=1)
        (folder / file).write_bytes(records.astype(np.uint8).tobytes())
    (folder / form.names_file).write_text("\n".join(f"colour{i}" for i in range(10)))
    return folder.parent


def test_a_run_learns_and_is_reported(experiment, colours, tmp_path, capsys):
    arguments = ["--network", "resnet_cifar_tiny", "--data-dir", str(colours), "--run-folder", str(tmp_path / "run")]
    arguments += ["--batch-size", "32", "--epochs", "4", "--validation", "20"]
    fcnn.run_experiment("resnet_cifar10", experiment["RECIPES"], experiment["train"], arguments)
    printed = capsys.readouterr().out
    assert "to epoch 1 of 4 on crops of 24x24" in printed
    assert "to epoch 4 of 4 on crops of 32x32" in printed
    assert "test images: loss " in printed
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(4, 17, 4))
    assert rows[-1]["train_loss"] < 0.7 * rows[0]["train_loss"]
    assert rows[-1]["train_top1"] > 0.4
    assert "validation_top1" in rows[-1]
    assert (tmp_path / "run" / "report.html").exists()


def test_stages(experiment):
    short, paper = (experiment["RECIPES"][name] for name in ("short", "paper"))
    assert experiment["stages"](short) == [(11, 0, 24), (14, 2, 32)]
    assert experiment["stages"](paper) == [(164, 4, 32)]


def test_the_learning_rate_of_the_paper(experiment):
    config = experiment["RECIPES"]["paper"]
    schedule = experiment["schedule_of"](config, 64_000)
    expected = {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected)
    assert config.epochs * (50_000 // config.batch_size) == pytest.approx(64_000, rel=1e-3)


def test_missing_files_are_one_line_that_says_where_they_are(experiment, tmp_path, capsys):
    arguments = ["--run-folder", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stop:
        fcnn.run_experiment("resnet_cifar10", experiment["RECIPES"], experiment["train"], arguments)
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert "--data-dir" in complaint
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in complaint
    assert complaint.count("\n") == 1
