"""The learning curves: a panel a metric, on training and held-out examples, an epoch a point."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fcnn.report.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, WIDTH, text_width

_HEIGHT = 2.75  # inches, of a row of panels
_LEFT = 0.455  # of the axes in their panel: room for the numbers beside it
_RIGHT = 0.05  # free at the right of the labels
_LABEL_SIZE = 8.0
_LABEL_GAP = 6  # points between the end of a line and its label
_LABEL_DISTANCE = 11.0  # points between the labels of two lines
# What epochs are measured on. Runs by version 0.1 measured each epoch on the test set.
LINES = ("train", "validation", "test")


class Panel(NamedTuple):
    """One metric over the epochs.

    Attributes:
        title: stands above the panel.
        metric: the rows of `metrics.jsonl` have it as `train_METRIC`, `validation_METRIC` or `test_METRIC`.
        error: whether 1 minus the metric is drawn.
        unit: stands behind the numbers. With "%", the metric is a share and drawn in percent.
        lower_is_better: whether the metric falls as the network learns. A metric of which the error is drawn does not.
    """

    title: str
    metric: str
    error: bool = False
    unit: str = ""
    lower_is_better: bool = False

    @property
    def falls(self) -> bool:
        """Whether the line falls as the network learns."""
        return self.error or self.lower_is_better


LOSS = Panel("Loss", "loss", lower_is_better=True)


def metric_panels(best: str) -> tuple[Panel, ...]:
    """Returns the panels of a task that names only the metric that it is judged by: the loss and that metric.

    Args:
        best: name of the metric, with a minus sign before it if lower is better, such as "-mean_angle_error".
    """
    metric = best.removeprefix("-")
    if metric == LOSS.metric:
        return (LOSS,)
    title = metric.replace("_", " ")
    return LOSS, Panel(title[:1].upper() + title[1:], metric, lower_is_better=best != metric)


def draw_curves(metrics: Sequence[Mapping[str, int | float]], panels: Sequence[Panel]) -> Figure:
    """Draws the panels, two in a row, each line labelled with its last value.

    Args:
        metrics: a row an epoch; without the key `epoch` the rows count from 1.
        panels: the metrics to draw.
    """
    curves = [{name: _points(metrics, name, panel) for name in LINES} for panel in panels]
    curves = [{name: points for name, points in lines.items() if len(points)} for lines in curves]
    labels = [
        {name: f"{name} {_with_unit(points[-1, 1], panel)}" for name, points in lines.items()}
        for lines, panel in zip(curves, panels, strict=True)
    ]
    columns, rows = min(2, len(panels)), math.ceil(len(panels) / 2)
    pitch = WIDTH / columns
    longest = max((text_width(label, _LABEL_SIZE) for texts in labels for label in texts.values()), default=0.0)
    # Lines end, and their labels begin, at about 0.955 of the width: Matplotlib leaves a margin.
    width = min(0.66 * pitch, (pitch - _LEFT - _LABEL_GAP / 72 - longest - _RIGHT) / 0.955)
    figure = Figure(figsize=(WIDTH, _HEIGHT * rows), facecolor="white")
    for index, panel in enumerate(panels):
        left = (index % columns * pitch + _LEFT) / WIDTH
        bottom = (rows - 1 - index // columns + 0.155) / rows
        axes = figure.add_axes((left, bottom, width / WIDTH, 0.735 / rows))
        title = f"{panel.title}, {panel.unit}" if panel.unit else panel.title
        axes.set_title(title, loc="left", fontsize=NORMAL, color=INK, pad=8, parse_math=False)
        _draw(axes, curves[index], labels[index], logarithmic=panel.falls)
    return figure


def lines_of(metrics: Sequence[Mapping[str, int | float]]) -> list[str]:
    """Returns which of "train", "validation" and "test" the rows have metrics of."""
    return [name for name in LINES if any(key.startswith(f"{name}_") for row in metrics for key in row)]


def _points(metrics: Sequence[Mapping[str, int | float]], name: str, panel: Panel) -> np.ndarray:
    key = f"{name}_{panel.metric}"
    points = [(row.get("epoch", index + 1), row[key]) for index, row in enumerate(metrics) if key in row]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    if panel.error:
        array[:, 1] = 1 - array[:, 1]
    if panel.unit == "%":
        array[:, 1] *= 100
    return array[np.isfinite(array[:, 1])]


def _draw(axes: Axes, curves: Mapping[str, np.ndarray], labels: Mapping[str, str], *, logarithmic: bool) -> None:
    colours = _colours(curves)
    for name, points in curves.items():
        marker = "o" if len(points) == 1 else None
        axes.plot(*points.T, color=colours[name], linewidth=1.6, marker=marker, markersize=4, clip_on=False)
    values = np.concatenate([points[:, 1] for points in curves.values()]) if curves else np.ones(1)
    smallest, largest = values.min(), values.max()
    if logarithmic and smallest > 0 and largest / smallest > 8:
        _scale_logarithmically(axes, largest / smallest)
    else:
        axes.set_ylim(bottom=min(0.0, smallest), top=None if largest > 0 else 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    axes.tick_params(labelsize=SMALL, labelcolor=MUTED, color=FAINT, length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    _label_lines(axes, curves, labels)


def _colours(curves: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns grey for training and blue for what is held out; a run has a second such line only if it was resumed."""
    held_out = [name for name in curves if name != "train"]
    return {"train": MUTED, **dict(zip(held_out, (BLUE, INK), strict=False))}


def _scale_logarithmically(axes: Axes, ratio: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _label_lines(axes: Axes, curves: Mapping[str, np.ndarray], labels: Mapping[str, str]) -> None:
    """Names each line at its end, with the last value, pushing labels apart that would overlap."""
    ends = {name: points[-1] for name, points in curves.items()}
    heights = {name: axes.transData.transform(end)[1] * 72 / axes.figure.dpi for name, end in ends.items()}
    places: dict[str, float] = {}
    for name in sorted(heights, key=heights.__getitem__):
        lowest = max(places.values(), default=-math.inf) + _LABEL_DISTANCE
        places[name] = max(heights[name], lowest)
    raised = sum(places[name] - heights[name] for name in places) / max(1, len(places))
    for name, colour in _colours(curves).items():
        if name in ends:
            axes.annotate(
                labels[name],
                ends[name],
                xytext=(_LABEL_GAP, places[name] - heights[name] - raised),
                textcoords="offset points",
                va="center",
                fontsize=_LABEL_SIZE,
                color=colour,
            )


def _with_unit(value: float, panel: Panel) -> str:
    number = _significant(value)
    return f"{number} {panel.unit}" if panel.unit else number


def _significant(value: float) -> str:
    """Returns a value with three digits, and no more than two decimals from 0.1 on."""
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"
