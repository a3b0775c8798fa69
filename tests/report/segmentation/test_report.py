"""The report of segmentation, from a confusion matrix and images to the page."""

import re

import numpy as np
import pytest

from fcnn.errors import InputError
from fcnn.report import SegmentedImage, report_segmentation

NAMES = ["<ground>", "cat", "dog", "bird", "cow"]
PICTURES = ["curves", "class_iou", "confusion", "examples", "worst", "kernels", "feature_maps"]


@pytest.fixture
def results(random):
    confusion = np.zeros((5, 5), np.int64)
    confusion[:3, :3] = [[70, 0, 0], [4, 12, 4], [0, 0, 10]]
    image = random.integers(64, 256, (16, 24, 3), np.uint8)
    label = random.integers(0, 3, (16, 24))
    good, bad = SegmentedImage(image, label, label), SegmentedImage(image, label, 2 - label)
    return {
        "title": "FCN",
        "facts": {"Network": "FCN-8s"},
        "class_names": NAMES,
        "confusion": confusion,
        "examples": [good, bad],
        "worst": [bad],
        "kernels": random.normal(size=(3, 3, 3, 4)),
        "example": image,
        "feature_maps": {"c1": random.normal(size=(16, 24, 4)), "score": random.normal(size=(16, 24, 5))},
        "examined": "validation images",
    }


@pytest.fixture
def folder(run_folder):
    return run_folder(train_loss=[1.0, 0.5], validation_loss=[1.1, 0.6], validation_mean_iou=[0.3, 0.5])


def figures(html):
    return re.findall(r'<figure id="(\w+)">', html)


def test_page_and_pictures_appear(folder, results):
    html = report_segmentation(folder, **results).read_text()

    assert figures(html) == PICTURES
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(PICTURES)
    # IoU 70/74, 12/20, 10/14: the mean of three classes.
    assert "<strong>75.34%</strong> mean IoU of the validation images" in html
    assert "92.00% of 100 labelled pixels" in html
    assert "No pixel is labelled or predicted as bird or cow: not part of the mean." in html
    assert "Most pixels: cat → &lt;ground&gt; (20.0 % of cat), cat → dog (20.0 % of cat)." in html
    assert "2 validation images, each with its own mean IoU" in html
    assert "Those of the validation images whose own mean IoU is lowest" in html
    assert "Loss and mean IoU after each epoch" in html
    assert "A validation loss that rises" in html
    assert "Striped" not in html
    assert "in bold those that win a pixel" in html
    assert "<ground>" not in html


def test_pixels_without_a_label_are_explained(folder, results):
    shown = results["worst"][0]
    label = shown.label.copy()
    label[0, 0] = 7
    results["worst"] = [shown._replace(label=label)]

    assert report_segmentation(folder, **results, ignore=7).read_text().count("Striped pixels have no label") == 1


@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ({"examples": []}, {"examples"}),
        ({"worst": []}, {"worst"}),
        ({"kernels": None}, {"kernels"}),
        ({"example": None}, {"feature_maps"}),
        ({"confusion": np.zeros((5, 5), np.int64)}, {"class_iou", "confusion"}),
    ],
)
def test_what_is_absent_is_left_out(folder, results, changed, absent):
    html = report_segmentation(folder, **{**results, **changed}).read_text()

    assert figures(html) == [name for name in PICTURES if name not in absent]


def test_names_of_another_number_of_classes(folder, results):
    with pytest.raises(InputError, match="has 5 classes, got the names of 4"):
        report_segmentation(folder, **{**results, "class_names": NAMES[:4]})
    assert not (folder / "report.html").exists()


def test_image_of_another_size_leaves_nothing_behind(folder, results):
    shown = results["worst"][0]
    results["worst"] = [shown._replace(label=shown.label[1:])]

    with pytest.raises(InputError, match="of the image's size"):
        report_segmentation(folder, **results)
    assert list(folder.glob("*.png")) == []
