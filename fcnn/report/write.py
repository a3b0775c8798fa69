"""Writes the report of a run: a page, and its pictures beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure

from fcnn.errors import InputError
from fcnn.files import write_file
from fcnn.report.feature_maps import FeatureMap
from fcnn.report.mistakes import Mistakes
from fcnn.report.page import render_page
from fcnn.report.predictions import Predictions
from fcnn.report.sections import (
    confusion_section,
    curves_section,
    feature_maps_section,
    kernels_section,
    mistakes_section,
    predictions_section,
)
from fcnn.report.style import encode_png

_PICTURES = ("curves", "confusion", "predictions", "mistakes", "kernels", "feature_maps")


def write_report(
    folder: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    metrics: Sequence[Mapping[str, int | float]],
    class_names: Sequence[str],
    confusion: Int[np.ndarray, "label prediction"] | None,
    predictions: Predictions | None,
    mistakes: Mistakes | None,
    kernels: Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None,
    digit: UInt8[np.ndarray, "height width channel"] | None,
    feature_maps: Mapping[str, FeatureMap] | None,
) -> Path:
    """Writes `report.html` and its pictures as PNG files into a folder; what is None or empty is left out.

    Everything is drawn before anything is written, and each file appears whole or not at all.

    Args:
        folder: where to write; made if it does not exist.
        title: the run's name.
        facts: what to know about the run, the most important first: that one is set large.
        metrics: the rows of `metrics.jsonl`.
        class_names: names of the classes.
        confusion: number of test examples for each label and prediction.
        predictions: some test examples, right or wrong.
        mistakes: test examples that the network got wrong, most confident first.
        kernels: the first layer's.
        digit: the example of the feature maps.
        feature_maps: the layers' outputs for `digit`, by name, from first to last.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: if the folder cannot be written.
    """
    sections = []
    if metrics:
        sections.append(curves_section(metrics))
    if confusion is not None and confusion.sum() > 0:
        sections.append(confusion_section(confusion, class_names))
    if predictions is not None and len(predictions.labels):
        sections.append(predictions_section(predictions, class_names))
    if mistakes is not None and len(mistakes.labels):
        sections.append(mistakes_section(mistakes, confusion, class_names))
    if kernels is not None and kernels.size:
        sections.append(kernels_section(kernels))
    if digit is not None and feature_maps:
        sections.append(feature_maps_section(digit, feature_maps, class_names))
    page = render_page(title, facts, sections)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            write_file(folder / f"{section.name}.png", section.picture)
        write_file(folder / "report.html", page)
        for name in set(_PICTURES) - {section.name for section in sections}:
            (folder / f"{name}.png").unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return folder / "report.html"


def save_picture(path: Path, figure: Figure) -> Path:
    """Writes a figure as a PNG file, which appears whole or not at all.

    Args:
        path: of the file.
        figure: what to write.

    Returns:
        The path.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        write_file(path, encode_png(figure))
    except OSError as error:
        raise InputError(f"the picture {path} cannot be written: {error.strerror}") from error
    return path
