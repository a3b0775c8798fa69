"""Things measured, side by side: groups of bars, each with its value."""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.figure import Figure

from fcnn.report.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, WIDTH, text_width

_ROW = 0.25  # inches
_BETWEEN = 1.6  # rows from a group's last bar to the next one's first
_MARGIN = 0.15  # inches
_GREY = "#b8b8b8"


class Bar(NamedTuple):
    """A length, and what is written beside it."""

    value: float
    text: str


def draw_bars(
    groups: Mapping[str, Mapping[str, Bar]], quantity: str, *, ours: str = "", reference: float | None = None
) -> Figure:
    """Draws groups of horizontal bars from 0, a heading above each group.

    Args:
        groups: {heading: {name: bar}}, at least one.
        quantity: what the lengths are, for the axis.
        ours: bars whose name begins so are blue; all are where it is empty.
        reference: a value at which a line is drawn, such as 1 for ratios.
    """
    place, places, headings = 0.0, [], []
    for heading, bars in groups.items():
        headings.append((place, heading))
        for name, bar in bars.items():
            place += 1
            places.append((place, name, bar))
        place += _BETWEEN
    height = _ROW * (place - _BETWEEN + 1.4) + 0.55
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    left = max(text_width(name, SMALL) for _, name, _ in places) + 2 * _MARGIN
    right = max(text_width(bar.text, SMALL) for _, _, bar in places) + 2 * _MARGIN
    axes = figure.add_axes((left / WIDTH, 0.5 / height, 1 - (left + right) / WIDTH, (height - 0.55) / height))
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    if reference is not None:
        axes.axvline(reference, color=MUTED, linewidth=0.8)
    for at, name, bar in places:
        axes.barh(at, bar.value, height=0.74, color=BLUE if name.startswith(ours) else _GREY, linewidth=0)
        axes.annotate(bar.text, (1, at), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=SMALL, color=INK, annotation_clip=False)  # fmt: skip
    ground = {"facecolor": "white", "linewidth": 0, "pad": 1.5}  # no line of the grid goes through a heading
    for at, heading in headings:
        axes.annotate(heading, (0, at), xycoords=("axes fraction", "data"), va="center", fontsize=NORMAL, color=INK,
                      bbox=ground, annotation_clip=False)  # fmt: skip
    axes.set_yticks([at for at, _, _ in places], [name for _, name, _ in places], fontsize=SMALL, color=INK)
    axes.set_ylim(place - _BETWEEN + 0.7, -0.7)
    axes.set_xlim(0, max(bar.value for _, _, bar in places) or 1.0)
    axes.set_xlabel(quantity, fontsize=SMALL, color=MUTED)
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=MUTED, color=FAINT, length=3)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    return figure
