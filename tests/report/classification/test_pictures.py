"""The pictures of a classifier's report encode the data: what is drawn is read back from the figures."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from fcnn.report import Predictions
from fcnn.report.classification import Mistakes, draw_confusion, draw_mistakes, draw_predictions
from fcnn.report.classification.output import output_layer
from fcnn.report.feature_maps import draw_feature_maps
from fcnn.report.matrix import diagonal_shares, largest_off_diagonal
from fcnn.report.style import VERMILION, encode_png

DIGITS = [str(digit) for digit in range(10)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def count_frames(figure):
    return sum(len(collection.get_paths()) for axes in figure.axes for collection in axes.collections)


@pytest.fixture
def confusion():
    counts = np.diag(np.full(10, 100))
    counts[4, 9] = 17
    counts[7, 2] = 3
    return counts


def test_confusion_matrix_writes_counts_and_accuracies(confusion):
    figure = draw_confusion(confusion, DIGITS)

    written = texts(figure)
    assert "17" in written
    assert "85.5 %" in written  # 100 / 117
    assert written.count("100.0 %") == 8
    assert "0" not in [text.get_text() for text in figure.axes[0].texts]


def test_confusion_colours_run_over_the_mistakes_alone(confusion):
    colours = draw_confusion(confusion, DIGITS).axes[0].images[0].get_array()

    red, green, blue = colours[0, 0, :3]
    assert red == green == blue < 1
    np.testing.assert_allclose(colours[4, 9, :3], to_rgb(VERMILION), atol=0.01)
    np.testing.assert_allclose(colours[0, 1, :3], 1)
    assert colours[4, 9, 2] < colours[7, 2, 2] < 1


@pytest.mark.parametrize("classes", [100, 1000])
def test_confusion_of_many_classes_has_sparse_names_and_no_numbers(classes):
    counts = np.diag(np.full(classes, 5))
    counts[3, 40] = 9
    figure = draw_confusion(counts, [f"a class with the long name {index}" for index in range(classes)])

    assert len(encode_png(figure)) > 0
    assert not figure.axes[0].texts
    assert 10 <= len(figure.axes[0].get_xticks()) <= 30


def test_largest_off_diagonal_and_accuracies(confusion):
    confusion[5] = 0

    assert largest_off_diagonal(confusion, 5) == [(4, 9, 17), (7, 2, 3)]
    accuracies = diagonal_shares(confusion)
    assert np.isnan(accuracies[5])
    assert accuracies[4] == pytest.approx(100 / 117)


def mistakes(count):
    return Mistakes(
        images=np.zeros((count, 28, 28, 1), np.uint8),
        labels=np.full(count, 4),
        predictions=np.full(count, 9),
        probabilities=np.linspace(0.987, 0.4, count),
    )


def test_mistakes_are_captioned():
    figure = draw_mistakes(mistakes(3), DIGITS)

    assert texts(figure).count("4 → 9") == 3
    assert "98.7 %" in texts(figure)
    assert count_frames(figure) == 3


def test_at_most_60_mistakes_and_fewer_with_long_names():
    assert count_frames(draw_mistakes(mistakes(83), DIGITS)) == 60
    assert count_frames(draw_mistakes(mistakes(83), [f"trouser {digit}" for digit in DIGITS])) == 36


def test_predictions_are_captioned_with_the_true_class_where_they_are_wrong(random):
    images = random.integers(0, 256, (3, 20, 30, 3), np.uint8)
    logits = np.log(np.array([[0.9, 0.1], [0.25, 0.75], [0.4, 0.6]], np.float32))
    figure = draw_predictions(Predictions(images, np.array([0, 1, 0]), logits), ("ants", "bees"))
    captions = [text.get_text() for text in figure.axes[0].texts]
    assert captions == ["ants", "90.0 %", "bees", "75.0 %", "ants →", "bees", "60.0 %"]


def draw_output(logits, names):
    maps = {"c1": np.zeros((4, 4, 2)), "output": logits}
    return draw_feature_maps(np.zeros((8, 8, 3), np.uint8), maps, output_layer(maps, names))


def test_output_is_drawn_with_names_logits_and_probabilities():
    written = texts(draw_output(np.log(np.arange(1, 11) / 55), [f"digit {digit}" for digit in DIGITS]))

    assert {"digit 0", "digit 9"} <= set(written)
    assert {"18.2 %", "1.8 %", "\N{MINUS SIGN}4.0"} <= set(written)  # 10/55, 1/55, log(1/55)


def test_output_of_many_classes_shows_the_likeliest():
    logits = np.zeros(100)
    logits[42] = 9.0
    figure = draw_output(logits, [f"class {index}" for index in range(100)])

    assert "class 42" in texts(figure)
    assert "5 of 100" in texts(figure)


def test_last_layer_that_is_no_score_of_classes_has_no_names():
    assert output_layer({"features": np.zeros(7)}, DIGITS) == {}
    assert output_layer({}, DIGITS) == {}
