"""Scenes of digits from the classifier to the finest form, with a budget of seconds."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import fcnn

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "fcn_digits.py"


def test_skips_sharpen_and_all_is_written(tmp_path):
    experiment = runpy.run_path(str(EXPERIMENT))
    config = experiment["Config"](
        strides=(16, 2), epochs=(1, 3), scenes=800, held_out_scenes=60, size=48, sides=(28, 44), clutter=0, digits=1600
    )  # fmt: skip
    fcnn.open_run(tmp_path / "run", config)
    console = Console(quiet=True)
    result = experiment["train"](config, tmp_path / "run", console)

    forms = json.loads((tmp_path / "run" / "forms.json").read_text())
    assert list(forms) == ["plain", "16s", "2s"]
    assert result.metrics == {name: metrics["mean_iou"] for name, metrics in forms.items()}
    assert forms["2s"]["mean_iou"] > forms["16s"]["mean_iou"] + 0.02
    assert forms["2s"]["pixel_accuracy"] > forms["plain"]["pixel_accuracy"]
    # The run is the finest form's: its report, its test and its checkpoints lie in the folder itself.
    assert json.loads((tmp_path / "run" / "test.json").read_text())["metrics"] == pytest.approx(forms["2s"])
    assert "<img" in (tmp_path / "run" / "report.html").read_text()
    for name, steps in (("classifier", 200), ("plain", 300), ("16s", 100), (".", 300)):
        rows = [json.loads(line) for line in (tmp_path / "run" / name / "metrics.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == steps
    # Five rows of as many pictures as there are networks, the image and the truth.
    picture = np.asarray(Image.open(tmp_path / "run" / "fcn_digits.png"))
    assert picture.shape[1] == 1344
    assert picture.shape[0] > 5 * 1344 // 5
