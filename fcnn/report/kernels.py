"""The kernels of the first layer, drawn as the small images they are compared with."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from fcnn.report.style import WIDTH, crop, diverging_colours, largest_magnitude, new_canvas
from fcnn.report.tiles import draw_tiles

MOST_KERNELS = 64
_MOST_COLUMNS = 10
_FEWEST_COLUMNS = 6  # of more than one row
_GAP = 0.1  # inches
_LARGEST_TILE = 1.0


def draw_kernels(kernels: Float[np.ndarray, "height width in_channel out_channel"]) -> Figure:
    """Draws the first 64 kernels.

    Kernels on RGB are drawn in colour, each scaled to its own largest weight, with 0 as grey. All others are summed
    over their input channels and share one diverging scale: vermilion negative, white 0, blue positive.
    """
    shown = np.moveaxis(kernels[..., :MOST_KERNELS], -1, 0)
    if shown.shape[-1] == 3:
        scales = np.array([largest_magnitude(kernel) or 1.0 for kernel in shown])[:, None, None, None]
        scaled = np.nan_to_num(shown.astype(np.float64)) / scales
        colours = np.round((np.clip(scaled, -1, 1) + 1) * 127.5).astype(np.uint8)
    else:
        summed = shown.sum(axis=-1)
        colours = diverging_colours(summed, largest_magnitude(summed))
    columns = _columns(len(shown))
    width = min(_LARGEST_TILE, (WIDTH - _GAP) / columns - _GAP)
    figure, axes = new_canvas()
    tiles = draw_tiles(axes, colours, left=_GAP / 2, top=_GAP / 2, width=width, columns=columns, gap=_GAP)
    crop(figure, axes, tiles.bottom + _GAP / 2)
    return figure


def _columns(count: int) -> int:
    """Returns the number of columns that fills the last row best, the larger of two equally good ones."""
    if count <= _MOST_COLUMNS:
        return count
    return min(range(_MOST_COLUMNS, _FEWEST_COLUMNS - 1, -1), key=lambda columns: -count % columns)
