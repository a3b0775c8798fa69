"""The pictures encode the data: what is drawn is read back from the figures."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from fcnn.report.confusion import class_accuracies, draw_confusion, frequent_confusions
from fcnn.report.curves import draw_curves
from fcnn.report.feature_maps import draw_feature_maps
from fcnn.report.kernels import draw_kernels
from fcnn.report.mistakes import Mistakes, draw_mistakes
from fcnn.report.style import BLUE, VERMILION, diverging_colours, encode_png, image_colours

DIGITS = [str(digit) for digit in range(10)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def count_frames(figure):
    return sum(len(collection.get_paths()) for axes in figure.axes for collection in axes.collections)


def test_curves_show_error_in_percent_and_name_the_last_values():
    metrics = [
        {"epoch": 1, "train_loss": 0.5, "train_top1": 0.80, "test_loss": 0.4, "test_top1": 0.85},
        {"epoch": 2, "train_loss": 0.3, "train_top1": 0.90, "test_loss": 0.25, "test_top1": 0.9917},
    ]
    loss, error = draw_curves(metrics).axes

    assert [tuple(line.get_xdata()) for line in error.lines] == [(1, 2), (1, 2)]
    np.testing.assert_allclose(error.lines[1].get_ydata(), [15, 0.83])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.5, 0.3])
    assert {text.get_text() for text in error.texts} == {"train 10.0 %", "test 0.83 %"}
    assert {text.get_text() for text in loss.texts} == {"train 0.30", "test 0.25"}


def test_labels_of_equal_last_values_do_not_overlap():
    metrics = [{"train_loss": 1.0, "test_loss": 1.0}, {"train_loss": 0.5, "test_loss": 0.5}]
    figure = draw_curves(metrics)
    encode_png(figure)

    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)


def test_curves_of_training_only_with_gaps_and_values_that_are_not_finite():
    figure = draw_curves([{"train_loss": 2.0}, {"train_loss": float("nan")}, {"learning_rate": 0.1}])

    loss, error = figure.axes
    assert len(loss.lines) == 1
    assert len(error.lines) == 0
    encode_png(figure)


@pytest.mark.parametrize(("last", "scale"), [(0.001, "log"), (0.5, "linear"), (0.0, "linear")])
def test_loss_axis_is_logarithmic_where_the_loss_spans_much(last, scale):
    figure = draw_curves([{"train_loss": 1.0}, {"train_loss": last}])

    assert figure.axes[0].get_yscale() == scale


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


def test_frequent_confusions_and_accuracies(confusion):
    confusion[5] = 0

    assert frequent_confusions(confusion, 5) == [(4, 9, 17), (7, 2, 3)]
    accuracies = class_accuracies(confusion)
    assert np.isnan(accuracies[5])
    assert accuracies[4] == pytest.approx(100 / 117)


@pytest.mark.parametrize(
    ("shape", "drawn"), [((5, 5, 1, 6), 6), ((28, 28, 1, 30), 30), ((7, 7, 3, 96), 64), ((3, 3, 2, 1), 1)]
)
def test_number_of_kernels_drawn(shape, drawn):
    figure = draw_kernels(np.random.default_rng(0).normal(size=shape))

    assert count_frames(figure) == drawn


def test_kernel_colours_are_symmetric_about_zero():
    colours = diverging_colours(np.array([-0.5, 0.0, 0.5, np.nan]), limit=1.0)

    np.testing.assert_allclose(colours[0] / 255, to_rgb(VERMILION), atol=0.01)
    np.testing.assert_array_equal(colours[1], 255)
    np.testing.assert_allclose(colours[2] / 255, to_rgb(BLUE), atol=0.01)
    np.testing.assert_array_equal(colours[3], 255)


def test_digits_are_ink_on_paper_and_photographs_stay():
    digit = np.zeros((1, 4, 4, 1), np.uint8)
    digit[0, 1, 1] = 200
    photograph = np.full((1, 4, 4, 3), 90, np.uint8)

    assert image_colours(digit)[0, 1, 1].tolist() == [55, 55, 55]
    assert image_colours(digit)[0, 0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(image_colours(photograph), photograph)


def test_images_of_two_channels_are_drawn_as_their_mean_and_of_more_as_their_first_three():
    random = np.random.default_rng(0)
    two, five = (random.integers(64, 256, (1, 4, 4, channels), np.uint8) for channels in (2, 5))

    expected = two.mean(axis=-1).astype(np.uint8)
    assert all(np.array_equal(image_colours(two)[..., channel], expected) for channel in range(3))
    np.testing.assert_array_equal(image_colours(five), five[..., :3])


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


def test_feature_maps_name_layers_and_say_what_is_left_out():
    random = np.random.default_rng(0)
    feature_maps = {
        "c1": random.normal(size=(28, 28, 6)),
        "c3": random.normal(size=(10, 10, 64)),
        "c5": random.normal(size=(1, 1, 120)),
        "f6": random.normal(size=4096),
        "output": np.log(np.arange(1, 11) / 55),
    }
    figure = draw_feature_maps(np.zeros((28, 28, 1), np.uint8), feature_maps, DIGITS)

    written = texts(figure)
    assert {"input", *feature_maps} <= set(written)
    assert {"16 of 64", "128 of 4096"} <= set(written)
    assert "28 \N{MULTIPLICATION SIGN} 28 \N{MULTIPLICATION SIGN} 6" in written
    assert {"18.2 %", "1.8 %", "\N{MINUS SIGN}4.0"} <= set(written)  # 10/55, 1/55, log(1/55)
    assert len(encode_png(figure)) > 0


def test_output_of_many_classes_shows_the_likeliest():
    logits = np.zeros(100)
    logits[42] = 9.0
    names = [f"class {index}" for index in range(100)]
    figure = draw_feature_maps(np.zeros((8, 8, 3), np.uint8), {"fc": logits}, names)

    assert "class 42" in texts(figure)
    assert "5 of 100" in texts(figure)
