"""The mean and standard deviation of a set's pixels, to normalise by."""

import numpy as np
from jaxtyping import UInt8

from fcnn.errors import InputError

_CHUNK = 1024


def channel_statistics(
    images: UInt8[np.ndarray, "n height width channel"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns each channel's mean and standard deviation over all pixels, in units of 1 = white (pixel / 255).

    A pixel has one of 256 values, so counting them gives the exact integer sums, in the memory of one chunk of images.

    Args:
        images: at least one image.

    Returns:
        The means and the (population) standard deviations, one float a channel.

    Raises:
        InputError: if there is no image, or they are not bytes.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
        raise InputError(
            f"to count pixels takes uint8 images [n, height, width, channel], got {images.dtype} {list(images.shape)}"
        )
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for first in range(0, len(images), _CHUNK):
        chunk = images[first : first + _CHUNK]
        for channel in range(channels):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    pixels = counts.sum(axis=1)
    total, total_of_squares = counts @ values, counts @ values**2
    mean = total / pixels
    # pixels * squares - total ** 2 would overflow int64 on large sets; Python's integers do not.
    variance = [
        (int(n) * int(squares) - int(s) ** 2) / int(n) ** 2
        for n, s, squares in zip(pixels, total, total_of_squares, strict=True)
    ]
    return tuple((mean / 255).tolist()), tuple((np.sqrt(variance) / 255).tolist())
