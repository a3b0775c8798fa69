"""The confusion matrix of pixels: what each class's pixels are taken for."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from matplotlib.figure import Figure

from fcnn.report.matrix import draw_matrix, off_diagonal, write_cell
from fcnn.report.style import NORMAL, SMALL

MOST_NUMBERED_CLASSES = 24  # of more classes, the cells are too small for numbers


def draw_pixel_confusion(confusion: Integer[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Figure:
    """Draws each label's pixels as percentages by prediction, without the classes that do not occur.

    Args:
        confusion: number of pixels for each label and prediction.
        class_names: names of the classes; many are named sparsely.
    """
    occurring = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    confusion = confusion[np.ix_(occurring, occurring)]
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    classes = len(shares)
    numbered = classes <= MOST_NUMBERED_CLASSES
    # The strongest colour is for a tenth at least: a good network is not painted as a bad one.
    figure, axes = draw_matrix(shares, [class_names[i] for i in occurring.tolist()], smallest_scale=0.1, grid=numbered)
    if not numbered:
        return figure
    dark = 0.7 * max(0.1, off_diagonal(shares).max(initial=0))
    size = NORMAL if classes <= 16 else SMALL - 1
    for (label, prediction), share in np.ndenumerate(shares):
        right = label == prediction
        if right or share >= 0.005:
            text = f"{100 * share:.0f}" if totals[label] else "none"
            write_cell(axes, label, prediction, text, dark=bool(share > dark and not right), size=size)
    return figure
