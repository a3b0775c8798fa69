"""Training batches from photos in files: a random part of each photo, another one in every epoch."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32
from PIL import Image

from fcnn.data.image_files import ImageFiles, decode_image
from fcnn.data.order import Batch, batch_indices, count_batches, prefetch, uniform_numbers

_SCALE = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10
_NUMBERS = 4 * _ATTEMPTS + 1


class FolderLoader(NamedTuple):
    """The training batches of photos, as `Loader`, each photo cut at random and mirrored half of the time.

    Which examples make batch b of epoch e, and how they are cut, is a function of (seed, e, b) alone.

    Attributes:
        files: the examples, such as the `train` of `load_dataset("folder:PATH")`.
        batch_size: examples in a batch.
        seed: of the order and of the cuts.
        size: height and width of the images, in pixels.
    """

    files: ImageFiles
    batch_size: int
    seed: int = 0
    size: int = 224

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch.

        Raises:
            InputError: if the batch size is below 1 or larger than the set.
        """
        return count_batches(len(self.files.labels), self.batch_size)

    def indices(self, epoch: int) -> Int32[np.ndarray, "step batch"]:
        """Returns which examples make each batch of an epoch."""
        return batch_indices(self.seed, epoch, len(self.files.labels), self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from number `start` on, the next ones decoded in the background.

        The images are uint8 [batch, size, size, 3].
        """

        def decode(example):
            def cut(image):
                return random_resized_crop(image, self.size, uniform_numbers(_NUMBERS, self.seed, epoch, int(example)))

            return decode_image(self.files.paths[example], cut)

        def decoded():
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for rows in self.indices(epoch)[start:]:
                    yield {"image": np.stack(list(pool.map(decode, rows))), "label": self.files.labels[rows]}

        return prefetch(decoded())


def random_resized_crop(image: Image.Image, size: int, numbers: Float64[np.ndarray, "41"]) -> Image.Image:
    """Returns a random part of an image, resized, and mirrored half of the time.

    The part has 8 to 100 % of the area and a ratio of width to height from 3:4 to 4:3 (Szegedy et al. 2015, "Going
    Deeper with Convolutions", section 6), drawn as torchvision's `RandomResizedCrop` does.

    Args:
        image: RGB image.
        size: height and width of the result, in pixels.
        numbers: what is random about it, each between 0 and 1.
    """
    left, top, width, height = _random_box(*image.size, numbers[:-1].reshape(_ATTEMPTS, 4))
    image = image.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BILINEAR)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if numbers[-1] < 0.5 else image


def _random_box(image_width, image_height, attempts):
    for area_number, ratio_number, left_number, top_number in attempts.tolist():
        area = image_width * image_height * (_SCALE[0] + (_SCALE[1] - _SCALE[0]) * area_number)
        low, high = map(math.log, _RATIO)
        ratio = math.exp(low + (high - low) * ratio_number)
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= image_width and 0 < height <= image_height:
            left = int(left_number * (image_width - width + 1))
            return left, int(top_number * (image_height - height + 1)), width, height
    # The image is too long for the ratios: the most of its centre that has one of them.
    width = min(image_width, round(image_height * _RATIO[1]))
    height = min(image_height, round(image_width / _RATIO[0]))
    return (image_width - width) // 2, (image_height - height) // 2, width, height
