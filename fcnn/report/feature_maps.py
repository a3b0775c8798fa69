"""What each layer makes of one example: its feature maps, from the input to the output."""

from collections.abc import Mapping, Sequence

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

_LEFT = 1.15  # inches: layers are named left of it
_ROOM = WIDTH - _LEFT - 0.05
_COLUMNS = 8
_MOST_MAPS = 16
_MOST_UNITS = 128
_MOST_CLASSES = 10
_LIKELIEST_CLASSES = 5  # of more classes: wide cells, for longer names
_GAP = 0.08
_LAYER_GAP = 0.28


def draw_feature_maps(
    example: UInt8[np.ndarray, "height width channel"],
    feature_maps: Mapping[str, FeatureMap],
    class_names: Sequence[str],
) -> Figure:
    """Draws one example and the feature maps of each layer below it.

    Blue is positive, vermilion negative and white 0, on each layer's own scale. At most 16 maps or 128 units of a layer
    are drawn. A last layer with a value for each class is drawn with names, logits and probabilities.

    Args:
        example: the image that the network was given.
        feature_maps: the layers' outputs for it, by name, from first to last: maps, or a vector of units.
        class_names: names of the classes.
    """
    figure, axes = new_canvas()
    _name_layer(axes, 0.1, "input", example.shape)
    tiles = draw_tiles(axes, image_colours(example[None]), left=_LEFT, top=0.1, width=0.9, columns=1, gap=_GAP)
    bottom = tiles.bottom
    for index, (name, values) in enumerate(feature_maps.items()):
        top = bottom + _LAYER_GAP
        if values.ndim == 3 and values.shape[:2] != (1, 1):
            bottom = _draw_maps(axes, top, name, values)
        elif index == len(feature_maps) - 1 and values.size == len(class_names):
            bottom = _draw_output(axes, top, name, values.ravel(), class_names)
        else:
            bottom = _draw_units(axes, top, name, values)
    crop(figure, axes, bottom + 0.1)
    return figure


def _name_layer(axes: Axes, top: float, name: str, shape: tuple[int, ...], note: str = "") -> None:
    axes.text(0.05, top, shorten(name, 16), va="top", fontsize=NORMAL, color=INK, weight="bold", parse_math=False)
    axes.text(
        0.05, top + 0.17, " \N{MULTIPLICATION SIGN} ".join(map(str, shape)), va="top", fontsize=SMALL, color=MUTED
    )
    axes.text(0.05, top + 0.31, note, va="top", fontsize=SMALL, color=MUTED)


def _limit_note(shown: int, count: int) -> str:
    return f"{shown} of {count}" if shown < count else ""


def _draw_maps(axes: Axes, top: float, name: str, maps: Float[np.ndarray, "height width channel"]) -> float:
    shown = np.moveaxis(maps[..., :_MOST_MAPS], -1, 0)
    _name_layer(axes, top, name, maps.shape, _limit_note(len(shown), maps.shape[-1]))
    colours = diverging_colours(shown, largest_magnitude(shown))
    width = _ROOM / _COLUMNS - _GAP
    return draw_tiles(axes, colours, left=_LEFT, top=top, width=width, columns=_COLUMNS, gap=_GAP).bottom


def _draw_units(axes: Axes, top: float, name: str, values: FeatureMap) -> float:
    """Draws a vector as a strip of cells, as wide as it has units."""
    units = values.ravel()[:_MOST_UNITS]
    note = _limit_note(len(units), values.size)
    _name_layer(axes, top, name, values.shape, note)
    right = _LEFT + (_ROOM - _GAP) * len(units) / _MOST_UNITS
    _draw_cells(axes, units, left=_LEFT, right=right, top=top, bottom=top + 0.28)
    return top + (0.42 if note else 0.3)


def _draw_output(
    axes: Axes, top: float, name: str, logits: Float[np.ndarray, " unit"], class_names: Sequence[str]
) -> float:
    """Draws the last layer: a cell a class with its logit, the class's name above, its probability below."""
    chosen = np.arange(len(logits)) if len(logits) <= _MOST_CLASSES else np.argsort(-logits)[:_LIKELIEST_CLASSES]
    probabilities = _softmax(logits)
    _name_layer(axes, top + 0.17, name, logits.shape, _limit_note(len(chosen), len(logits)))
    pitch = (_ROOM - _GAP) / len(chosen)
    right = _LEFT + pitch * len(chosen)
    limit = largest_magnitude(logits)
    names = [shorten(class_names[index], round(pitch / 0.05)) for index in chosen]
    name_size = SMALL if max(map(len, names)) < pitch / 0.065 else SMALL - 1.5
    _draw_cells(axes, logits[chosen], left=_LEFT, right=right, top=top + 0.17, bottom=top + 0.45, limit=limit)
    for position, index in enumerate(chosen):
        centre = _LEFT + pitch * (position + 0.5)
        likeliest = index == np.argmax(logits)
        style = {"ha": "center", "va": "center", "weight": "bold" if likeliest else "normal", "parse_math": False}
        axes.text(centre, top + 0.06, names[position], fontsize=name_size, color=INK, **style)
        logit_colour = "white" if abs(logits[index]) > 0.4 * limit else INK
        axes.text(
            centre,
            top + 0.31,
            f"{logits[index]:.1f}".replace("-", "\N{MINUS SIGN}"),
            fontsize=SMALL,
            color=logit_colour,
            **style,
        )
        if probabilities[index] >= 0.0005:
            probability = f"{100 * probabilities[index]:.1f} %"
            axes.text(centre, top + 0.55, probability, fontsize=SMALL, color=INK if likeliest else MUTED, **style)
    return top + 0.65


def _draw_cells(
    axes: Axes,
    values: Float[np.ndarray, " unit"],
    *,
    left: float,
    right: float,
    top: float,
    bottom: float,
    limit: float | None = None,
) -> None:
    colours = diverging_colours(values, largest_magnitude(values) if limit is None else limit)
    axes.imshow(colours[None], extent=(left, right, bottom, top), interpolation="nearest")
    axes.vlines(np.linspace(left, right, len(values) + 1), top, bottom, color=FAINT, linewidth=0.4)
    axes.hlines([top, bottom], left, right, color=FAINT, linewidth=0.4)


def _softmax(logits: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    return exponentials / exponentials.sum()
