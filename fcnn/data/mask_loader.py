"""Training batches from photos and masks in files: a random part of each at a random size, another one every epoch."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt8
from PIL import Image

from fcnn.data.image_files import decode_image
from fcnn.data.mask_evaluation import resized
from fcnn.data.mask_files import IGNORE, MEAN_COLOUR, MaskFiles, read_mask, resize_mask
from fcnn.data.order import Batch, batch_indices, count_batches, prefetch, uniform_numbers

_SCALES = (0.5, 2.0)
_NUMBERS = 4


class MaskLoader(NamedTuple):
    """The training batches of photos and masks, as `Loader`, by the recipe of torchvision's segmentation reference.

    The shorter side is resized to a random length from 0.5 to 2 times `base_size`, the photo mirrored half of the time,
    and a random square of `size` cut out. Which examples make batch b of epoch e is a function of (seed, e, b) alone,
    and how one of them is cut of (seed, e, example).

    Attributes:
        files: the examples, such as the `train` of `load_dataset("voc2012_segmentation", ...)`.
        batch_size: examples in a batch.
        seed: of the order and of the cuts.
        size: height and width of the images, in pixels.
        base_size: the shorter side that the random sizes are around, in pixels.
    """

    files: MaskFiles
    batch_size: int
    seed: int = 0
    size: int = 480
    base_size: int = 520

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch.

        Raises:
            InputError: if the batch size is below 1 or larger than the set.
        """
        return count_batches(len(self.files.sizes), self.batch_size)

    def indices(self, epoch: int) -> Int32[np.ndarray, "step batch"]:
        """Returns which examples make each batch of an epoch."""
        return batch_indices(self.seed, epoch, len(self.files.sizes), self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of an epoch from number `start` on, the next ones decoded in the background.

        A batch has "image" uint8 [batch, size, size, 3] and "label" uint8 [batch, size, size].
        """

        def read(example):
            numbers = uniform_numbers(_NUMBERS, self.seed, epoch, example)
            height, width = self.files.sizes[example].tolist()
            cut = random_cut(height, width, self.size, self.base_size, numbers)
            image = decode_image(self.files.image_paths[example], lambda photo: cut_image(photo, cut, self.size))
            return image, cut_mask(read_mask(self.files.mask_paths[example]), cut, self.size)

        def decoded():
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for rows in self.indices(epoch)[start:]:
                    images, labels = zip(*pool.map(read, rows.tolist()), strict=True)
                    yield {"image": np.stack(images), "label": np.stack(labels)}

        return prefetch(decoded())


class Cut(NamedTuple):
    """A part of a resized image.

    Attributes:
        height: of the image once resized, in pixels.
        width: likewise.
        top: first row of the part.
        left: first column of the part.
        mirrored: whether left and right of the part are exchanged.
    """

    height: int
    width: int
    top: int
    left: int
    mirrored: bool


def random_cut(height: int, width: int, size: int, base_size: int, numbers: Float64[np.ndarray, "4"]) -> Cut:
    """Returns how an example is cut, as torchvision's reference draws it (references/segmentation/presets.py).

    Args:
        height: of the photo, in pixels.
        width: likewise.
        size: height and width of the part; a resized photo that is smaller will be padded.
        base_size: the shorter side is a whole number from 0.5 to 2 times this, all equally likely.
        numbers: what is random about it, each from 0 to below 1.
    """
    low, high = (int(scale * base_size) for scale in _SCALES)
    height, width = resized(height, width, low + int(numbers[0] * (high - low + 1)))
    top = int(numbers[1] * (max(height - size, 0) + 1))
    left = int(numbers[2] * (max(width - size, 0) + 1))
    return Cut(height, width, top, left, bool(numbers[3] < 0.5))


def cut_image(photo: Image.Image, cut: Cut, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Returns the part of an RGB photo, resized by antialiased bilinear interpolation, padded by ImageNet's mean.

    Where the resized photo is smaller than the part, the padding is at the right and at the bottom. It is made in
    pixels, as the mean colour, so that it is about 0 after normalisation, which is what torchvision pads with.
    """
    bottom, right = min(cut.top + size, cut.height), min(cut.left + size, cut.width)
    down, across = photo.height / cut.height, photo.width / cut.width
    # Only the part is computed; the box does not keep the interpolation from looking beyond it.
    part = photo.resize(
        (right - cut.left, bottom - cut.top),
        Image.Resampling.BILINEAR,
        box=(cut.left * across, cut.top * down, right * across, bottom * down),
    )
    image = np.empty((size, size, 3), np.uint8)
    image[:] = MEAN_COLOUR
    pixels = np.asarray(part)
    image[: part.height, : part.width] = pixels[:, ::-1] if cut.mirrored else pixels
    return image


def cut_mask(labels: UInt8[np.ndarray, "height width"], cut: Cut, size: int) -> UInt8[np.ndarray, "{size} {size}"]:
    """Returns the same part of a mask: each pixel has the label of the one it lies on, and padding is ignored."""
    whole = resize_mask(labels, cut.height, cut.width)
    found = whole[cut.top : cut.top + size, cut.left : cut.left + size]
    part = np.full((size, size), IGNORE, np.uint8)
    part[: found.shape[0], : found.shape[1]] = found[:, ::-1] if cut.mirrored else found
    return part
