"""From stored pixels to a network's input, inside the compiled step."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from fcnn.errors import InputError

Prepare = Callable[[Float[Array, "batch height width channel"]], Float[Array, "batch height width channel"]]


def to_unit_range(images: Shaped[Array, "batch height width channel"]) -> Float[Array, "batch height width channel"]:
    """Returns uint8 pixels divided by 255; floats are returned as they are.

    Raises:
        InputError: if the images are of another type.
    """
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(f"images must be uint8 (0 to 255) or float, got {images.dtype}")
    return images


def make_prepare(mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None = None) -> Prepare:
    """Returns a function that pads images with black to a size and normalises them: (x - mean) / std.

    Args:
        mean: mean of each channel over the training images, pixels from 0 to 1.
        std: standard deviation of each channel.
        size: height and width to pad to, the same on both sides; None leaves the size.

    Raises:
        InputError: (the returned function) if images are larger than the size or have other channels.
    """
    if min(std) <= 0:
        raise InputError(f"the standard deviation of every channel must be positive, got {tuple(std)}")

    def prepare(images):
        height, width, channels = images.shape[1:]
        if channels != len(mean):
            raise InputError(
                f"the images have {channels} channels, the mean has {len(mean)}: give one for each channel"
            )
        if size is not None:
            if height > size[0] or width > size[1]:
                raise InputError(f"images of {height}x{width} do not fit into {size[0]}x{size[1]}: resize them before")
            rows, columns = size[0] - height, size[1] - width
            pads = ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
            images = jnp.pad(images, pads)
        return (images - jnp.asarray(mean, images.dtype)) / jnp.asarray(std, images.dtype)

    return prepare
