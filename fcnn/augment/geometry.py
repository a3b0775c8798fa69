"""Flips and crops: pixels change their place and keep their value. See `moving` for what moves with the images."""

import jax
import jax.numpy as jnp
import numpy as np

from fcnn.augment.batch import Augmentation
from fcnn.augment.moving import Motion, moving
from fcnn.errors import InputError


def random_flip(probability: float = 0.5) -> Augmentation:
    """Returns mirroring of left and right, of images and the label maps and boxes that come with them.

    Args:
        probability: share of the images that are mirrored.

    Raises:
        InputError: if the probability is not one.
    """
    if not 0 <= probability <= 1:
        raise InputError(f"a probability is from 0 to 1, got {probability}")

    def draw(key, shape):
        flipped = jax.random.bernoulli(key, probability, (shape[0], 1, 1, 1))

        def flip_boxes(boxes):
            x1, y1, x2, y2 = jnp.moveaxis(boxes, -1, 0)
            return jnp.where(flipped[..., 0], jnp.stack([shape[2] - x2, y1, shape[2] - x1, y2], axis=-1), boxes)

        return Motion(
            images=lambda images: jnp.where(flipped, images[:, :, ::-1], images),
            labels=lambda labels: jnp.where(flipped[..., 0], labels[:, :, ::-1], labels),
            boxes=flip_boxes,
        )

    return moving(draw)


def random_crop(padding: int, size: tuple[int, int] | None = None, *, ignore: int = 255) -> Augmentation:
    """Returns padding on all sides followed by a crop at a random place (He et al. 2015, section 4.2).

    Label maps and boxes are cropped with the images; see `fcnn.augment.moving`.

    Args:
        padding: pixels on each side.
        size: height and width of the crop; that of the images by default.
        ignore: what a label map is padded with.

    Raises:
        InputError: if the padding is negative or the size not positive; (the returned function) if the crop is larger
            than the padded images.
    """
    if padding < 0:
        raise InputError(f"the padding must not be negative, got {padding}")
    if size is not None and min(size) < 1:
        raise InputError(f"the size of a crop must be at least 1x1, got {size[0]}x{size[1]}")

    def draw(key, shape):
        batch, height, width, _ = shape
        crop_height, crop_width = size or (height, width)
        room = np.array([height + 2 * padding - crop_height, width + 2 * padding - crop_width])
        if room.min() < 0:
            raise InputError(
                f"a crop of {crop_height}x{crop_width} does not fit into images of {height}x{width} with {padding} "
                "pixels around them: take a smaller crop or more padding"
            )
        corners = jax.random.randint(key, (batch, 2), 0, room + 1)

        def crop(pixels, fill):
            around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
            padded = jnp.pad(pixels, around, constant_values=fill)

            def cut(image, corner):
                return jax.lax.dynamic_slice(
                    image, (corner[0], corner[1], 0), (crop_height, crop_width, image.shape[-1])
                )

            return jax.vmap(cut)(padded, corners)

        def crop_boxes(boxes):
            moved = (padding - corners[:, ::-1]).astype(boxes.dtype)
            return boxes + jnp.tile(moved, 2)[:, None]

        return Motion(
            images=lambda images: crop(images, 0),
            labels=lambda labels: crop(labels[..., None], ignore)[..., 0],
            boxes=crop_boxes,
        )

    return moving(draw, ignore)
