"""Photos with a label for every pixel, in files: an image and a mask each, and how they are read."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Bool, Int32, UInt8
from PIL import Image, UnidentifiedImageError

from fcnn.data.image_files import decode_image
from fcnn.errors import InputError

# The label of pixels that count nowhere: the borders of objects in VOC, and what lies outside the photo.
IGNORE = 255
# ImageNet's mean in bytes: padding by it is about zero once normalised, as torchvision pads after normalising.
MEAN_COLOUR = (124, 116, 104)


class MaskFiles(NamedTuple):
    """Examples of segmentation that stay in their files, because they differ in size and are cut in every epoch.

    Attributes:
        image_paths: the photo of each example, JPEG or PNG.
        mask_paths: its mask, a PNG whose pixels are class numbers, or 255 for what does not count.
        sizes: height and width of each photo and mask, in pixels.
    """

    image_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    sizes: Int32[np.ndarray, "n 2"]

    @property
    def images(self) -> NoReturn:
        """Photos have no pixels before they are decoded.

        Raises:
            InputError: always; it says what to do.
        """
        raise InputError(
            "these photos and masks stay in their files: train on them by fcnn.data.MaskLoader, evaluate by "
            "fcnn.data.MaskEvaluation"
        )

    def choose(self, rows: Int32[np.ndarray, "chosen"]) -> "MaskFiles":
        """Returns the examples of some rows."""
        images, masks = (tuple(paths[row] for row in rows) for paths in (self.image_paths, self.mask_paths))
        return MaskFiles(images, masks, self.sizes[rows])


def read_mask_files(
    image_paths: tuple[Path, ...], mask_paths: tuple[Path, ...]
) -> tuple[MaskFiles, Bool[np.ndarray, "n 256"]]:
    """Returns the examples and which labels are in each mask; every file is read once, in parallel.

    Args:
        image_paths: the photo of each example.
        mask_paths: its mask.

    Raises:
        InputError: a file cannot be read, is no mask, or the mask's size is not its photo's; the file is named.
    """

    def attempt(pair):
        try:
            return _check(*pair)
        except InputError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(attempt, zip(image_paths, mask_paths, strict=True)))
    faults = [result for result in results if isinstance(result, InputError)]
    if faults:
        more = f" (the first of {len(faults)} such files)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}") from faults[0]
    sizes, present = zip(*results, strict=True)
    return MaskFiles(image_paths, mask_paths, np.array(sizes, np.int32)), np.stack(present)


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Returns the labels in a mask: of a palette PNG the indices, never the colours, of a grey one the values.

    Args:
        path: PNG file with a palette, or grey with up to 8 bits.

    Raises:
        InputError: it is no such file, or broken.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            grey_bits = _grey_bits(path) if image.mode == "L" else 8
            image.load()
            mode, labels = image.mode, np.asarray(image)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: is not a PNG image, expected the mask as one: other formats change labels"
        ) from error
    except Exception as error:
        # A damaged file makes Pillow's decoder fail with errors of many kinds.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as a PNG mask: {reason}") from error
    if mode not in ("P", "L", "1"):
        raise InputError(
            f"{path}: has the pixel format {mode}, expected class numbers in a palette PNG or a grey one of 8 bits: "
            f"colours are no labels, write the mask again by its class numbers"
        )
    # Pillow stretches grey values of fewer bits to 0..255.
    return labels.astype(np.uint8) // np.uint8(255 // (2**grey_bits - 1))


def resize_mask(labels: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """Returns a mask in another size, each pixel with the label of the one it lies on: no label is interpolated."""
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def _check(image_path: Path, mask_path: Path):
    """Returns the size of an example and which labels occur in it."""
    image = decode_image(image_path, lambda photo: photo)
    labels = read_mask(mask_path)
    if labels.shape != image.shape[:2]:
        (height, width), (image_height, image_width) = labels.shape, image.shape[:2]
        raise InputError(
            f"{mask_path}: expected a mask of its image's size, {image_width}x{image_height} pixels, "
            f"found {width}x{height}"
        )
    return labels.shape, np.bincount(labels.ravel(), minlength=256) > 0


def _grey_bits(path: Path) -> int:
    """Returns the bits of a pixel, which stand behind width and height in the first chunk of every PNG."""
    with path.open("rb") as file:
        return file.read(25)[24]
