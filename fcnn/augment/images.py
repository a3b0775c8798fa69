"""Random image transformations, `(key, images) -> images`: pure, different for every image, jitted with the step.

Each of the functions here returns such a transformation; `compose` makes one of several. Images are float in 0..1 (the
train step divides uint8 pixels by 255 before), and what comes in from outside of them is black.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fcnn.errors import InputError

Images = Float[Array, "batch height width channel"]
Augmentation = Callable[[Key[Array, ""], Images], Images]


def compose(*augmentations: Augmentation) -> Augmentation:
    """Returns the transformation that applies several one after the other, each with a key of its own."""

    def composed(key, images):
        for place, augmentation in enumerate(augmentations):
            images = augmentation(jax.random.fold_in(key, place), images)
        return images

    return composed


def random_affine(
    *,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    translation: float = 0.0,
) -> Augmentation:
    """Returns rotation, scaling, shear and translation about the centre as one bilinear resampling.

    Each is drawn evenly for every image by itself.

    Args:
        rotation: largest angle in degrees, in both directions.
        scale: smallest and largest factor of size.
        shear: largest angle in degrees by which the vertical leans, in both directions.
        translation: largest shift in pixels, up, down and to both sides.

    Raises:
        InputError: if a range is negative or a scale is not positive.
    """
    for what, value in (("rotation", rotation), ("shear", shear), ("translation", translation)):
        if not value >= 0:
            raise InputError(f"the largest {what} must not be negative, got {value}")
    if not 0 < scale[0] <= scale[1]:
        raise InputError(f"the scale goes from a positive factor to one not smaller, got {scale}")
    if not shear < 90:
        raise InputError(f"the shear must be less than 90 degrees, got {shear}")
    low = np.array([-rotation, scale[0], -shear, -translation, -translation], np.float32)
    high = np.array([rotation, scale[1], shear, translation, translation], np.float32)

    def affine(key, images):
        # In one row: XLA takes half a second longer on CPU to compile the generator for a table of five columns.
        drawn = jax.random.uniform(key, (images.shape[0] * 5,)).reshape(-1, 5)
        angle, size, lean, down, right = (low + (high - low) * drawn).T
        angle, lean = jnp.deg2rad(angle), jnp.deg2rad(lean)
        cos, sin = jnp.cos(angle) / size, jnp.sin(angle) / size
        # From an output pixel (row, column) back to the input: unscale and rotate back, then undo the lean.
        matrix = jnp.stack([cos, sin, -sin - cos * jnp.tan(lean), cos - sin * jnp.tan(lean)], axis=-1)
        return affine_resample(images, matrix.reshape(-1, 2, 2), jnp.stack([down, right], axis=-1))

    return affine


def affine_resample(images: Images, matrix: Float[Array, "batch 2 2"], shift: Float[Array, "batch 2"]) -> Images:
    """Returns images in which output pixel p shows the input at `matrix (p - centre - shift) + centre`, bilinearly.

    Args:
        images: images.
        matrix: from offsets (row, column) in the output to offsets in the input.
        shift: (down, right), in pixels.
    """
    batch, height, width, channels = images.shape
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    # One product gives the places of all pixels. As sums of rows and columns, XLA would compute them anew, number by
    # number, for every pixel that is looked up.
    grid = np.ones((3, height, width), np.float32)
    grid[:2] = np.indices((height, width)) - centre[:, None, None]
    moved = centre + 1 - jnp.einsum("bij,bj->bi", matrix, shift, precision="highest")
    places = jnp.concatenate([matrix, moved[..., None]], axis=-1).swapaxes(0, 1)
    row, column = jnp.matmul(places, grid.reshape(3, -1), precision="highest")

    # With a black frame each corner of the four that are mixed exists, and is one gather from a flat array at a fixed
    # distance: `map_coordinates` under `vmap` clips, masks and wraps the indices of each corner anew.
    framed_height, framed_width = height + 2, width + 2
    flat = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, channels)
    # Beyond the frame all is as black as on it.
    row, column = jnp.clip(row, 0, height + 1), jnp.clip(column, 0, width + 1)
    top, left = jnp.minimum(jnp.floor(row), height), jnp.minimum(jnp.floor(column), width)
    down, right = (row - top)[..., None], (column - left)[..., None]
    # Unsigned: what may be negative is compared and wrapped for every corner.
    image = jnp.arange(batch, dtype=jnp.uint32)[:, None]
    first = (image * framed_height + top.astype(jnp.uint32)) * framed_width + left.astype(jnp.uint32)

    def corner(offset):
        return flat.at[first + offset].get(mode="promise_in_bounds")

    upper = corner(0) * (1 - right) + corner(1) * right
    lower = corner(framed_width) * (1 - right) + corner(framed_width + 1) * right
    return (upper * (1 - down) + lower * down).astype(images.dtype).reshape(images.shape)


def random_crop(padding: int, size: tuple[int, int] | None = None) -> Augmentation:
    """Returns padding on all sides followed by a crop at a random place (He et al. 2015, section 4.2).

    Args:
        padding: pixels on each side.
        size: height and width of the crop; that of the images by default.

    Raises:
        InputError: if the padding is negative or the size not positive; (the returned function) if the crop is larger
            than the padded images.
    """
    if padding < 0:
        raise InputError(f"the padding must not be negative, got {padding}")
    if size is not None and min(size) < 1:
        raise InputError(f"the size of a crop must be at least 1x1, got {size[0]}x{size[1]}")

    def crop(key, images):
        batch, height, width, channels = images.shape
        crop_height, crop_width = size or (height, width)
        room = np.array([height + 2 * padding - crop_height, width + 2 * padding - crop_width])
        if room.min() < 0:
            raise InputError(
                f"a crop of {crop_height}x{crop_width} does not fit into images of {height}x{width} with {padding} "
                "pixels around them: take a smaller crop or more padding"
            )
        padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        corners = jax.random.randint(key, (batch, 2), 0, room + 1)

        def cut(image, corner):
            return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (crop_height, crop_width, channels))

        return jax.vmap(cut)(padded, corners)

    return crop


def random_flip(probability: float = 0.5) -> Augmentation:
    """Returns mirroring of left and right.

    Args:
        probability: share of the images that are mirrored.

    Raises:
        InputError: if the probability is not one.
    """
    if not 0 <= probability <= 1:
        raise InputError(f"a probability is from 0 to 1, got {probability}")

    def flip(key, images):
        flipped = jax.random.bernoulli(key, probability, (images.shape[0], 1, 1, 1))
        return jnp.where(flipped, images[:, :, ::-1], images)

    return flip


def cutout(size: int) -> Augmentation:
    """Returns a black square at a random place, part of which may lie outside (DeVries and Taylor 2017, section 3).

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

    return cut
