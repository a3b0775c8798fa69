"""The sections of a report: for each picture, one or two sentences on how to read it."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from fcnn.report.confusion import MOST_NUMBERED_CLASSES, class_accuracies, draw_confusion, frequent_confusions
from fcnn.report.curves import draw_curves
from fcnn.report.feature_maps import FeatureMap, draw_feature_maps
from fcnn.report.kernels import MOST_KERNELS, draw_kernels
from fcnn.report.mistakes import Mistakes, count_shown, draw_mistakes
from fcnn.report.page import Section
from fcnn.report.predictions import Predictions, draw_predictions
from fcnn.report.style import encode_png


def curves_section(metrics: Sequence[Mapping[str, int | float]]) -> Section:
    """Returns the learning curves; see `draw_curves`."""
    text = "Loss and error after each epoch, the last value written out."
    if any("test_loss" in row or "test_top1" in row for row in metrics):
        text += " A test line that rises while the training line falls shows overfitting."
    return Section("curves", "Learning curves", text, encode_png(draw_curves(metrics)))


def confusion_section(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Section:
    """Returns the confusion matrix; see `draw_confusion`."""
    accuracy = ", with the accuracy of the class" if len(class_names) <= MOST_NUMBERED_CLASSES else ""
    text = (
        f"A row is a true class, a column what the network took it for. Grey cells are right{accuracy}; "
        "the stronger the colour of another cell, the more often the two are confused."
    )
    pairs = [f"{class_names[i]} → {class_names[j]} ({n})" for i, j, n in frequent_confusions(confusion, 5)]
    if pairs:
        accuracies = class_accuracies(confusion)
        hardest = int(np.nanargmin(accuracies))
        text += f" Most frequent: {', '.join(pairs)}."
        text += f" Hardest class: {class_names[hardest]}, {100 * accuracies[hardest]:.1f} % right."
    return Section("confusion", "Confusion matrix", text, encode_png(draw_confusion(confusion, class_names)))


def predictions_section(predictions: Predictions, class_names: Sequence[str]) -> Section:
    """Returns some examples, right or wrong; see `draw_predictions`."""
    text = (
        f"{len(predictions.labels)} test images, evenly spaced in the set, with the prediction and its probability; "
        "where it is wrong, the true class stands before it."
    )
    return Section("predictions", "Predictions", text, encode_png(draw_predictions(predictions, class_names)))


def mistakes_section(
    mistakes: Mistakes, confusion: Int[np.ndarray, "label prediction"] | None, class_names: Sequence[str]
) -> Section:
    """Returns the mistakes; see `draw_mistakes`. The confusion matrix tells how many there are in all."""
    shown = count_shown(mistakes, class_names)
    total = len(mistakes.labels)
    among = ""
    if confusion is not None:
        total = int(confusion.sum() - np.trace(confusion))
        among = f" in {confusion.sum():,} test images"
    which = f"All {total:,} mistakes{among}" if shown == total else f"{shown} of {total:,} mistakes{among}"
    text = (
        f"{which}, the most confident first: true class → prediction, and the probability that the network gave to it."
    )
    return Section("mistakes", "Mistakes", text, encode_png(draw_mistakes(mistakes, class_names)))


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
    digit: UInt8[np.ndarray, "height width channel"],
    feature_maps: Mapping[str, FeatureMap],
    class_names: Sequence[str],
) -> Section:
    """Returns the feature maps of one example; see `draw_feature_maps`."""
    text = (
        "One image on its way through the network, a layer a row: blue is positive, vermilion negative, white zero, "
        "each layer on its own scale. The output shows each class's logit, and below it the probability, from 0.1 % up."
    )
    picture = encode_png(draw_feature_maps(digit, feature_maps, class_names))
    return Section("feature_maps", "Feature maps of one image", text, picture)
