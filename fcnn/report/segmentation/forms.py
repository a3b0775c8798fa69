"""What several networks make of the same images, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib.figure import Figure

from fcnn.errors import InputError
from fcnn.report.segmentation.iou import image_mean_iou
from fcnn.report.segmentation.legend import draw_legend, legend_entries
from fcnn.report.segmentation.palette import class_colours
from fcnn.report.style import INK, MUTED, NORMAL, SMALL, WIDTH, crop, image_colours, new_canvas
from fcnn.report.tiles import draw_tiles

_GAP = 0.08  # inches
_CAPTION = 0.2


def draw_predicted_masks(
    images: UInt8[np.ndarray, "n height width channel"],
    labels: Integer[np.ndarray, "n height width"],
    predictions: Mapping[str, Integer[np.ndarray, "n mask_height mask_width"]],
    class_names: Sequence[str],
    ignore: int | None = 255,
) -> Figure:
    """Draws an image a row: as it is, its truth, and what each network predicts, with the mean IoU of that image.

    Args:
        images: what to draw.
        labels: the class of each pixel.
        predictions: {name of a network: the class of each pixel}.
        class_names: names of the classes; the legend names those that occur.
        ignore: the number of pixels without a label.

    Raises:
        InputError: if a network's predictions are not of the labels' size.
    """
    for name, predicted in predictions.items():
        if predicted.shape != labels.shape:
            raise InputError(
                f"expected predictions of the labels' shape {labels.shape}, found {predicted.shape}: {name}"
            )
    figure, axes = new_canvas()
    entries = legend_entries([mask for masks in (labels, *predictions.values()) for mask in masks], class_names, ignore)
    bottom = draw_legend(axes, entries, left=_GAP / 2, top=0.05, width=WIDTH - _GAP)
    columns = ("image", "truth", *predictions)
    pitch = WIDTH / len(columns)
    for column, heading in enumerate(columns):
        axes.text(pitch * (column + 0.5), bottom + 0.12, heading, ha="center", fontsize=NORMAL, color=MUTED)
    bottom += 0.2
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        masks = [predicted[i] for predicted in predictions.values()]
        row = [
            image_colours(image[None])[0],
            class_colours(label, ignore),
            *(class_colours(mask, None) for mask in masks),
        ]
        tiles = draw_tiles(
            axes, np.stack(row), left=_GAP / 2, top=bottom, width=pitch - _GAP, columns=len(columns), gap=_GAP,
            caption=_CAPTION,
        )  # fmt: skip
        for mask, (left, top) in zip(masks, tiles.corners[2:], strict=True):
            score = image_mean_iou(label, mask, len(class_names), ignore)
            place = left + tiles.width / 2, top + tiles.height + 0.03
            axes.text(*place, f"{100 * score:.0f} %", ha="center", va="top", fontsize=SMALL, color=INK)
        bottom = tiles.bottom
    crop(figure, axes, bottom)
    return figure
