"""The report of a classifier, from logits and a run's folder to the page."""

import re

import numpy as np
import pytest
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import confusion_matrix, find_mistakes, report_run

PICTURES = ["confusion", "curves", "feature_maps", "kernels", "mistakes", "predictions"]
NAMES = ["zero", "one", "two"]


@pytest.fixture
def results(random):
    """What a network gives for 124 images: four of class 0 are taken for class 2."""
    labels = np.repeat([0, 1, 2], [54, 40, 30])
    logits = np.zeros((124, 3))
    logits[np.arange(124), labels] = 5
    logits[:4, 2] = [6, 7, 8, 9]
    return {
        "title": "LeNet on three digits",
        "facts": {"Network": "LeNet"},
        "class_names": NAMES,
        "images": random.integers(0, 256, (124, 8, 8, 1), np.uint8),
        "labels": labels,
        "logits": logits,
        "kernels": random.normal(size=(5, 5, 1, 6)),
        "feature_maps": {"c1": random.normal(size=(8, 8, 6)), "output": random.normal(size=3)},
        "shown": 5,
    }


@pytest.fixture
def folder(run_folder):
    return run_folder(train_loss=[1.0, 0.5], train_top1=[0.7, 0.8], validation_loss=[1.1, 0.6])


def test_page_and_pictures_appear(folder, results):
    page = report_run(folder, **results)

    assert sorted(path.stem for path in folder.glob("*.png")) == PICTURES
    for name in PICTURES:
        with Image.open(folder / f"{name}.png") as picture:
            assert len(picture.convert("L").getcolors()) > 5, f"{name} is blank"
    html = page.read_text()
    assert "<strong>96.77%</strong> of 124 test images right" in html
    assert "5 test images, evenly spaced in the set" in html
    assert "All 4 mistakes in 124 test images" in html
    assert "zero → two (4)" in html
    assert "Hardest class: zero, 92.6 % right" in html
    assert "A validation line that rises" in html
    assert "where labels are mixed, against the class with the larger share." in html
    assert "each class&#x27;s logit" in html


def test_examined_images_are_named_as_the_caller_names_them(folder, results):
    html = report_run(folder, **results, examined="validation images").read_text()

    assert "of 124 validation images right" in html
    assert "All 4 mistakes in 124 validation images" in html
    assert "test images" not in html


@pytest.mark.parametrize(
    ("changed", "picture"),
    [({"shown": 0}, "predictions"), ({"kernels": None}, "kernels"), ({"feature_maps": {}}, "feature_maps")],
)
def test_what_is_absent_is_left_out(folder, results, changed, picture):
    html = report_run(folder, **{**results, **changed}).read_text()

    assert sorted(re.findall(r'<figure id="(\w+)">', html)) == sorted({*PICTURES} - {picture})


def test_report_of_a_perfect_network(folder, results):
    results["logits"][:4, 2] = 0

    html = report_run(folder, **results).read_text()

    assert "Most frequent" not in html
    assert not (folder / "mistakes.png").exists()


def test_class_names_are_escaped(folder, results):
    html = report_run(folder, **{**results, "class_names": ["<zero>", "$one$", "t&wo"]}).read_text()

    assert "&lt;zero&gt; → t&amp;wo" in html
    assert "<zero>" not in html


def test_names_of_another_number_of_classes(folder, results):
    with pytest.raises(InputError, match="tells 3 classes apart, got the names of 2"):
        report_run(folder, **{**results, "class_names": NAMES[:2]})


def test_confusion_matrix_and_mistakes(results):
    labels, logits = results["labels"], results["logits"]

    counts = confusion_matrix(labels.astype(np.uint8), logits.argmax(axis=-1), 3)
    np.testing.assert_array_equal(counts, [[50, 0, 4], [0, 40, 0], [0, 0, 30]])
    mistakes = find_mistakes(results["images"], labels, logits)
    np.testing.assert_array_equal(mistakes.images, results["images"][[3, 2, 1, 0]])
    assert mistakes.labels.tolist() == [0] * 4
    assert mistakes.predictions.tolist() == [2] * 4
    np.testing.assert_allclose(mistakes.probabilities[0], np.exp(9) / (np.exp(9) + np.exp(5) + 1))
