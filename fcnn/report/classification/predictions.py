"""Some images with what the network takes them for, right or wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from fcnn.report.grid import LINE, Line, draw_grid
from fcnn.report.style import INK, MUTED, SMALL, VERMILION, shorten

_COLUMNS = 6
_GAP = 0.2  # inches
_LONGEST_NAME = 15  # characters


class Predictions(NamedTuple):
    """Examples with what the network gives for them.

    Attributes:
        images: the images.
        labels: their classes.
        logits: what the network gives for them.
    """

    images: UInt8[np.ndarray, "n height width channel"]
    labels: Int[np.ndarray, " n"]
    logits: Float[np.ndarray, "n class"]


def draw_predictions(predictions: Predictions, class_names: Sequence[str]) -> Figure:
    """Draws images in a grid, each captioned with the prediction, its probability, and the true class if it is wrong.

    Args:
        predictions: what to draw.
        class_names: names of the classes.
    """
    images, labels, logits = predictions
    found = logits.argmax(axis=-1)
    probabilities = 1 / np.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1)
    captions = []
    for index in range(len(images)):
        prediction, label = (shorten(class_names[int(i)], _LONGEST_NAME) for i in (found[index], labels[index]))
        right = found[index] == labels[index]
        lines = [(prediction, INK)] if right else [(f"{label} →", INK), (prediction, VERMILION)]
        lines.append((f"{100 * probabilities[index]:.1f} %", MUTED))
        captions.append([Line(text, colour, SMALL + 0.5) for text, colour in lines])
    return draw_grid(images, captions, columns=_COLUMNS, gap=_GAP, caption=3 * LINE)
