"""The test images that the network got wrong, with what it took them for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from fcnn.report.style import INK, MUTED, SMALL, VERMILION, WIDTH, crop, image_colours, new_canvas, shorten
from fcnn.report.tiles import draw_tiles

_ROWS = 6
_LINE = 0.135  # inches, of a caption
_LONGEST_NAME = 15  # characters


class Mistakes(NamedTuple):
    """Test examples that the network got wrong, most confident first."""

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
    pitch = WIDTH / columns
    gap = 0.14 if short else 0.2
    figure, axes = new_canvas()
    tiles = draw_tiles(
        axes,
        image_colours(mistakes.images[:count]),
        left=gap / 2,
        top=gap / 2,
        width=pitch - gap,
        columns=columns,
        gap=gap,
        caption=_LINE * (2 if short else 3) + 0.04,
    )
    for index, (left, top) in enumerate(tiles.corners):
        label = shorten(class_names[mistakes.labels[index]], _LONGEST_NAME)
        prediction = shorten(class_names[mistakes.predictions[index]], _LONGEST_NAME)
        probability = f"{100 * mistakes.probabilities[index]:.1f} %"
        lines = [f"{label} → {prediction}"] if short else [f"{label} →", prediction]
        for number, line in enumerate([*lines, probability]):
            colour = MUTED if line is probability else INK if number == 0 else VERMILION
            axes.text(
                left + tiles.width / 2,
                top + tiles.height + 0.03 + _LINE * number,
                line,
                ha="center",
                va="top",
                fontsize=SMALL if line is probability else SMALL + 0.5,
                color=colour,
                parse_math=False,
            )
    crop(figure, axes, tiles.bottom + gap / 2)
    return figure


def _columns(class_names: Sequence[str]) -> int:
    return 10 if max(map(len, class_names)) <= 2 else 6
