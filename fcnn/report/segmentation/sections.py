"""The sections of a report on segmentation: for each picture, one or two sentences on how to read it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from fcnn.report.matrix import largest_off_diagonal
from fcnn.report.page import Section
from fcnn.report.segmentation.confusion import MOST_NUMBERED_CLASSES, draw_pixel_confusion
from fcnn.report.segmentation.images import SegmentedImage, draw_segmented_images
from fcnn.report.segmentation.iou import class_iou, draw_class_iou, mean_iou
from fcnn.report.style import encode_png


def class_iou_section(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Section:
    """Returns the IoU of each class; see `draw_class_iou`."""
    values = class_iou(confusion)
    text = (
        "Intersection over union of each class: the pixels that are both labelled and predicted as it, as a share of "
        f"those that are either. The line is the mean, {100 * mean_iou(confusion):.1f} %."
    )
    absent = [class_names[index] for index in np.flatnonzero(np.isnan(values)).tolist()]
    if absent:
        text += f" No pixel is labelled or predicted as {_listed(absent)}: not part of the mean."
    return Section("class_iou", "IoU of each class", text, encode_png(draw_class_iou(confusion, class_names)))


def confusion_section(confusion: Int[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Section:
    """Returns the confusion matrix of pixels; see `draw_pixel_confusion`."""
    numbers = ", in percent of the row's pixels" if len(class_names) <= MOST_NUMBERED_CLASSES else ""
    text = (
        f"A row is the class of a pixel, a column what the network took it for{numbers}. Grey cells are right; the "
        "stronger the colour of another cell, the larger its share of the row."
    )
    totals = confusion.sum(axis=1)
    pairs = [
        f"{class_names[i]} → {class_names[j]} ({100 * count / totals[i]:.1f} % of {class_names[i]})"
        for i, j, count in largest_off_diagonal(confusion, 5)
    ]
    if pairs:
        text += f" Most pixels: {', '.join(pairs)}."
    picture = encode_png(draw_pixel_confusion(confusion, class_names))
    return Section("confusion", "Confusion matrix", text, picture)


def examples_section(
    examples: Sequence[SegmentedImage], class_names: Sequence[str], examined: str, ignore: int | None
) -> Section:
    """Returns some images with truth and prediction; see `draw_segmented_images`."""
    text = (
        f"{len(examples)} {examined}, each with its own mean IoU and the share of its pixels that are wrong."
        f"{_striped(examples, ignore)}"
    )
    picture = encode_png(draw_segmented_images(examples, class_names, ignore))
    return Section("examples", "Predictions", text, picture)


def worst_section(
    worst: Sequence[SegmentedImage], class_names: Sequence[str], examined: str, ignore: int | None
) -> Section:
    """Returns the worst images; see `draw_segmented_images`."""
    text = f"Those of the {examined} whose own mean IoU is lowest, the worst first.{_striped(worst, ignore)}"
    return Section("worst", "Worst images", text, encode_png(draw_segmented_images(worst, class_names, ignore)))


def _striped(images: Sequence[SegmentedImage], ignore: int | None) -> str:
    if any((shown.label == ignore).any() for shown in images):
        return " Striped pixels have no label and do not count."
    return ""


def _listed(names: Sequence[str]) -> str:
    """Returns "a", "a or b", "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
