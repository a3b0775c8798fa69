"""A run's folder as training leaves it."""

import json

import pytest


@pytest.fixture
def run_folder(tmp_path):
    """Returns a function that writes the metrics, such as {"train_loss": [...]}, and what a run notes of itself."""

    def write(**metrics):
        rows = [dict(zip(metrics, values, strict=True)) for values in zip(*metrics.values(), strict=True)]
        lines = [
            json.dumps({"epoch": epoch, **row, "seconds": 1.5, "images_per_second": 1234.5})
            for epoch, row in enumerate(rows, start=1)
        ]
        (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        config = {"command": "python train.py --seed 1", "versions": {"jax": "0.10.1"}, "git_commit": "0123abc"}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write
