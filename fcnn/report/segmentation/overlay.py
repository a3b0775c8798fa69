"""A photo with what the network sees in it: coloured classes over it, and their names."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fcnn.errors import InputError
from fcnn.report.segmentation.legend import draw_legend, legend_entries
from fcnn.report.segmentation.palette import class_colours
from fcnn.report.style import DOTS_PER_INCH, INK, NORMAL, WIDTH, crop, new_canvas

_TALLEST = 8.0  # inches
_NARROWEST = 3.0  # inches, so that the legend has room
_MARGIN = 0.12


def draw_overlay(
    image: UInt8[np.ndarray, "height width 3"],
    labels: Integer[np.ndarray, "label_height label_width"],
    class_names: Sequence[str],
    *,
    background: int | None = 0,
    ignore: int | None = 255,
    opacity: float = 0.55,
) -> Figure:
    """Draws a photo, the colours of its classes over it, a thin line around each, and a legend of those that occur.

    The photo keeps its aspect ratio. The background and pixels without a label show the photo alone.

    Args:
        image: the photo.
        labels: the class of each of its pixels.
        class_names: names of the classes.
        background: the class that is not coloured.
        ignore: the number of pixels without a label.
        opacity: of the colours, from 0 to 1.

    Raises:
        InputError: if photo and labels differ in size.
    """
    if labels.shape != image.shape[:2]:
        raise InputError(f"expected a label for each pixel of {image.shape[:2]}, found labels of {labels.shape}")
    rows, columns = labels.shape
    width = min(WIDTH, _TALLEST * columns / rows)
    height = width * rows / columns
    page = max(width, _NARROWEST)
    entries = [
        entry
        for entry in legend_entries([labels], class_names, ignore)
        if entry.number is not None and entry.number != background
    ]
    figure, axes = new_canvas()
    extent = (0.0, width, height, 0.0)
    # Matplotlib takes seconds to shrink the photo of a telephone.
    factor = max(1, columns // round(width * DOTS_PER_INCH))
    axes.imshow(Image.fromarray(image).reduce(factor), extent=extent)
    centres = (np.minimum(np.arange(0, size, factor) + factor // 2, size - 1) for size in labels.shape)
    labels = labels[np.ix_(*centres)].astype(np.int64)
    clear = np.isin(labels, [number for number in (background, ignore) if number is not None])
    alpha = np.where(clear, 0, round(255 * opacity)).astype(np.uint8)
    axes.imshow(np.dstack([class_colours(labels, ignore), alpha]), extent=extent)
    _draw_contours(axes, np.where(clear, -1, labels), extent)
    if entries:
        bottom = draw_legend(axes, entries, left=_MARGIN, top=height + _MARGIN, width=page - 2 * _MARGIN)
    else:
        axes.text(_MARGIN, height + _MARGIN, "no class found", va="top", fontsize=NORMAL, color=INK)
        bottom = height + _MARGIN + 0.2
    crop(figure, axes, bottom, page)
    return figure


def _draw_contours(
    axes: Axes, labels: Integer[np.ndarray, "height width"], extent: tuple[float, float, float, float]
) -> None:
    """Draws a line around each class; -1 is not one."""
    if min(labels.shape) < 2:
        return
    rows, columns = labels.shape
    left, right, bottom, top = extent
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    for number in np.unique(labels[labels >= 0]):
        inside = labels == number
        if not inside.all():
            axes.contour(x, y, inside.astype(np.float32), levels=[0.5], colors="white", linewidths=0.7)
