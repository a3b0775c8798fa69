"""The legend: which colour is which class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fcnn.report.segmentation.palette import voc_palette
from fcnn.report.style import FAINT, INK, SMALL, shorten, text_width

_SWATCH = 0.13  # inches
_LINE = 0.21
_BETWEEN = 0.2  # two entries of a line
_SIZE = SMALL + 0.5  # points
_LONGEST_NAME = 30  # characters
UNLABELLED = "not labelled"


class Entry(NamedTuple):
    """One class of a legend; its number is None for pixels without a label."""

    number: int | None
    name: str


def legend_entries(
    masks: Sequence[Integer[np.ndarray, "_height _width"]], class_names: Sequence[str], ignore: int | None
) -> list[Entry]:
    """Returns an entry for each class that occurs in one of the masks, that of the most pixels first.

    Args:
        masks: class numbers.
        class_names: names of the classes; a number beyond them is named "class 21".
        ignore: the number of pixels without a label.
    """
    numbers, counts = np.unique(np.concatenate([mask.ravel() for mask in masks]), return_counts=True)
    found = numbers[np.argsort(-counts, kind="stable")].tolist()
    entries = [Entry(number, class_name(number, class_names)) for number in found if number != ignore]
    return entries + [Entry(None, UNLABELLED)] * (ignore in found)


def class_name(number: int, class_names: Sequence[str]) -> str:
    """Returns a class's name, or "class 21" for a number that has none."""
    return class_names[number] if 0 <= number < len(class_names) else f"class {number}"


def draw_legend(axes: Axes, entries: Sequence[Entry], *, left: float, top: float, width: float) -> float:
    """Draws a swatch and a name for each entry, in lines, and returns the bottom.

    Args:
        axes: a canvas in inches.
        entries: what to draw.
        left: in inches.
        top: in inches.
        width: of a line, in inches.
    """
    x, y = left, top
    for entry in entries:
        name = shorten(entry.name, _LONGEST_NAME)
        room = _SWATCH + 0.06 + text_width(name, _SIZE)
        if x > left and x + room > left + width:
            x, y = left, y + _LINE
        draw_swatch(axes, entry.number, left=x, top=y, side=_SWATCH)
        axes.text(
            x + _SWATCH + 0.06, y + _SWATCH / 2, name, va="center_baseline", fontsize=_SIZE, color=INK, parse_math=False
        )
        x += room + _BETWEEN
    return y + _LINE


def draw_swatch(axes: Axes, number: int | None, *, left: float, top: float, side: float) -> None:
    """Draws a small square in a class's colour, striped for pixels without a label."""
    colour = "white" if number is None else tuple(voc_palette()[number % 256] / 255)
    stripes = {"hatch": "/////", "edgecolor": "#bbbbbb"} if number is None else {}
    axes.add_patch(
        Rectangle((left, top), side, side, facecolor=colour, **{"edgecolor": FAINT, "linewidth": 0.5, **stripes})
    )
