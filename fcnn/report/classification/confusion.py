"""The confusion matrix: which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fcnn.report.matrix import diagonal_shares, draw_matrix, off_diagonal, write_cell
from fcnn.report.style import INK, MUTED, NORMAL, SMALL

MOST_NUMBERED_CLASSES = 20  # of more classes, the cells are too small for numbers


def draw_confusion(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Figure:
    """Draws the confusion matrix with the counts of mistakes, and each class's accuracy and count on the diagonal.

    Args:
        confusion: number of examples for each label and prediction.
        class_names: names of the classes; many are named sparsely.
    """
    numbered = len(confusion) <= MOST_NUMBERED_CLASSES
    figure, axes = draw_matrix(confusion, class_names, smallest_scale=1, grid=numbered)
    if numbered:
        _write_counts(axes, confusion)
    return figure


def _write_counts(axes: Axes, confusion: Int[np.ndarray, "label prediction"]) -> None:
    """Writes the mistakes' counts, leaving zeros blank, and on the diagonal accuracy and count."""
    size = NORMAL if len(confusion) <= 10 else SMALL - 1.5
    dark = max(2, off_diagonal(confusion).max(initial=0)) * 0.7
    accuracies = diagonal_shares(confusion)
    for (label, prediction), count in np.ndenumerate(confusion):
        if label != prediction and count:
            write_cell(axes, label, prediction, f"{count}", dark=bool(count > dark), size=size)
    for label, count in enumerate(np.diagonal(confusion)):
        accuracy = "no" if np.isnan(accuracies[label]) else f"{100 * accuracies[label]:.1f} %"
        axes.text(label, label - 0.02, accuracy, ha="center", va="bottom", fontsize=size - 0.5, color=INK)
        axes.text(label, label + 0.06, f"{count}", ha="center", va="top", fontsize=size - 1.5, color=MUTED)
