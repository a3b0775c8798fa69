"""Images beside their labels, what the network predicts for them, and where it is wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fcnn.errors import InputError
from fcnn.report.segmentation.iou import mean_iou, pixel_confusion
from fcnn.report.segmentation.legend import draw_legend, legend_entries
from fcnn.report.segmentation.palette import class_colours
from fcnn.report.style import INK, MUTED, NORMAL, SMALL, VERMILION, WIDTH, crop, image_colours, new_canvas
from fcnn.report.tiles import draw_tiles

_COLUMNS = ("image", "truth", "prediction", "wrong pixels")
_GAP = 0.1  # inches
_TOP = 0.25
_CAPTION = 0.06  # between an image and what is written below it
_BETWEEN = 0.12  # two rows


class SegmentedImage(NamedTuple):
    """An image, the class of each of its pixels, and what the network takes them for."""

    image: UInt8[np.ndarray, "height width channel"]
    label: Integer[np.ndarray, "height width"]
    prediction: Integer[np.ndarray, "height width"]


def draw_segmented_images(
    images: Sequence[SegmentedImage], class_names: Sequence[str], ignore: int | None = 255
) -> Figure:
    """Draws an image a row, of any sizes: as it is, its truth, the prediction, and the wrong pixels in vermilion.

    Args:
        images: what to draw.
        class_names: names of the classes; a legend below each image names those that occur in it.
        ignore: the number of pixels without a label; striped, and neither right nor wrong.

    Raises:
        InputError: if an image, its labels and its prediction differ in size.
    """
    figure, axes = new_canvas()
    pitch = WIDTH / len(_COLUMNS)
    for column, heading in enumerate(_COLUMNS):
        axes.text(pitch * (column + 0.5), 0.17, heading, ha="center", fontsize=NORMAL, color=MUTED)
    bottom = _TOP
    for shown in images:
        tiles = draw_tiles(
            axes,
            _row(shown, ignore),
            left=_GAP / 2,
            top=bottom,
            width=pitch - _GAP,
            columns=len(_COLUMNS),
            gap=_GAP,
        )
        confusion = pixel_confusion(shown.label, shown.prediction, _num_classes(shown, class_names, ignore), ignore)
        wrong = 1 - np.trace(confusion) / max(1, confusion.sum())
        for column, text in ((2, f"mean IoU {100 * mean_iou(confusion):.1f} %"), (3, f"{100 * wrong:.1f} %")):
            left, top = tiles.corners[column]
            place = left + tiles.width / 2, top + tiles.height + _CAPTION
            axes.text(*place, text, ha="center", va="top", fontsize=SMALL + 0.5, color=INK)
        # A legend for each image: few colours can be told apart, and few classes are in one image.
        entries = legend_entries([shown.label, shown.prediction], class_names, ignore)
        below = tiles.bottom + _CAPTION
        bottom = draw_legend(axes, entries, left=_GAP / 2, top=below, width=2 * pitch - _GAP) + _BETWEEN
    crop(figure, axes, bottom - _BETWEEN + 0.05)
    return figure


def _row(shown: SegmentedImage, ignore: int | None) -> UInt8[np.ndarray, "4 height width 3"]:
    image, label, prediction = shown
    if not image.shape[:2] == label.shape == prediction.shape:
        raise InputError(
            f"expected labels and prediction of the image's size {image.shape[:2]}, found {label.shape} and "
            f"{prediction.shape}"
        )
    colours = image_colours(image[None])[0]
    wrong = label != prediction
    if ignore is not None:
        wrong &= label != ignore
    faded = 255 - (255 - colours.mean(axis=-1, keepdims=True)) * 0.35
    vermilion = 255 * np.array(to_rgb(VERMILION))
    where = np.where(wrong[..., None], vermilion, faded).round().astype(np.uint8)
    return np.stack([colours, class_colours(label, ignore), class_colours(prediction, None), where])


def _num_classes(shown: SegmentedImage, class_names: Sequence[str], ignore: int | None) -> int:
    """Returns the number of classes, more than the names if a number is beyond them."""
    labels = shown.label if ignore is None else shown.label[shown.label != ignore]
    return max(len(class_names), int(labels.max(initial=0)) + 1, int(shown.prediction.max(initial=0)) + 1)
