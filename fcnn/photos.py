"""Images of any mode as RGB: the one way by which photos come in, for training, evaluation and prediction."""

import numpy as np
from PIL import Image

from fcnn.errors import InputError


def to_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    """Returns an image in RGB: grey is repeated, transparency is dropped, 16-bit values become 8-bit ones.

    Args:
        image: an image of any mode, or a uint8 array [height, width], [height, width, 1] or [height, width, 3].

    Raises:
        InputError: if the array is no image, or the pixels are floating-point.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if image.mode == "F":
        raise InputError("an image has floating-point pixels of unknown range, expected 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow cuts 16-bit grey values off at 255 where they should be scaled.
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
    return image.convert("RGB")


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise InputError(
            f"expected an image as a uint8 array [height, width] or [height, width, 1 or 3], "
            f"found {pixels.dtype} {list(pixels.shape)}"
        )
    if pixels.size == 0:
        raise InputError(f"expected an image of at least one pixel, found the shape {list(pixels.shape)}")
    return Image.fromarray(pixels.squeeze(2) if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
