"""The evaluation transform of published weights: from an image to the network's input."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from fcnn.errors import InputError
from fcnn.photos import to_rgb
from fcnn.pretrained.facts import PUBLISHED_WEIGHTS, published_weights

# Beyond this ratio of the sides, resizing the shorter one would blow up the longer one to no use.
_MAX_ASPECT_RATIO = 100


@dataclass(frozen=True)
class EvaluationTransform:
    """Resizes the shorter side, cuts out the centre and normalises, pixel for pixel as torchvision does with Pillow.

    Without a crop, the whole image stays.

    The orientation that cameras note in a photo's EXIF data is not applied, as it is not in torchvision: call
    `PIL.ImageOps.exif_transpose` first where it matters.

    Attributes:
        resize: length of the shorter side, in pixels.
        crop: side of the square at the centre, in pixels; None if there is none.
        mean: subtracted from the pixels between 0 and 1, per channel.
        std: the pixels are divided by it, per channel.
    """

    resize: int
    crop: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image | np.ndarray) -> Float32[np.ndarray, "height width 3"]:
        """Returns the network's input.

        Args:
            image: an image of any mode (grey becomes RGB, transparency is dropped, 16 bits become 8), or a uint8 array
                [height, width], [height, width, 1] or [height, width, 3].

        Raises:
            InputError: the array is no image, or the image is empty or extremely long.
        """
        pixels = np.asarray(self.cut(image), np.float32) / np.float32(255)
        return (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)

    def cut(self, image: Image.Image | np.ndarray) -> Image.Image:
        """Returns the part of the image that the network sees, resized, in RGB.

        Args:
            image: as for the call.

        Raises:
            InputError: as for the call.
        """
        image = to_rgb(image)
        width, height = image.size
        short, long = sorted((width, height))
        if short == 0 or long > _MAX_ASPECT_RATIO * short:
            raise InputError(
                f"an image has {width}x{height} pixels, expected at least one and sides up to 1:{_MAX_ASPECT_RATIO}"
            )
        long_resized = int(self.resize * long / short)
        across, down = (self.resize if side == short else long_resized for side in (width, height))
        image = image.resize((across, down), Image.Resampling.BILINEAR)
        if self.crop is None:
            return image
        # torchvision rounds halves to even here.
        left, top = (round((side - self.crop) / 2) for side in image.size)
        return image.crop((left, top, left + self.crop, top + self.crop))


def preprocess(name: str, version: str | None = None, *, path: str | Path | None = None) -> EvaluationTransform:
    """Returns the transform that belongs to a network's published weights.

    Args:
        name: name of the network.
        version: "V1" or "V2"; if None, that of `path`, or the newest, as for `load_pretrained`.
        path: a weight file, whose name may be that of a version.

    Raises:
        InputError: no weights are published for the network, or not in this version.
    """
    named = [w.version for w in PUBLISHED_WEIGHTS if w.network == name and path and w.file_name == Path(path).name]
    weights = published_weights(name, version or next(iter(named), None))
    return EvaluationTransform(weights.resize, weights.crop, weights.mean, weights.std)
