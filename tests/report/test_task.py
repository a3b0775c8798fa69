"""The report of a task that the library does not know, and which files know which task."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fcnn.report
from fcnn.report import Panel, Section, metric_panels, report_task

ANGLES = {"train_loss": [1.0, 0.5], "validation_loss": [1.1, 0.6], "validation_angle_error": [40.0, 12.5]}


def pictures(folder):
    return sorted(path.stem for path in folder.glob("*.png"))


def test_report_with_panels_only(run_folder):
    page = report_task(run_folder(**ANGLES), title="Angles of digits", panels=metric_panels("-angle_error"))

    html = page.read_text()
    assert pictures(page.parent) == ["curves"]
    assert "<strong>12.5</strong> angle error in validation, last epoch" in html
    assert "2 epochs in 3 s, 1,234 images a second in the last" in html
    assert "Loss and angle error after each epoch" in html
    for fact in ("python train.py --seed 1", "jax 0.10.1", "0123abc"):
        assert f"<td>{fact}</td>" in html
    assert "class" not in re.sub(r"<[^>]*>|(?s:<style>.*</style>)", "", html)


def test_report_with_everything(run_folder, random):
    own = Section("angles", "Angles", "Found beside true.", b"picture")
    page = report_task(
        run_folder(**ANGLES),
        title="Angles of digits",
        panels=metric_panels("-angle_error"),
        headline={"degrees off": "12.5"},
        facts={"Network": "LeNet"},
        sections=[own],
        kernels=random.normal(size=(5, 5, 1, 6)),
        example=random.integers(0, 256, (28, 28, 1), np.uint8),
        feature_maps={"c1": random.normal(size=(28, 28, 6)), "output": np.array([0.3])},
    )

    html = page.read_text()
    assert re.findall(r'<figure id="(\w+)">', html) == ["curves", "angles", "kernels", "feature_maps"]
    assert (page.parent / "angles.png").read_bytes() == b"picture"
    for name in ("curves", "kernels", "feature_maps"):
        with Image.open(page.parent / f"{name}.png") as image:
            assert image.width == 7 * 192
            assert len(image.convert("L").getcolors()) > 5, f"{name} is blank"
    assert "<strong>12.5</strong> degrees off" in html
    assert re.findall(r"<th>([^<]*)</th>", html) == ["Training", "Network", "Command", "Versions", "Git commit"]


def test_share_is_the_headline_in_percent_and_training_stands_in_for_held_out_examples(run_folder):
    folder = run_folder(train_loss=[1.0], train_mean_ap=[0.125])
    html = report_task(folder, title="Boxes", panels=[Panel("AP", "mean_ap", unit="%")]).read_text()

    assert "<strong>12.50%</strong> mean ap in training, last epoch" in html


def test_run_that_notes_no_times_and_no_origin(run_folder):
    folder = run_folder(**ANGLES)
    (folder / "config.json").unlink()
    (folder / "metrics.jsonl").write_text('{"train_loss": 1}\n')

    html = report_task(folder, title="Angles", panels=metric_panels("-loss")).read_text()

    assert "<strong>1</strong> loss in training, last epoch" in html
    assert "<table>" not in html


def test_run_without_an_epoch_has_no_curves(run_folder):
    folder = run_folder(train_loss=[])

    assert "<section>" not in report_task(folder, title="Angles", panels=metric_panels("-loss")).read_text()


def test_nothing_is_written_when_drawing_fails(run_folder, random):
    folder = run_folder(**ANGLES)
    arguments = {"title": "Angles", "panels": metric_panels("-loss"), "kernels": random.normal(size=(5, 5, 1, 6))}
    report_task(folder, **arguments)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise RuntimeError("drawing failed")

    example, maps = np.zeros((8, 8, 1), np.uint8), {"c1": np.zeros((8, 8, 2))}
    arguments = {**arguments, "example": example, "feature_maps": maps, "layers": {"c1": fail}}
    with pytest.raises(RuntimeError, match="drawing failed"):
        report_task(folder, **{**arguments, "title": "another"})

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_network_that_was_only_evaluated_has_no_curves(tmp_path):
    page = report_task(tmp_path, title="Angles", panels=metric_panels("-loss"), headline={"degrees": "3.2"})
    assert "3.2" in page.read_text()
    assert not (tmp_path / "curves.png").exists()


def test_same_run_gives_the_same_bytes(run_folder, random):
    folder = run_folder(**ANGLES)
    arguments = {"title": "Angles", "panels": metric_panels("-loss"), "kernels": random.normal(size=(5, 5, 1, 6))}
    first = report_task(folder, **arguments).read_bytes()

    assert report_task(folder, **arguments).read_bytes() == first


def test_what_is_common_knows_no_task():
    folder = Path(fcnn.report.__file__).parent
    common = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(common) > 10
    for path in common:
        text = path.read_text()
        assert not re.search(r"top.?1|class_names|confusion|accurac|\biou\b", text, re.IGNORECASE), path
        assert not re.search(r"report\.(classification|segmentation)", text), path


@pytest.mark.parametrize(("task", "other"), [("classification", "segmentation"), ("segmentation", "classification")])
def test_a_task_knows_no_other_task(task, other):
    folder = Path(fcnn.report.__file__).parent / task
    assert len(list(folder.glob("*.py"))) > 4
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert f"report.{other}" not in text, path
        assert task == "classification" or not re.search(r"top.?1\b", text, re.IGNORECASE), path
