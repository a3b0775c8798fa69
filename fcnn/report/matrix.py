"""A square matrix of labels and predictions with names on both sides, for every task that has classes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from fcnn.report.style import INK, MUTED, NORMAL, SMALL, VERMILION, WIDTH, shorten

_MOST_NAMES = 30
_LONGEST_NAME = 16  # characters
_NEUTRAL = "#ececec"
_GRID = "#f0f0f0"
_COLOURS = LinearSegmentedColormap.from_list("mistakes", ["white", "#fbdfcb", "#ee9f66", VERMILION])


def diagonal_shares(counts: Int[np.ndarray, "label prediction"]) -> Float[np.ndarray, " label"]:
    """Returns the share of each row that lies on the diagonal; NaN for an empty row."""
    totals = counts.sum(axis=1)
    return np.divide(np.diagonal(counts), totals, out=np.full(len(totals), np.nan), where=totals > 0)


def off_diagonal(values: Num[np.ndarray, "label prediction"]) -> Num[np.ndarray, "label prediction"]:
    """Returns the matrix with zeros on the diagonal."""
    return np.where(np.eye(len(values), dtype=bool), 0, values)


def largest_off_diagonal(counts: Int[np.ndarray, "label prediction"], number: int) -> list[tuple[int, int, int]]:
    """Returns the largest counts off the diagonal as (label, prediction, count), largest first; zeros are left out."""
    mistakes = off_diagonal(counts)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:number]
    labels, predictions = np.unravel_index(order, mistakes.shape)
    triples = [(int(i), int(j), int(mistakes[i, j])) for i, j in zip(labels, predictions, strict=True)]
    return [triple for triple in triples if triple[2] > 0]


def draw_matrix(
    values: Num[np.ndarray, "label prediction"], names: Sequence[str], *, smallest_scale: float, grid: bool
) -> tuple[Figure, Axes]:
    """Draws the matrix as colours, a row a label and a column a prediction, with room for numbers that follow.

    The colour scale runs over the cells off the diagonal alone, as the square root of their value: a small one can be
    seen, and the diagonal, a hundred times larger in a good network, does not drown them.

    Args:
        values: what each cell stands for: counts, or shares of the row.
        names: of the rows and columns; many are named sparsely.
        smallest_scale: the scale ends here, if no value off the diagonal is larger.
        grid: whether cells are separated by lines.
    """
    classes = len(values)
    names = [shorten(name, _LONGEST_NAME) for name in names]
    longest = max(map(len, names))
    margin = 0.5 + 0.065 * longest  # inches, for the names on the left and above
    side = min(WIDTH - margin - 0.1, 6.0)
    height = margin + side + 0.1
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((margin / WIDTH, 0.1 / height, side / WIDTH, side / height))
    mistakes = off_diagonal(values)
    scale = max(smallest_scale, mistakes.max(initial=0))
    colours = _COLOURS(np.sqrt(mistakes / scale)).astype(np.float32)
    colours[_diagonal(classes)] = to_rgba(_NEUTRAL)
    axes.imshow(colours, interpolation="nearest")
    _name_axes(axes, names, rotate=longest > 3)
    if grid:
        edges = np.arange(classes + 1) - 0.5
        axes.vlines(edges, -0.5, classes - 0.5, color=_GRID, linewidth=0.6)
        axes.hlines(edges, -0.5, classes - 0.5, color=_GRID, linewidth=0.6)
    return figure, axes


def write_cell(axes: Axes, label: int, prediction: int, text: str, *, dark: bool, size: float) -> None:
    """Writes a number of this size in points into a cell, in white where the cell is dark."""
    axes.text(prediction, label, text, ha="center", va="center", fontsize=size, color="white" if dark else INK)


def _diagonal(classes: int) -> Bool[np.ndarray, "label prediction"]:
    return np.eye(classes, dtype=bool)


def _name_axes(axes: Axes, names: Sequence[str], *, rotate: bool) -> None:
    ticks = range(0, len(names), -(-len(names) // _MOST_NAMES))
    shown = [names[tick] for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=90 if rotate else 0, parse_math=False)
    axes.set_yticks(ticks, shown, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("prediction", fontsize=NORMAL, color=MUTED, labelpad=6)
    axes.set_ylabel("label", fontsize=NORMAL, color=MUTED, labelpad=6)
    axes.tick_params(which="both", length=0, labelsize=NORMAL if len(names) <= 10 else SMALL, labelcolor=INK)
    axes.spines[:].set_visible(False)
