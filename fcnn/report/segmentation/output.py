"""The last layer of a network that labels pixels: a map of scores for each class."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from fcnn.report.feature_maps import (
    COLUMNS,
    GAP,
    LEFT,
    MOST_MAPS,
    ROOM,
    DrawLayer,
    FeatureMap,
    limit_note,
    name_layer,
)
from fcnn.report.style import INK, SMALL, diverging_colours, largest_magnitude, shorten
from fcnn.report.tiles import draw_tiles

_CAPTION = 0.15  # inches
_LONGEST_NAME = 10  # characters


def output_layer(feature_maps: Mapping[str, FeatureMap], class_names: Sequence[str]) -> dict[str, DrawLayer]:
    """Returns what draws the last layer, if it has a map for each class; see `draw_feature_maps`.

    Args:
        feature_maps: the layers' outputs, from first to last.
        class_names: names of the classes.
    """
    draw = partial(_draw_scores, class_names=class_names)
    last = {name: feature_maps[name].shape for name in list(feature_maps)[-1:]}
    return {name: draw for name, shape in last.items() if len(shape) == 3 and shape[-1] == len(class_names)}


def _draw_scores(axes: Axes, top: float, name: str, values: FeatureMap, *, class_names: Sequence[str]) -> float:
    """Draws a map a class with its name, those first that win the most pixels."""
    classes = values.shape[-1]
    won = np.bincount(values.argmax(axis=-1).ravel(), minlength=classes)
    chosen = np.argsort(-won, kind="stable")[:MOST_MAPS]
    name_layer(axes, top, name, values.shape, limit_note(len(chosen), classes))
    shown = np.moveaxis(values[..., chosen], -1, 0)
    tiles = draw_tiles(
        axes,
        diverging_colours(shown, largest_magnitude(shown)),
        left=LEFT,
        top=top,
        width=ROOM / COLUMNS - GAP,
        columns=COLUMNS,
        gap=GAP,
        caption=_CAPTION,
    )
    for (left, upper), index in zip(tiles.corners, chosen, strict=True):
        axes.text(
            left + tiles.width / 2,
            upper + tiles.height + 0.03,
            shorten(class_names[int(index)], _LONGEST_NAME),
            ha="center",
            va="top",
            fontsize=SMALL - 0.5,
            weight="bold" if won[index] else "normal",
            color=INK,
            parse_math=False,
        )
    return tiles.bottom
