"""Photos and masks to evaluate on, whole: each once, padded to a few sizes so that little is compiled."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, UInt8
from PIL import Image

from fcnn.data.image_files import decode_image
from fcnn.data.mask_files import IGNORE, MEAN_COLOUR, MaskFiles, read_mask, resize_mask
from fcnn.data.order import Batch, prefetch
from fcnn.errors import InputError


class MaskEvaluation(NamedTuple):
    """An evaluation set of whole photos with a label for every pixel; see `fcnn.arrays.EvaluationBatches`.

    A photo is padded at the right and at the bottom, by ImageNet's mean colour, which is about 0 once normalised, and
    its mask by 255, which does not count. A network sees the padding near those two borders; `bucket=1` with
    `max_shapes=None` pads nothing, at the price of a compilation for each size of photo.

    Attributes:
        files: the examples.
        resize: the shorter side in pixels, the photo by antialiased bilinear interpolation and the mask by nearest
            neighbours, as torchvision measures its published networks (520). The figures are then of the resized
            masks. None leaves each example at its own size, as VOC's server measures.
        bucket: heights and widths are padded to multiples of this.
        max_shapes: at most so many (height, width): beyond, those whose union adds the fewest pixels are padded to one.
    """

    files: MaskFiles
    resize: int | None = None
    bucket: int = 32
    max_shapes: int | None = 8

    def shapes(self) -> Int32[np.ndarray, "n 2"]:
        """Returns the height and width to which each example is padded.

        Raises:
            InputError: if `resize`, `bucket` or `max_shapes` is below 1.
        """
        for name in ("resize", "bucket", "max_shapes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"expected {name} of at least 1, got {value}")
        sizes = np.array([resized(height, width, self.resize) for height, width in self.files.sizes.tolist()], np.int32)
        return _few_shapes(-(-sizes // self.bucket) * self.bucket, self.max_shapes)

    def indices(self, batch_size: int) -> list[Int32[np.ndarray, "examples"]]:
        """Returns which examples make each batch, without the filling: those of one shape are together.

        Raises:
            InputError: if the batch size is below 1, or as `shapes`.
        """
        if batch_size < 1:
            raise InputError(f"the batch size must be at least 1, got {batch_size}")
        shapes = self.shapes()
        batches = []
        for shape in np.unique(shapes, axis=0):
            rows = np.flatnonzero((shapes == shape).all(axis=1)).astype(np.int32)
            batches += [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        return batches

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every example once, the next batches decoded in the background.

        A batch has "image" uint8 [batch, height, width, 3], "label" uint8 [batch, height, width] and "mask" float32
        [batch], 0 where a batch is filled up.

        Args:
            batch_size: examples in a batch.
        """
        indices, shapes = self.indices(batch_size), self.shapes()

        def decoded():
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for rows in indices:
                    yield _padded(list(pool.map(self.read, rows.tolist())), batch_size, shapes[rows[0]])

        return prefetch(decoded())

    def read(self, example: int) -> tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "height width"]]:
        """Returns the photo and the labels of an example, resized and without padding.

        Raises:
            InputError: a file cannot be read.
        """
        height, width = self.files.sizes[example].tolist()
        height, width = resized(height, width, self.resize)
        image = decode_image(
            self.files.image_paths[example], lambda photo: photo.resize((width, height), Image.Resampling.BILINEAR)
        )
        return image, resize_mask(read_mask(self.files.mask_paths[example]), height, width)


def resized(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Returns the height and width of an image whose shorter side is given another length, None for its own."""
    if short_side is None:
        return height, width
    long_side = int(short_side * max(height, width) / min(height, width))
    return (short_side, long_side) if height <= width else (long_side, short_side)


def _padded(examples, batch_size: int, shape: Int32[np.ndarray, "2"]) -> Batch:
    images = np.empty((batch_size, *shape, 3), np.uint8)
    images[:] = MEAN_COLOUR
    labels = np.full((batch_size, *shape), IGNORE, np.uint8)
    for row, (image, label) in enumerate(examples):
        images[row, : label.shape[0], : label.shape[1]] = image
        labels[row, : label.shape[0], : label.shape[1]] = label
    return {"image": images, "label": labels, "mask": (np.arange(batch_size) < len(examples)).astype(np.float32)}


def _few_shapes(shapes: Int[np.ndarray, "n 2"], limit: int | None) -> Int32[np.ndarray, "n 2"]:
    """Returns shapes that hold the given ones and of which there are not more than the limit."""
    few, which, counts = np.unique(shapes, axis=0, return_inverse=True, return_counts=True)
    few, which = few.astype(np.int64), which.reshape(-1)
    while limit is not None and len(few) > limit:
        union = np.maximum(few[:, None], few[None])
        pixels = few.prod(axis=1) * counts
        added = union.prod(axis=2) * (counts[:, None] + counts[None]) - pixels[:, None] - pixels[None]
        added[np.tril_indices(len(few))] = np.iinfo(np.int64).max
        one, other = np.unravel_index(added.argmin(), added.shape)
        few[one] = union[one, other]
        counts[one] += counts[other]
        which[which == other] = one
        which -= which > other
        few, counts = np.delete(few, other, axis=0), np.delete(counts, other)
    return few[which].astype(np.int32)
