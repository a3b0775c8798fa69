"""Page and pictures as files: escaping, an earlier report's pictures, and nothing half-written."""

import base64
import io
import os
import re

import pytest
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import Section, write_report


@pytest.fixture
def report():
    """Two sections with pictures of two colours."""
    sections = []
    for name, colour in (("curves", "white"), ("kernels", "black")):
        file = io.BytesIO()
        Image.new("RGB", (8, 4), colour).save(file, format="png")
        sections.append(Section(name, f"Heading of {name}", f"How to read {name}.", file.getvalue()))
    return {"title": "A run", "facts": {"right": "96.8 %", "Command": "python train.py"}, "sections": sections}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_page_and_pictures_appear(tmp_path, report):
    page = write_report(tmp_path / "runs" / "lenet", **report)

    assert page == tmp_path / "runs" / "lenet" / "report.html"
    pictures = {f"{section.name}.png": section.picture for section in report["sections"]}
    assert files(page.parent) == {**pictures, "report.html": page.read_bytes()}


def test_page_holds_the_pictures_and_needs_nothing_else(tmp_path, report):
    html = write_report(tmp_path, **report).read_text(encoding="utf-8")

    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert html.count("<img ") == html.count('src="data:image/png;base64,') == 2
    assert "96.8 %" in html
    assert "How to read kernels." in html
    encoded = re.search(r'id="kernels"><img src="data:image/png;base64,([^"]+)"', html).group(1)
    assert base64.b64decode(encoded) == (tmp_path / "kernels.png").read_bytes()


def test_text_is_escaped(tmp_path, report):
    report["title"] = "<b>a & b</b>"
    report["facts"] = {"<i>name": '"<script>alert(1)</script>"', "<i>other": "<script>alert(2)</script>"}
    report["sections"] = [Section("a", "<i>heading", "<u>text", b"")]

    html = write_report(tmp_path, **report).read_text(encoding="utf-8")

    assert "<h1>&lt;b&gt;a &amp; b&lt;/b&gt;</h1>" in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<td>&lt;script&gt;alert(2)" in html
    assert "&lt;u&gt;text" in html
    assert not re.search(r"<script|<b>|<i>|<u>", html)


def test_pictures_of_the_earlier_report_are_removed_and_nothing_else(tmp_path, report):
    (tmp_path / "photo.png").write_bytes(b"not of the report")
    write_report(tmp_path, **report)
    write_report(tmp_path, **{**report, "sections": report["sections"][1:]})

    assert files(tmp_path).keys() == {"photo.png", "kernels.png", "report.html"}
    assert (tmp_path / "report.html").read_text().count("<section>") == 1


def test_report_that_could_not_be_written_is_made_good_by_the_next(tmp_path, report, monkeypatch):
    write_report(tmp_path, **report)
    replace = os.replace

    def fail(source, target):
        if str(target).endswith(".html"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    other = [report["sections"][0]._replace(name="other")]
    with pytest.raises(InputError, match="No space left"):
        write_report(tmp_path, **{**report, "sections": other})
    monkeypatch.undo()
    write_report(tmp_path, **{**report, "sections": other})

    assert files(tmp_path).keys() == {"other.png", "report.html"}


def test_no_temporary_file_stays_when_writing_fails(tmp_path, report, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot be written .*No space left on device"):
        write_report(tmp_path, **report)

    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_gives_one_line(tmp_path, report):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError) as raised:
        write_report(tmp_path / "file", **report)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["kernels", "../other", "a b", ""])
def test_names_that_are_taken_or_no_file_names_are_refused(tmp_path, report, name):
    report["sections"].append(Section(name, "", "", b""))

    with pytest.raises(InputError, match="expected a name of letters"):
        write_report(tmp_path / "run", **report)
    assert not (tmp_path / "run").exists()
