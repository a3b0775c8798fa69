"""The sections that every task's report has: for each picture, one or two sentences on how to read it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8

from fcnn.report.curves import Panel, draw_curves, lines_of
from fcnn.report.feature_maps import DrawLayer, FeatureMap, draw_feature_maps
from fcnn.report.kernels import MOST_KERNELS, draw_kernels
from fcnn.report.page import Section
from fcnn.report.style import encode_png


def curves_section(
    metrics: Sequence[Mapping[str, int | float]], panels: Sequence[Panel], training: str = ""
) -> Section:
    """Returns the learning curves; see `draw_curves`.

    Args:
        metrics: a row an epoch.
        panels: the metrics to draw.
        training: half a sentence that says more of how a task measures its training numbers.
    """
    first, *others = (panel.title if index == 0 else _lower(panel.title) for index, panel in enumerate(panels))
    text = f"{' and '.join([first, *others])} after each epoch, the last value written out."
    lines = lines_of(metrics)
    if "train" in lines:
        text += f" Training numbers are measured on the augmented batches of the epoch, before each update{training}."
    held_out = [line for line in lines if line != "train"]
    if held_out:
        what = "line" if all(panel.falls for panel in panels) else "loss"
        text += f" A {held_out[0]} {what} that rises while the training {what} falls shows overfitting."
    return Section("curves", "Learning curves", text, encode_png(draw_curves(metrics, panels)))


def kernels_section(kernels: Float[np.ndarray, "height width in_channel out_channel"]) -> Section:
    """Returns the kernels of the first layer; see `draw_kernels`."""
    height, width, channels, count = kernels.shape
    shown = f"{MOST_KERNELS} of the {count}" if count > MOST_KERNELS else f"The {count}"
    if channels == 3:
        reading = "each scaled to its own largest weight; grey is zero."
    else:
        reading = "blue where a bright pixel excites, vermilion where it inhibits, white where the weight is zero."
    text = f"{shown} kernels of {height} \N{MULTIPLICATION SIGN} {width} that look at the image first: {reading}"
    return Section("kernels", "First-layer kernels", text, encode_png(draw_kernels(kernels)))


def feature_maps_section(
    example: UInt8[np.ndarray, "height width channel"],
    feature_maps: Mapping[str, FeatureMap],
    layers: Mapping[str, DrawLayer] = MappingProxyType({}),
    reading: str = "",
) -> Section:
    """Returns the feature maps of one example; see `draw_feature_maps`.

    Args:
        example: the image.
        feature_maps: the layers' outputs for it.
        layers: what draws a layer in a task's own way.
        reading: a sentence on how to read those.
    """
    text = (
        "One image on its way through the network, a layer a row: blue is positive, vermilion negative, white zero, "
        f"each layer on its own scale. {reading if layers else ''}"
    ).strip()
    return Section(
        "feature_maps", "Feature maps of one image", text, encode_png(draw_feature_maps(example, feature_maps, layers))
    )


def _lower(title: str) -> str:
    """Returns a title as it stands within a sentence: "Mean error" becomes "mean error", "AP" stays."""
    word = title.split(maxsplit=1)[0]
    return title if word != word.capitalize() else title[:1].lower() + title[1:]
