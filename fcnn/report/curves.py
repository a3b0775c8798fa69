"""The learning curves: loss and error on training and test set, an epoch a point."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fcnn.report.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, WIDTH

_HEIGHT = 2.75  # inches
_LABEL_SIZE = 8.0
_LABEL_DISTANCE = 11.0  # points between the labels of two lines
_LINES = {"train": MUTED, "test": BLUE}


def draw_curves(metrics: Sequence[Mapping[str, int | float]]) -> Figure:
    """Draws the loss and the error over the epochs, each line labelled with its last value.

    Args:
        metrics: a row an epoch, with some of the keys `epoch`, `train_loss`, `train_top1`, `test_loss`, `test_top1`
            (fractions in 0..1); without `epoch` the rows count from 1.
    """
    figure = Figure(figsize=(WIDTH, _HEIGHT), facecolor="white")
    for left, title, key, unit in ((0.065, "Loss", "loss", ""), (0.565, "Error, %", "top1", " %")):
        axes = figure.add_axes((left, 0.155, 0.33, 0.735))
        axes.set_title(title, loc="left", fontsize=NORMAL, color=INK, pad=8)
        curves = {name: _points(metrics, f"{name}_{key}", error=key == "top1") for name in _LINES}
        _draw(axes, {name: points for name, points in curves.items() if len(points)}, unit)
    return figure


def _points(metrics: Sequence[Mapping[str, int | float]], key: str, *, error: bool) -> np.ndarray:
    points = [(row.get("epoch", index + 1), row[key]) for index, row in enumerate(metrics) if key in row]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    if error:
        array[:, 1] = 100 * (1 - array[:, 1])
    return array[np.isfinite(array[:, 1])]


def _draw(axes: Axes, curves: Mapping[str, np.ndarray], unit: str) -> None:
    for name, points in curves.items():
        marker = "o" if len(points) == 1 else None
        axes.plot(*points.T, color=_LINES[name], linewidth=1.6, marker=marker, markersize=4, clip_on=False)
    values = np.concatenate([points[:, 1] for points in curves.values()]) if curves else np.ones(1)
    smallest, largest = values.min(), values.max()
    if smallest > 0 and largest / smallest > 8:
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
    _label_lines(axes, curves, unit)


def _scale_logarithmically(axes: Axes, ratio: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _label_lines(axes: Axes, curves: Mapping[str, np.ndarray], unit: str) -> None:
    """Names each line at its end, with the last value, pushing two labels apart that would overlap."""
    ends = {name: points[-1] for name, points in curves.items()}
    heights = {name: axes.transData.transform(end)[1] * 72 / axes.figure.dpi for name, end in ends.items()}
    ordered = sorted(heights, key=heights.__getitem__)
    shifts = dict.fromkeys(ordered, 0.0)
    if len(ordered) == 2:
        overlap = max(0.0, _LABEL_DISTANCE - (heights[ordered[1]] - heights[ordered[0]]))
        shifts = {ordered[0]: -overlap / 2, ordered[1]: overlap / 2}
    for name, end in ends.items():
        axes.annotate(
            f"{name} {_significant(end[1])}{unit}",
            end,
            xytext=(6, shifts[name]),
            textcoords="offset points",
            va="center",
            fontsize=_LABEL_SIZE,
            color=_LINES[name],
        )


def _significant(value: float) -> str:
    """Returns a loss or percentage with three digits, and no more than two decimals from 0.1 on."""
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"
