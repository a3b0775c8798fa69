"""How everything in a batch that lives in image coordinates moves together."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Key, Num

from fcnn.augment.batch import Augmentation, Batch, Images, on_batches
from fcnn.errors import InputError

LabelMaps = Integer[Array, "batch height width"]
Boxes = Float[Array, "batch box 4"]


class Motion(NamedTuple):
    """Where one draw moves what a batch holds.

    Attributes:
        images: what comes in from outside of them is black.
        labels: label maps, moved without mixing classes. Where nothing is, they hold the ignored label.
        boxes: x1, y1, x2, y2 in pixels, in continuous coordinates with the corner of the image at (0, 0), so that
            pixel i covers i to i + 1. They may reach beyond the image afterwards.
    """

    images: Callable[[Images], Images]
    labels: Callable[[LabelMaps], LabelMaps]
    boxes: Callable[[Boxes], Boxes]


def moving(draw: Callable[[Key[Array, ""], tuple[int, ...]], Motion], ignore: int = 255) -> Augmentation:
    """Returns the augmentation that moves images, label maps and boxes by the same draw.

    - "image": float [batch, height, width, channel].
    - "label", where it is a label map: integers [batch, height, width], of the images' height and width. Class numbers
      and probabilities stay as they are.
    - "boxes" [batch, box, 4] with "valid" [batch, box]. A box is clipped to the image. One whose centre has left the
      image is no longer valid (Liu et al. 2016, "SSD", section 2.2), so that at least half of both sides can be seen of
      those that stay. Boxes that are not valid are zeros.

    Args:
        draw: from a key and the images' shape to a motion.
        ignore: the label where nothing is.

    Raises:
        InputError: (the returned function) if a label map does not fit its images, `ignore` is not in the range of its
            type, or boxes come without "valid".
    """

    def move(key, batch):
        images = batch["image"]
        motion = draw(key, images.shape)
        moved = {"image": motion.images(images)}
        if _has_label_map(batch, images.shape, ignore):
            moved["label"] = motion.labels(batch["label"])
        if "boxes" in batch:
            if "valid" not in batch:
                raise InputError('boxes were given without "valid" [batch, box], which says which of them are there')
            height, width = moved["image"].shape[1:3]
            moved["boxes"], moved["valid"] = _visible(motion.boxes(batch["boxes"]), batch["valid"], (height, width))
        return {**batch, **moved}

    return on_batches(move)


def _has_label_map(batch: Batch, shape: tuple[int, ...], ignore: int) -> bool:
    # From a copy: to look at a label's shape is not to use it.
    label = {**batch}.get("label")
    if label is None or label.ndim < 3:
        return False
    if label.shape != shape[:3] or not jnp.issubdtype(label.dtype, jnp.integer):
        raise InputError(
            f"a label map must be integers {list(shape[:3])} as its images are, got {label.dtype} {list(label.shape)}: "
            "to move the images alone, put the augmentation into fcnn.augment.images"
        )
    limits = np.iinfo(label.dtype)
    if not limits.min <= ignore <= limits.max:
        raise InputError(f"the ignored label {ignore} is not in the range of the label map's type, {label.dtype}")
    return True


def _visible(
    boxes: Boxes, valid: Num[Array, "batch box"] | Bool[Array, "batch box"], size: tuple[int, int]
) -> tuple[Boxes, Num[Array, "batch box"] | Bool[Array, "batch box"]]:
    """Returns boxes clipped to an image of that height and width, and which of them are still there."""
    far = np.array(size[::-1], np.float32)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    visible = (valid != 0) & jnp.all((centre > 0) & (centre < far), axis=-1)
    clipped = jnp.clip(boxes, 0, np.concatenate([far, far]))
    return jnp.where(visible[..., None], clipped, 0), visible.astype(valid.dtype)
