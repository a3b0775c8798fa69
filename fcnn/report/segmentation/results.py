"""From a confusion matrix of pixels and some images, and the run's folder, to a report on segmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer, UInt8

from fcnn.errors import InputError
from fcnn.report.curves import LOSS, Panel
from fcnn.report.feature_maps import FeatureMap
from fcnn.report.page import Section
from fcnn.report.run import report_task
from fcnn.report.segmentation.images import SegmentedImage
from fcnn.report.segmentation.iou import mean_iou
from fcnn.report.segmentation.output import output_layer
from fcnn.report.segmentation.sections import class_iou_section, confusion_section, examples_section, worst_section

PANELS = (LOSS, Panel("Mean IoU", "mean_iou", unit="%"))


def report_segmentation(
    folder: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    class_names: Sequence[str],
    confusion: Integer[np.ndarray, "label prediction"],
    examples: Sequence[SegmentedImage],
    worst: Sequence[SegmentedImage],
    kernels: Float[np.ndarray, "kernel_height kernel_width in_channel out_channel"] | None,
    example: UInt8[np.ndarray, "height width channel"] | None,
    feature_maps: Mapping[str, FeatureMap] | None,
    ignore: int | None = 255,
    examined: str = "test images",
) -> Path:
    """Writes the report on a network that labels pixels into its run's folder; what is None or empty is left out.

    Args:
        folder: the run's folder, with `metrics.jsonl` and `config.json`.
        title: the run's name.
        facts: what to know beside accuracy, duration, command and versions.
        class_names: names of the classes.
        confusion: number of pixels of the whole set for each label and prediction.
        examples: some images of the set.
        worst: those with the lowest mean IoU of their own, worst first; `image_mean_iou` gives it.
        kernels: the first layer's.
        example: the image of the feature maps.
        feature_maps: the layers' outputs for `example`, by name, from first to last.
        ignore: the number of pixels without a label.
        examined: what the images are.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: if the metrics cannot be read, the classes have too few names, sizes differ, or the folder cannot
            be written.
    """
    if len(confusion) != len(class_names):
        raise InputError(f"the confusion matrix has {len(confusion)} classes, got the names of {len(class_names)}")
    confusion = confusion.astype(np.int64)
    accuracy = np.trace(confusion) / max(1, confusion.sum())
    return report_task(
        folder,
        title=title,
        panels=PANELS,
        headline={
            f"mean IoU of the {examined}": f"{mean_iou(confusion):.2%}",
            "Pixel accuracy": f"{accuracy:.2%} of {confusion.sum():,} labelled pixels",
        },
        facts=facts,
        sections=segmentation_sections(class_names, confusion, examples, worst, ignore=ignore, examined=examined),
        kernels=kernels,
        example=example,
        feature_maps=feature_maps,
        layers=output_layer(feature_maps or {}, class_names),
        reading="The last row is the score of each class, in bold those that win a pixel.",
    )


def segmentation_sections(
    class_names: Sequence[str],
    confusion: Integer[np.ndarray, "label prediction"],
    examples: Sequence[SegmentedImage],
    worst: Sequence[SegmentedImage],
    *,
    ignore: int | None = 255,
    examined: str = "test images",
) -> list[Section]:
    """Returns IoU of each class, confusion matrix, examples and the worst images, as far as there are any.

    Args:
        class_names: names of the classes.
        confusion: number of pixels for each label and prediction.
        examples: some images.
        worst: those with the lowest mean IoU of their own, worst first.
        ignore: the number of pixels without a label.
        examined: what the images are.

    Raises:
        InputError: if an image, its labels and its prediction differ in size.
    """
    sections = []
    if confusion.sum() > 0:
        confusion = confusion.astype(np.int64)
        sections += [class_iou_section(confusion, class_names), confusion_section(confusion, class_names)]
    if examples:
        sections.append(examples_section(examples, class_names, examined, ignore))
    if worst:
        sections.append(worst_section(worst, class_names, examined, ignore))
    return sections
