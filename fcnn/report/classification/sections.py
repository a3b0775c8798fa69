"""The sections of a classifier's report: for each picture, one or two sentences on how to read it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from fcnn.report.classification.confusion import MOST_NUMBERED_CLASSES, draw_confusion
from fcnn.report.classification.mistakes import Mistakes, count_shown, draw_mistakes
from fcnn.report.classification.predictions import Predictions, draw_predictions
from fcnn.report.matrix import diagonal_shares, largest_off_diagonal
from fcnn.report.page import Section
from fcnn.report.style import encode_png


def confusion_section(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Section:
    """Returns the confusion matrix; see `draw_confusion`."""
    accuracy = ", with the accuracy of the class" if len(class_names) <= MOST_NUMBERED_CLASSES else ""
    text = (
        f"A row is a true class, a column what the network took it for. Grey cells are right{accuracy}; "
        "the stronger the colour of another cell, the more often the two are confused."
    )
    pairs = [f"{class_names[i]} → {class_names[j]} ({n})" for i, j, n in largest_off_diagonal(confusion, 5)]
    if pairs:
        accuracies = diagonal_shares(confusion)
        hardest = int(np.nanargmin(accuracies))
        text += f" Most frequent: {', '.join(pairs)}."
        text += f" Hardest class: {class_names[hardest]}, {100 * accuracies[hardest]:.1f} % right."
    return Section("confusion", "Confusion matrix", text, encode_png(draw_confusion(confusion, class_names)))


def predictions_section(predictions: Predictions, class_names: Sequence[str], examined: str) -> Section:
    """Returns some examples, right or wrong; see `draw_predictions`."""
    text = (
        f"{len(predictions.labels)} {examined}, evenly spaced in the set, with the prediction and its probability; "
        "where it is wrong, the true class stands before it."
    )
    return Section("predictions", "Predictions", text, encode_png(draw_predictions(predictions, class_names)))


def mistakes_section(mistakes: Mistakes, total: int, class_names: Sequence[str], examined: str) -> Section:
    """Returns the mistakes among `total` examples; see `draw_mistakes`."""
    shown = count_shown(mistakes, class_names)
    wrong = len(mistakes.labels)
    which = f"All {wrong:,}" if shown == wrong else f"{shown} of {wrong:,}"
    text = (
        f"{which} mistakes in {total:,} {examined}, the most confident first: true class → prediction, and the "
        "probability that the network gave to it."
    )
    return Section("mistakes", "Mistakes", text, encode_png(draw_mistakes(mistakes, class_names)))
