"""The colours of classes: the palette of the PASCAL VOC challenges, and mask files that carry it."""

import io

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from fcnn.errors import InputError

_HATCH = np.array([[255, 255, 255], [205, 205, 205]], np.uint8)  # white and light grey: no class has them
_STRIPES = 40  # pairs of stripes across an image


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """Returns the colour of each class number as the PASCAL VOC development kit computes it (`VOClabelcolormap.m`).

    The number's bits go in turn to red, green and blue, and fill each of them from the highest bit down.
    """
    numbers = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((numbers >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


def class_colours(
    labels: Integer[np.ndarray, "height width"], ignore: int | None = 255
) -> UInt8[np.ndarray, "height width 3"]:
    """Returns each pixel's class as its colour, and stripes of white and light grey where a pixel has no label.

    Args:
        labels: class numbers.
        ignore: the number of pixels without a label.
    """
    colours = voc_palette()[labels.astype(np.int64) % 256]
    if ignore is not None:
        rows, columns = np.nonzero(labels == ignore)
        stripe = max(1, round(labels.shape[1] / (2 * _STRIPES)))
        colours[rows, columns] = _HATCH[(rows + columns) // stripe % 2]
    return colours


def encode_mask(labels: Integer[np.ndarray, "height width"]) -> bytes:
    """Returns a PNG file whose pixels are the class numbers, shown in VOC's colours.

    Raises:
        InputError: if a number does not fit into a byte.
    """
    if labels.size and not (labels.min() >= 0 and labels.max() <= 255):
        raise InputError(f"a mask holds class numbers from 0 to 255, found {labels.min()} to {labels.max()}")
    image = Image.fromarray(labels.astype(np.uint8)).convert("L")
    image.putpalette(voc_palette().tobytes())
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    return file.getvalue()
