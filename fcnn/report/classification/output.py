"""The last layer of a classifier: each class with its logit and its probability."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from fcnn.report.feature_maps import GAP, LEFT, ROOM, DrawLayer, FeatureMap, draw_cells, limit_note, name_layer
from fcnn.report.style import INK, MUTED, SMALL, largest_magnitude, shorten

_MOST_CLASSES = 10
_LIKELIEST_CLASSES = 5  # of more classes: wide cells, for longer names


def output_layer(feature_maps: Mapping[str, FeatureMap], class_names: Sequence[str]) -> dict[str, DrawLayer]:
    """Returns what draws the last layer, if it has a value for each class; see `draw_feature_maps`.

    Args:
        feature_maps: the layers' outputs, from first to last.
        class_names: names of the classes.
    """
    draw = partial(_draw_output, class_names=class_names)
    return {name: draw for name in list(feature_maps)[-1:] if feature_maps[name].size == len(class_names)}


def _draw_output(axes: Axes, top: float, name: str, values: FeatureMap, *, class_names: Sequence[str]) -> float:
    """Draws a cell a class with its logit, the class's name above, its probability below."""
    logits = values.ravel()
    chosen = np.arange(len(logits)) if len(logits) <= _MOST_CLASSES else np.argsort(-logits)[:_LIKELIEST_CLASSES]
    probabilities = _softmax(logits)
    name_layer(axes, top + 0.17, name, logits.shape, limit_note(len(chosen), len(logits)))
    pitch = (ROOM - GAP) / len(chosen)
    right = LEFT + pitch * len(chosen)
    limit = largest_magnitude(logits)
    names = [shorten(class_names[int(index)], round(pitch / 0.05)) for index in chosen]
    name_size = SMALL if max(map(len, names)) < pitch / 0.065 else SMALL - 1.5
    draw_cells(axes, logits[chosen], left=LEFT, right=right, top=top + 0.17, bottom=top + 0.45, limit=limit)
    for position, index in enumerate(chosen):
        centre = LEFT + pitch * (position + 0.5)
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


def _softmax(logits: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    return exponentials / exponentials.sum()
