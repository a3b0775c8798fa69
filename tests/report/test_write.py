"""The whole report: files, escaping, what is left out, and nothing half-written."""

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import Mistakes, Predictions, write_report

PICTURES = ["confusion.png", "curves.png", "feature_maps.png", "kernels.png", "mistakes.png", "predictions.png"]


@pytest.fixture
def run():
    """Everything that a run of a small network hands to its report."""
    random = np.random.default_rng(0)
    confusion = np.diag([50, 40, 30])
    confusion[0, 2] = 4
    return {
        "title": "LeNet on three digits",
        "facts": {"of 124 test images right": "96.8 %", "Command": "python experiments/lenet_mnist.py"},
        "metrics": [{"epoch": e, "train_loss": 1 / e, "train_top1": 0.9, "test_top1": 0.8} for e in (1, 2, 3)],
        "class_names": ["zero", "one", "two"],
        "confusion": confusion,
        "predictions": Predictions(
            random.integers(0, 256, (2, 8, 8, 1), np.uint8), np.array([0, 1]), random.normal(size=(2, 3))
        ),
        "mistakes": Mistakes(
            images=random.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8),
            labels=np.array([0, 0, 0, 0]),
            predictions=np.array([2, 2, 2, 2]),
            probabilities=np.array([0.9, 0.8, 0.7, 0.6]),
        ),
        "kernels": random.normal(size=(5, 5, 1, 6)),
        "digit": random.integers(0, 256, (8, 8, 1), dtype=np.uint8),
        "feature_maps": {"c1": random.normal(size=(8, 8, 6)), "output": random.normal(size=3)},
    }


def test_page_and_pictures_appear(tmp_path, run):
    page = write_report(tmp_path / "runs" / "lenet", **run)

    assert page == tmp_path / "runs" / "lenet" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == [*PICTURES, "report.html"]
    for name in PICTURES:
        with Image.open(page.parent / name) as picture:
            assert picture.format == "PNG"
            picture.load()
            assert len(picture.convert("L").getcolors()) > 5, f"{name} is blank"


def test_page_holds_the_pictures_and_needs_nothing_else(tmp_path, run):
    html = write_report(tmp_path, **run).read_text(encoding="utf-8")

    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert html.count("<img ") == html.count('src="data:image/png;base64,') == len(PICTURES)
    assert "96.8 %" in html
    assert "2 test images, evenly spaced" in html
    assert "All 4 mistakes in 124 test images" in html
    assert "zero → two (4)" in html


def test_text_is_escaped(tmp_path, run):
    run["title"] = "<b>a & b</b>"
    run["facts"] = {"<i>name": '"<script>alert(1)</script>"', "<i>other": "<script>alert(2)</script>"}
    run["class_names"] = ["<zero>", "$one$", "t&wo"]

    html = write_report(tmp_path, **run).read_text(encoding="utf-8")

    assert "<h1>&lt;b&gt;a &amp; b&lt;/b&gt;</h1>" in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<td>&lt;script&gt;alert(2)" in html
    assert "&lt;zero&gt; → t&amp;wo" in html
    assert not re.search(r"<script|<b>|<i>|<zero>", html)


@pytest.mark.parametrize(
    ("absent", "picture"),
    [
        ({"metrics": []}, "curves.png"),
        ({"confusion": None}, "confusion.png"),
        ({"predictions": None}, "predictions.png"),
        ({"mistakes": None}, "mistakes.png"),
        ({"kernels": None}, "kernels.png"),
        ({"feature_maps": {}}, "feature_maps.png"),
    ],
)
def test_what_is_absent_is_left_out_and_an_older_picture_of_it_removed(tmp_path, run, absent, picture):
    (tmp_path / picture).write_bytes(b"of an older report")

    html = write_report(tmp_path, **{**run, **absent}).read_text(encoding="utf-8")

    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted({*PICTURES} - {picture})
    assert html.count("<section>") == len(PICTURES) - 1


def test_report_of_a_perfect_network(tmp_path, run):
    run["confusion"] = np.diag([50, 40, 30])
    run["mistakes"] = Mistakes(np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, int), np.zeros(0, int), np.zeros(0))

    html = write_report(tmp_path, **run).read_text(encoding="utf-8")

    assert "Most frequent" not in html
    assert not (tmp_path / "mistakes.png").exists()


def test_nothing_is_written_when_drawing_fails(tmp_path, run, monkeypatch):
    write_report(tmp_path, **run)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_):
        raise RuntimeError("drawing failed")

    monkeypatch.setattr("fcnn.report.write.feature_maps_section", fail)
    with pytest.raises(RuntimeError, match="drawing failed"):
        write_report(tmp_path, **{**run, "title": "another"})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_temporary_file_stays_when_writing_fails(tmp_path, run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot be written .*No space left on device"):
        write_report(tmp_path, **run)

    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_gives_one_line(tmp_path, run):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError) as raised:
        write_report(tmp_path / "file", **run)

    assert "\n" not in str(raised.value)


def test_same_run_gives_the_same_bytes(tmp_path, run):
    first = write_report(tmp_path / "first", **run).read_bytes()

    assert write_report(tmp_path / "second", **run).read_bytes() == first


def test_embedded_picture_is_the_file_beside_the_page(tmp_path, run):
    html = write_report(tmp_path, **run).read_text(encoding="utf-8")

    encoded = re.search(r'id="kernels"><img src="data:image/png;base64,([^"]+)"', html).group(1)
    embedded = base64.b64decode(encoded)
    assert embedded == (tmp_path / "kernels.png").read_bytes()
    assert Image.open(io.BytesIO(embedded)).size[0] == 7 * 192
