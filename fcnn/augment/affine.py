"""Rotation, scaling, shear and translation as one resampling. See `moving` for what moves with the images."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fcnn.augment.batch import Augmentation
from fcnn.augment.moving import Boxes, Motion, moving
from fcnn.augment.resampling import Matrices, Shifts, affine_resample, nearest_resample
from fcnn.errors import InputError


def random_affine(
    *,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    translation: float = 0.0,
    ignore: int = 255,
) -> Augmentation:
    """Returns rotation, scaling, shear and translation about the centre as one bilinear resampling.

    Each is drawn evenly for every image by itself. A label map takes the nearest label. A box becomes the smallest one
    that holds its moved corners. See `fcnn.augment.moving`.

    Args:
        rotation: largest angle in degrees, in both directions.
        scale: smallest and largest factor of size.
        shear: largest angle in degrees by which the vertical leans, in both directions.
        translation: largest shift in pixels, up, down and to both sides.
        ignore: the label where nothing is.

    Raises:
        InputError: if a range is negative or a scale is not positive.
    """
    _check_not_negative(rotation=rotation, shear=shear, translation=translation)
    _check_scale(scale)
    if not shear < 90:
        raise InputError(f"the shear must be less than 90 degrees, got {shear}")
    low = np.array([-rotation, scale[0], -shear, -translation, -translation], np.float32)
    high = np.array([rotation, scale[1], shear, translation, translation], np.float32)

    def draw(key, shape):
        # In one row: XLA takes half a second longer on CPU to compile the generator for a table of five columns.
        drawn = jax.random.uniform(key, (shape[0] * 5,)).reshape(-1, 5)
        angle, size, lean, down, right = (low + (high - low) * drawn).T
        return _motion(_matrices(angle, size, lean), jnp.stack([down, right], axis=-1), shape[1:3], shape[1:3], ignore)

    return moving(draw, ignore)


def random_scale_crop(
    size: tuple[int, int], scale: tuple[float, float] = (0.5, 2.0), *, rotation: float = 0.0, ignore: int = 255
) -> Augmentation:
    """Returns scaling and rotation, then a crop of a fixed size at a random place, as one bilinear resampling.

    Every part of an image can be seen. One that is smaller than the crop, once scaled, lies at a random place in it.
    Factors below one half skip pixels: nothing is averaged before. Label maps and boxes as in `random_affine`.

    Args:
        size: height and width of the crop.
        scale: smallest and largest factor of size, drawn evenly for every image.
        rotation: largest angle in degrees, in both directions, about the image's centre.
        ignore: the label where nothing is.

    Raises:
        InputError: if the rotation is negative, or the size or a scale is not positive.
    """
    _check_not_negative(rotation=rotation)
    _check_scale(scale)
    if min(size) < 1:
        raise InputError(f"the size of a crop must be at least 1x1, got {size[0]}x{size[1]}")
    low = np.array([-rotation, scale[0], -0.5, -0.5], np.float32)
    high = np.array([rotation, scale[1], 0.5, 0.5], np.float32)

    def draw(key, shape):
        drawn = jax.random.uniform(key, (shape[0] * 4,)).reshape(-1, 4)
        angle, factor, down, right = (low + (high - low) * drawn).T
        # How far the scaled image reaches beyond the crop, or the crop beyond the image.
        room = factor[:, None] * np.array(shape[1:3], np.float32) - np.array(size, np.float32)
        shift = jnp.stack([down, right], axis=-1) * room
        return _motion(_matrices(angle, factor, jnp.zeros_like(angle)), shift, shape[1:3], size, ignore)

    return moving(draw, ignore)


def _matrices(angle: Float[Array, " batch"], size: Float[Array, " batch"], lean: Float[Array, " batch"]) -> Matrices:
    """Returns the way from an output pixel (row, column) back to the input: unscale and rotate back, undo the lean."""
    angle, lean = jnp.deg2rad(angle), jnp.deg2rad(lean)
    cos, sin = jnp.cos(angle) / size, jnp.sin(angle) / size
    matrix = jnp.stack([cos, sin, -sin - cos * jnp.tan(lean), cos - sin * jnp.tan(lean)], axis=-1)
    return matrix.reshape(-1, 2, 2)


def _motion(matrix: Matrices, shift: Shifts, old: tuple[int, int], new: tuple[int, int], ignore: int) -> Motion:
    return Motion(
        images=lambda images: affine_resample(images, matrix, shift, new),
        labels=lambda labels: nearest_resample(labels, matrix, shift, new, fill=ignore),
        boxes=lambda boxes: _move_boxes(boxes, matrix, shift, old, new),
    )


def _move_boxes(boxes: Boxes, matrix: Matrices, shift: Shifts, old: tuple[int, int], new: tuple[int, int]) -> Boxes:
    """Returns the smallest boxes that hold the corners, moved from images of an old size to those of a new one."""
    (a, b), (c, d) = jnp.moveaxis(matrix, 0, -1)
    inverse = jnp.stack([d, -b, -c, a], axis=-1).reshape(-1, 2, 2) / (a * d - b * c)[:, None, None]
    low, high = boxes[..., 1::-1], boxes[..., :1:-1]  # (row, column)
    offset = (low + high) / 2 - np.array(old, np.float32) / 2
    moved = jnp.einsum("bij,bnj->bni", inverse, offset, precision="highest") + shift[:, None]
    centre = moved + np.array(new, np.float32) / 2
    # Of the four corners, the outermost in a direction is the one to which both sides add.
    reach = jnp.einsum("bij,bnj->bni", jnp.abs(inverse), (high - low) / 2, precision="highest")
    return jnp.concatenate([(centre - reach)[..., ::-1], (centre + reach)[..., ::-1]], axis=-1)


def _check_not_negative(**largest):
    for what, value in largest.items():
        if not value >= 0:
            raise InputError(f"the largest {what} must not be negative, got {value}")


def _check_scale(scale):
    if not 0 < scale[0] <= scale[1]:
        raise InputError(f"the scale goes from a positive factor to one not smaller, got {scale}")
