"""Lays many small images out in rows, as one array, which draws far faster than axes for each of them."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from fcnn.report.style import FAINT

_PIXELS_A_TILE = 48  # at least, so that gaps between tiny images can be a fraction of their pixels


class Tiles(NamedTuple):
    """Where `draw_tiles` put its images, in inches."""

    corners: list[tuple[float, float]]  # left and top of each image
    width: float
    height: float
    bottom: float


def draw_tiles(
    axes: Axes,
    images: UInt8[np.ndarray, "n height width 3"],
    *,
    left: float,
    top: float,
    width: float,
    columns: int,
    gap: float,
    caption: float = 0.0,
) -> Tiles:
    """Draws images in rows, as one array with a thin frame around each image.

    Args:
        axes: a canvas in inches.
        images: RGB.
        left: the first image's left side, in inches.
        top: the first image's top, in inches.
        width: an image's width, in inches, up to the rounding of gaps to whole pixels of the array; its height follows.
        columns: images in a row.
        gap: the space between images, in inches.
        caption: room kept free below each image, in inches.
    """
    # Small images keep their pixels; large ones are shrunk, and must not lose lines.
    interpolation = "nearest" if images.shape[2] < _PIXELS_A_TILE else "auto"
    images = _enlarge(images)
    count, height, pixels, _ = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    column_pitch = pixels + max(1, round(gap / width * pixels))
    inch = column_pitch / (width + gap)  # of pixels: exact for the pitch, so that the columns of several calls align
    width = pixels / inch
    row_pitch = height + max(1, round((gap + caption) * inch))
    mosaic = np.full((rows * row_pitch, columns * column_pitch, 4), 255, dtype=np.uint8)
    corners = []
    for index, image in enumerate(images):
        row, column = index // columns * row_pitch, index % columns * column_pitch
        mosaic[row : row + height, column : column + pixels, :3] = image
        corners.append((left + column / inch, top + row / inch))
    extent = (left, left + mosaic.shape[1] / inch, top + mosaic.shape[0] / inch, top)
    axes.imshow(mosaic, extent=extent, interpolation=interpolation)
    frames = [Rectangle(corner, width, height / inch) for corner in corners]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=FAINT, linewidth=0.6))
    bottom = corners[-1][1] + height / inch + caption
    return Tiles(corners, width, height / inch, bottom)


def _enlarge(images: UInt8[np.ndarray, "n height width 3"]) -> UInt8[np.ndarray, "n new_height new_width 3"]:
    factor = math.ceil(_PIXELS_A_TILE / images.shape[2])
    return images.repeat(factor, axis=1).repeat(factor, axis=2)
