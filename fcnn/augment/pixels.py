"""Changes of pixels that leave everything at its place: labels and boxes stay as they are."""

import jax
import jax.numpy as jnp

from fcnn.augment.batch import Augmentation, images
from fcnn.errors import InputError


def cutout(size: int) -> Augmentation:
    """Returns a black square at a random place, part of which may lie outside (DeVries and Taylor 2017, section 3).

    It changes the image only: what is hidden keeps its label and its box.

    Args:
        size: side of the square in pixels.

    Raises:
        InputError: if the size is negative.
    """
    if size < 0:
        raise InputError(f"the size of the square must not be negative, got {size}")

    def cut(key, images):
        batch, height, width, _ = images.shape
        centre = jax.random.randint(key, (batch, 2), 0, jnp.array([height, width]))
        first = centre - size // 2
        rows, columns = jnp.arange(height), jnp.arange(width)
        in_rows = (rows >= first[:, :1]) & (rows < first[:, :1] + size)
        in_columns = (columns >= first[:, 1:]) & (columns < first[:, 1:] + size)
        return jnp.where((in_rows[:, :, None] & in_columns[:, None, :])[..., None], 0, images)

    return images(cut)
