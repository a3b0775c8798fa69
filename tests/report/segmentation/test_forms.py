"""What several networks make of the same images, side by side."""

import io

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import draw_predicted_masks, voc_palette
from fcnn.report.style import encode_png

NAMES = ["ground", "cat", "dog"]


@pytest.fixture
def labels():
    """Returns the truth of two images: a cat of 20x20 pixels on the ground, and ground alone."""
    labels = np.zeros((2, 40, 40), np.int32)
    labels[0, :20, :20] = 1
    return labels


def test_each_network_has_a_column_with_the_mean_iou_of_each_image(labels):
    blurred = labels.copy()
    blurred[0, 10:20, :20] = 0  # half the cat
    images = np.full((2, 40, 40, 1), 200, np.uint8)
    figure = draw_predicted_masks(images, labels, {"coarse": blurred, "fine": labels.copy()}, NAMES)

    texts = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    # (200 / 400 + 1200 / 1400) / 2; a class that is not there is no part of the mean.
    assert texts == ["ground", "cat", "image", "truth", "coarse", "fine", "68 %", "100 %", "100 %", "100 %"]
    pixels = np.asarray(Image.open(io.BytesIO(encode_png(figure))))
    cat = (pixels == voc_palette()[1]).all(axis=-1)
    columns = np.array_split(cat[pixels.shape[0] // 8 :], 4, axis=1)
    image, truth, coarse, fine = (column.sum() for column in columns)
    assert image == 0
    assert truth > 0
    assert fine == pytest.approx(truth, rel=0.02)
    assert coarse == pytest.approx(truth / 2, rel=0.1)


def test_predictions_of_another_size_are_refused(labels):
    images = np.zeros((2, 40, 40, 1), np.uint8)
    message = r"predictions of the labels' shape \(2, 40, 40\), found \(2, 20, 20\): fine"
    with pytest.raises(InputError, match=message):
        draw_predicted_masks(images, labels, {"fine": labels[:, ::2, ::2]}, NAMES)
