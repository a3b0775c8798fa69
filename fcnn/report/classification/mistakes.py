"""The images that the network got wrong, with what it took them for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from fcnn.report.grid import LINE, Line, draw_grid
from fcnn.report.style import INK, MUTED, SMALL, VERMILION, shorten

_ROWS = 6
_LONGEST_NAME = 15  # characters


class Mistakes(NamedTuple):
    """Examples that the network got wrong, most confident first."""

    images: UInt8[np.ndarray, "n height width channel"]
    labels: Int[np.ndarray, " n"]
    predictions: Int[np.ndarray, " n"]
    probabilities: Float[np.ndarray, " n"]  # the probability given to the wrong prediction


def count_shown(mistakes: Mistakes, class_names: Sequence[str]) -> int:
    """Returns how many images `draw_mistakes` draws: 60, or fewer where long names need wider columns."""
    return min(len(mistakes.labels), _ROWS * _columns(class_names))


def draw_mistakes(mistakes: Mistakes, class_names: Sequence[str]) -> Figure:
    """Draws the first mistakes in a grid, each captioned with its label, the prediction and its probability."""
    count = count_shown(mistakes, class_names)
    columns = _columns(class_names)
    short = columns == 10
    captions = []
    for index in range(count):
        label = shorten(class_names[int(mistakes.labels[index])], _LONGEST_NAME)
        prediction = shorten(class_names[int(mistakes.predictions[index])], _LONGEST_NAME)
        lines = [(f"{label} → {prediction}", INK)] if short else [(f"{label} →", INK), (prediction, VERMILION)]
        captions.append(
            [
                *(Line(text, colour, SMALL + 0.5) for text, colour in lines),
                Line(f"{100 * mistakes.probabilities[index]:.1f} %", MUTED, SMALL),
            ]
        )
    return draw_grid(
        mistakes.images[:count],
        captions,
        columns=columns,
        gap=0.14 if short else 0.2,
        caption=LINE * (2 if short else 3) + 0.04,
    )


def _columns(class_names: Sequence[str]) -> int:
    return 10 if max(map(len, class_names)) <= 2 else 6
