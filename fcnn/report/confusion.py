"""The confusion matrix: which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from fcnn.report.style import INK, MUTED, NORMAL, SMALL, VERMILION, WIDTH, shorten

MOST_NUMBERED_CLASSES = 20  # of more classes, the cells are too small for numbers
_MOST_NAMES = 30
_LONGEST_NAME = 16  # characters
_NEUTRAL = "#ececec"
_GRID = "#f0f0f0"
_COLOURS = LinearSegmentedColormap.from_list("count of mistakes", ["white", "#fbdfcb", "#ee9f66", VERMILION])


def class_accuracies(confusion: Int[np.ndarray, "label prediction"]) -> Float[np.ndarray, " label"]:
    """Returns the fraction of each class's examples that is classified correctly; NaN for a class without examples."""
    counts = confusion.sum(axis=1)
    return np.divide(np.diagonal(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def frequent_confusions(confusion: Int[np.ndarray, "label prediction"], count: int) -> list[tuple[int, int, int]]:
    """Returns the most frequent mistakes as (label, prediction, count), most frequent first."""
    mistakes = _mistakes(confusion)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    labels, predictions = np.unravel_index(order, mistakes.shape)
    triples = [(int(i), int(j), int(mistakes[i, j])) for i, j in zip(labels, predictions, strict=True)]
    return [triple for triple in triples if triple[2] > 0]


def draw_confusion(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Figure:
    """Draws the confusion matrix, a row a label and a column a prediction.

    The colour scale runs over the mistakes alone, as the square root of their count: a single one can be seen, and the
    diagonal, a hundred times larger in a good network, does not drown them.

    Args:
        confusion: number of test examples for each label and prediction.
        class_names: names of the classes; many are named sparsely.
    """
    classes = len(confusion)
    names = [shorten(name, _LONGEST_NAME) for name in class_names]
    longest = max(map(len, names))
    margin = 0.5 + 0.065 * longest  # inches, for the names on the left and above
    side = min(WIDTH - margin - 0.1, 6.0)
    height = margin + side + 0.1
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((margin / WIDTH, 0.1 / height, side / WIDTH, side / height))
    mistakes = _mistakes(confusion)
    colours = _COLOURS(np.sqrt(mistakes / max(1, mistakes.max(initial=0)))).astype(np.float32)
    colours[np.eye(classes, dtype=bool)] = to_rgba(_NEUTRAL)
    axes.imshow(colours, interpolation="nearest")
    _name_axes(axes, names, rotate=longest > 3)
    if classes <= MOST_NUMBERED_CLASSES:
        _write_counts(axes, confusion)
        edges = np.arange(classes + 1) - 0.5
        axes.vlines(edges, -0.5, classes - 0.5, color=_GRID, linewidth=0.6)
        axes.hlines(edges, -0.5, classes - 0.5, color=_GRID, linewidth=0.6)
    return figure


def _mistakes(confusion: Int[np.ndarray, "label prediction"]) -> Int[np.ndarray, "label prediction"]:
    return confusion - np.diag(np.diagonal(confusion))


def _name_axes(axes: Axes, names: Sequence[str], *, rotate: bool) -> None:
    ticks = np.arange(0, len(names), -(-len(names) // _MOST_NAMES))
    shown = [names[tick] for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=90 if rotate else 0, parse_math=False)
    axes.set_yticks(ticks, shown, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("prediction", fontsize=NORMAL, color=MUTED, labelpad=6)
    axes.set_ylabel("label", fontsize=NORMAL, color=MUTED, labelpad=6)
    axes.tick_params(which="both", length=0, labelsize=NORMAL if len(names) <= 10 else SMALL, labelcolor=INK)
    axes.spines[:].set_visible(False)


def _write_counts(axes: Axes, confusion: Int[np.ndarray, "label prediction"]) -> None:
    """Writes the mistakes' counts, leaving zeros blank, and on the diagonal accuracy and count."""
    size = NORMAL if len(confusion) <= 10 else SMALL - 1.5
    dark = max(2, _mistakes(confusion).max(initial=0)) * 0.7
    accuracies = class_accuracies(confusion)
    for (label, prediction), count in np.ndenumerate(confusion):
        if label != prediction and count:
            colour = "white" if count > dark else INK
            axes.text(prediction, label, f"{count}", ha="center", va="center", fontsize=size, color=colour)
    for label, count in enumerate(np.diagonal(confusion)):
        accuracy = "no" if np.isnan(accuracies[label]) else f"{100 * accuracies[label]:.1f} %"
        axes.text(label, label - 0.02, accuracy, ha="center", va="bottom", fontsize=size - 0.5, color=INK)
        axes.text(label, label + 0.06, f"{count}", ha="center", va="top", fontsize=size - 1.5, color=MUTED)
