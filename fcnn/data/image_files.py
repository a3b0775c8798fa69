"""Photos in files, and their pixels."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from fcnn.data.dataset import Split
from fcnn.errors import InputError, unknown_name
from fcnn.photos import to_rgb

_FORMATS = ("JPEG", "PNG")

Transform = Callable[[Image.Image], Image.Image | UInt8[np.ndarray, "height width 3"]]


class ImageFiles(NamedTuple):
    """Examples that stay in their files, because they differ in size and are cut anew in every epoch.

    Attributes:
        paths: the file of each example, JPEG or PNG.
        labels: its class, from 0.
    """

    paths: tuple[Path, ...]
    labels: Int32[np.ndarray, "n"]

    @property
    def images(self) -> NoReturn:
        """Photos have no pixels before they are decoded.

        Raises:
            InputError: always; it says what to do.
        """
        raise InputError(
            "these photos stay in their files: train on them by experiments/transfer.py or FolderLoader, or decode "
            "them first (train.decode)"
        )

    def decode(self, transform: Transform) -> Split:
        """Returns the examples as pixels, read in parallel.

        Args:
            transform: from an RGB image to one of the size that all have; see `evaluation_crop`.

        Raises:
            InputError: if a file cannot be read as an image; it is named.
        """
        return read_images(self, transform, "refuse")[1]


def read_images(files: ImageFiles, transform: Transform, broken: str) -> tuple[ImageFiles, Split]:
    """Returns the files that can be read as images, and their pixels; the files are read in parallel.

    Args:
        files: the files.
        transform: as for `ImageFiles.decode`.
        broken: what to do with a file that cannot be read: "refuse", or "skip" it with a warning that names it.

    Raises:
        InputError: if there is a broken file and it is refused, or none that can be read.
    """
    if broken not in ("refuse", "skip"):
        raise unknown_name("treatment of broken images", broken, ("refuse", "skip"))

    def attempt(path):
        try:
            return decode_image(path, transform)
        except InputError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(attempt, files.paths))
    faults = [result for result in results if isinstance(result, InputError)]
    if faults and (broken == "refuse" or len(faults) == len(results)):
        more = f", the first of {len(faults)} such files" if len(faults) > 1 else ""
        raise InputError(f'{faults[0]}{more}: remove it, or load with broken="skip"') from faults[0]
    for fault in faults:
        warnings.warn(f"skipped {fault}", stacklevel=2)
    rows = [row for row, result in enumerate(results) if not isinstance(result, InputError)]
    images = [result for result in results if not isinstance(result, InputError)]
    if len({image.shape for image in images}) > 1:
        raise InputError("the transform must give images of one size: take one that cuts, such as evaluation_crop")
    labels = files.labels[rows]
    return ImageFiles(tuple(files.paths[row] for row in rows), labels), Split(np.stack(images), labels)


def decode_image(path: Path, transform: Transform) -> UInt8[np.ndarray, "height width 3"]:
    """Returns the pixels of an image file after a transformation.

    Args:
        path: JPEG or PNG file.
        transform: from an RGB image.

    Raises:
        InputError: if it is no such file, or broken, or the transform refuses it.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            decoded = to_rgb(image)
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is not a JPEG or PNG image") from error
    except Exception as error:
        # A damaged file makes Pillow's decoders fail with errors of many kinds.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as a JPEG or PNG image: {reason}") from error
    try:
        return np.asarray(transform(decoded), np.uint8)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def evaluation_crop(image: Image.Image, size: int = 224) -> Image.Image:
    """Returns the square at the centre with 7/8 of the shorter side, resized: from 256 to 224 as is usual for ImageNet.

    Args:
        image: RGB image.
        size: height and width of the result, in pixels.
    """
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR, bleed=1 / 16)
