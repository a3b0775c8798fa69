"""Learning curves: what is drawn is read back from the figures."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fcnn.report.classification import PANELS
from fcnn.report.curves import LOSS, Panel, draw_curves, metric_panels
from fcnn.report.sections import curves_section
from fcnn.report.style import BLUE, INK, MUTED, encode_png


def rows(held_out, count=2):
    return [
        {"epoch": e, "train_loss": 0.5 / e, "train_top1": 0.8, f"{held_out}_loss": 0.4 / e, f"{held_out}_top1": 0.85}
        for e in range(1, count + 1)
    ]


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_curves_show_error_in_percent_and_name_the_last_values(held_out):
    metrics = [
        {"epoch": 1, "train_loss": 0.5, "train_top1": 0.80, f"{held_out}_loss": 0.4, f"{held_out}_top1": 0.85},
        {"epoch": 2, "train_loss": 0.3, "train_top1": 0.90, f"{held_out}_loss": 0.25, f"{held_out}_top1": 0.9917},
    ]
    loss, error = draw_curves(metrics, PANELS).axes

    assert [axes.get_title(loc="left") for axes in (loss, error)] == ["Loss", "Error, %"]
    assert [tuple(line.get_xdata()) for line in error.lines] == [(1, 2), (1, 2)]
    assert [to_hex(line.get_color()) for line in error.lines] == [MUTED, BLUE]
    np.testing.assert_allclose(error.lines[1].get_ydata(), [15, 0.83])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.5, 0.3])
    assert {text.get_text() for text in error.texts} == {"train 10.0 %", f"{held_out} 0.83 %"}
    assert {text.get_text() for text in loss.texts} == {"train 0.30", f"{held_out} 0.25"}


def test_run_that_was_resumed_by_a_later_version_shows_test_and_validation_apart():
    metrics = [{"train_loss": 1.0, "test_loss": 1.1}, {"train_loss": 0.5, "validation_loss": 0.6}]
    (axes,) = draw_curves(metrics, [LOSS]).axes

    assert [to_hex(line.get_color()) for line in axes.lines] == [MUTED, BLUE, INK]
    assert {text.get_text() for text in axes.texts} == {"train 0.50", "validation 0.60", "test 1.10"}
    assert [tuple(line.get_xdata()) for line in axes.lines] == [(1, 2), (2,), (1,)]


@pytest.mark.parametrize("lines", [("train", "validation"), ("train", "validation", "test")])
def test_labels_of_equal_last_values_do_not_overlap(lines):
    metrics = [{f"{line}_loss": value for line in lines} for value in (1.0, 0.5)]
    figure = draw_curves(metrics, [LOSS])
    encode_png(figure)

    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(lines)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@pytest.mark.parametrize("held_out", ["validation", "test"])
@pytest.mark.parametrize("panels", [PANELS, (LOSS,), (LOSS, *PANELS)])
def test_labels_stay_in_their_panel(panels, held_out):
    figure = draw_curves(rows(held_out, count=20), panels)
    encode_png(figure)

    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    columns = min(2, len(panels))
    assert len(figure.axes) == len(panels)
    assert len(boxes) == 2 * len(panels)
    for index, box in enumerate(boxes):
        right = (index // 2 % columns + 1) / columns * figure.bbox.width
        assert box.x1 < right


def test_curves_of_training_only_with_gaps_and_values_that_are_not_finite():
    figure = draw_curves([{"train_loss": 2.0}, {"train_loss": float("nan")}, {"learning_rate": 0.1}], PANELS)

    loss, error = figure.axes
    assert len(loss.lines) == 1
    assert len(error.lines) == 0
    encode_png(figure)


@pytest.mark.parametrize(("last", "scale"), [(0.001, "log"), (0.5, "linear"), (0.0, "linear")])
def test_loss_axis_is_logarithmic_where_the_loss_spans_much(last, scale):
    figure = draw_curves([{"train_loss": 1.0}, {"train_loss": last}], [LOSS])

    assert figure.axes[0].get_yscale() == scale


def test_axis_of_a_metric_that_rises_begins_at_zero():
    metrics = [{"validation_mean_iou": 0.02}, {"validation_mean_iou": 0.61}]
    (axes,) = draw_curves(metrics, [Panel("Mean IoU", "mean_iou", unit="%")]).axes

    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 61])
    assert axes.get_title(loc="left") == "Mean IoU, %"
    assert axes.texts[0].get_text() == "validation 61.0 %"


def test_panels_of_a_task_that_names_its_best_metric_only():
    assert metric_panels("-loss") == (LOSS,)
    assert metric_panels("mean_average_precision") == (LOSS, Panel("Mean average precision", "mean_average_precision"))
    assert metric_panels("-angle") == (LOSS, Panel("Angle", "angle", lower_is_better=True))


def test_text_says_what_is_shown():
    training = "on the augmented batches of the epoch, before each update"

    both = curves_section(rows("validation"), PANELS, "; mixed").text
    assert both.startswith("Loss and error after each epoch")
    assert f"{training}; mixed." in both
    assert "A validation line that rises while the training line falls" in both
    assert "A test line that rises" in curves_section(rows("test"), PANELS).text
    rising = curves_section(rows("validation"), (LOSS, Panel("Mean IoU", "top1"))).text
    assert rising.startswith("Loss and mean IoU after")
    assert "A validation loss that rises while the training loss falls" in rising
    assert "overfitting" not in curves_section([{"train_loss": 1.0}], [LOSS]).text
    assert training not in curves_section([{"validation_loss": 1.0}], [LOSS]).text
