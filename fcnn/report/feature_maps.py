"""What each layer makes of one example: its feature maps, from the input to the output."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fcnn.report.style import (
    FAINT,
    INK,
    MUTED,
    NORMAL,
    SMALL,
    WIDTH,
    crop,
    diverging_colours,
    image_colours,
    largest_magnitude,
    new_canvas,
    shorten,
)
from fcnn.report.tiles import draw_tiles

FeatureMap = Float[np.ndarray, "_height _width _channel"] | Float[np.ndarray, " _unit"]

# Draws a layer in a task's own way: (axes in inches, top, name, values) -> bottom.
DrawLayer = Callable[[Axes, float, str, FeatureMap], float]

LEFT = 1.15  # inches: layers are named left of it
ROOM = WIDTH - LEFT - 0.05
GAP = 0.08
MOST_MAPS = 16
COLUMNS = 8
_MOST_UNITS = 128
_FEW_UNITS = 10  # their cells are wide enough for numbers
_LAYER_GAP = 0.28


def draw_feature_maps(
    example: UInt8[np.ndarray, "height width channel"],
    feature_maps: Mapping[str, FeatureMap],
    layers: Mapping[str, DrawLayer] = MappingProxyType({}),
) -> Figure:
    """Draws one example and the feature maps of each layer below it.

    Blue is positive, vermilion negative and white 0, on each layer's own scale. At most 16 maps or 128 units of a layer
    are drawn.

    Args:
        example: the image that the network was given.
        feature_maps: the layers' outputs for it, by name, from first to last: maps, or a vector of units.
        layers: what draws a layer in another way, such as the last one with the names of its classes.
    """
    figure, axes = new_canvas()
    name_layer(axes, 0.1, "input", example.shape)
    tiles = draw_tiles(axes, image_colours(example[None]), left=LEFT, top=0.1, width=0.9, columns=1, gap=GAP)
    bottom = tiles.bottom
    for name, values in feature_maps.items():
        draw = layers.get(name, _draw_maps if values.ndim == 3 and values.shape[:2] != (1, 1) else _draw_units)
        bottom = draw(axes, bottom + _LAYER_GAP, name, values)
    crop(figure, axes, bottom + 0.1)
    return figure


def name_layer(axes: Axes, top: float, name: str, shape: tuple[int, ...], note: str = "") -> None:
    """Writes a layer's name, its shape and a note at the left."""
    axes.text(0.05, top, shorten(name, 16), va="top", fontsize=NORMAL, color=INK, weight="bold", parse_math=False)
    axes.text(
        0.05, top + 0.17, " \N{MULTIPLICATION SIGN} ".join(map(str, shape)), va="top", fontsize=SMALL, color=MUTED
    )
    axes.text(0.05, top + 0.31, note, va="top", fontsize=SMALL, color=MUTED)


def limit_note(shown: int, count: int) -> str:
    """Returns how many of a layer's maps are shown, if not all are."""
    return f"{shown} of {count}" if shown < count else ""


def draw_cells(
    axes: Axes,
    values: Float[np.ndarray, " unit"],
    *,
    left: float,
    right: float,
    top: float,
    bottom: float,
    limit: float | None = None,
) -> None:
    """Draws values as a strip of coloured cells; blue at `limit`, which is the largest magnitude unless given."""
    colours = diverging_colours(values, largest_magnitude(values) if limit is None else limit)
    axes.imshow(colours[None], extent=(left, right, bottom, top), interpolation="nearest")
    axes.vlines(np.linspace(left, right, len(values) + 1), top, bottom, color=FAINT, linewidth=0.4)
    axes.hlines([top, bottom], left, right, color=FAINT, linewidth=0.4)


def _draw_maps(axes: Axes, top: float, name: str, values: FeatureMap) -> float:
    shown = np.moveaxis(values[..., :MOST_MAPS], -1, 0)
    name_layer(axes, top, name, values.shape, limit_note(len(shown), values.shape[-1]))
    colours = diverging_colours(shown, largest_magnitude(shown))
    width = ROOM / COLUMNS - GAP
    return draw_tiles(axes, colours, left=LEFT, top=top, width=width, columns=COLUMNS, gap=GAP).bottom


def _draw_units(axes: Axes, top: float, name: str, values: FeatureMap) -> float:
    """Draws a vector as a strip of cells, as wide as it has units; the values of a few are written out."""
    units = values.ravel()[:_MOST_UNITS]
    note = limit_note(len(units), values.size)
    name_layer(axes, top, name, values.shape, note)
    few = len(units) <= _FEW_UNITS
    pitch = (ROOM - GAP) / (_FEW_UNITS if few else _MOST_UNITS)
    draw_cells(axes, units, left=LEFT, right=LEFT + pitch * len(units), top=top, bottom=top + 0.28)
    if few:
        for position, value in enumerate(units):
            colour = "white" if abs(value) > 0.4 * largest_magnitude(units) else INK
            text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
            place = LEFT + pitch * (position + 0.5), top + 0.14
            axes.text(*place, text, ha="center", va="center", fontsize=SMALL, color=colour)
    return top + (0.42 if note else 0.3)
