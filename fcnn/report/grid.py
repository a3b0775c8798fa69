"""Images in a grid, each with a caption of a few lines."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from fcnn.report.style import WIDTH, crop, image_colours, new_canvas
from fcnn.report.tiles import draw_tiles

LINE = 0.135  # inches, of a caption


class Line(NamedTuple):
    """One line of a caption."""

    text: str
    colour: str
    size: float  # points


def draw_grid(
    images: UInt8[np.ndarray, "n height width channel"],
    captions: Sequence[Sequence[Line]],
    *,
    columns: int,
    gap: float,
    caption: float,
) -> Figure:
    """Draws images with the lines of their captions below them.

    Args:
        images: the images.
        captions: lines for each of them.
        columns: images in a row.
        gap: between two images, in inches.
        caption: room for the lines, in inches.
    """
    figure, axes = new_canvas()
    tiles = draw_tiles(
        axes,
        image_colours(images),
        left=gap / 2,
        top=gap / 2,
        width=WIDTH / columns - gap,
        columns=columns,
        gap=gap,
        caption=caption,
    )
    for (left, top), lines in zip(tiles.corners, captions, strict=True):
        for number, line in enumerate(lines):
            axes.text(
                left + tiles.width / 2,
                top + tiles.height + 0.03 + LINE * number,
                line.text,
                ha="center",
                va="top",
                fontsize=line.size,
                color=line.colour,
                parse_math=False,
            )
    crop(figure, axes, tiles.bottom + gap / 2)
    return figure
