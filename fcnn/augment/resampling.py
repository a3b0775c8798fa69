"""Images and label maps seen through an affine map: arrays in, arrays out, nothing random."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from fcnn.augment.batch import Images

Matrices = Float[Array, "batch 2 2"]
Shifts = Float[Array, "batch 2"]


def affine_resample(
    images: Images, matrix: Matrices, shift: Shifts, size: tuple[int, int] | None = None
) -> Float[Array, "batch new_height new_width channel"]:
    """Returns images in which output pixel p shows the input at `matrix (p - centre - shift) + centre`, bilinearly.

    Each centre is that of its own side: the output's, then the input's. What comes in from outside is black.

    Args:
        images: images.
        matrix: from offsets (row, column) in the output to offsets in the input.
        shift: (down, right), in pixels.
        size: height and width of the output; those of the images by default.
    """
    batch, height, width, channels = images.shape
    size = size or (height, width)
    row, column = _places(matrix, shift, (height, width), size)
    top, left = jnp.minimum(jnp.floor(row), height), jnp.minimum(jnp.floor(column), width)
    down, right = (row - top)[..., None], (column - left)[..., None]
    # With a black frame each corner of the four that are mixed exists, and is one gather from a flat array at a fixed
    # distance: `map_coordinates` under `vmap` clips, masks and wraps the indices of each corner again.
    flat = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, channels)
    first = _flat_index(top, left, (height, width))

    def corner(offset):
        return flat.at[first + offset].get(mode="promise_in_bounds")

    upper = corner(0) * (1 - right) + corner(1) * right
    lower = corner(width + 2) * (1 - right) + corner(width + 3) * right
    return (upper * (1 - down) + lower * down).astype(images.dtype).reshape(batch, *size, channels)


def nearest_resample(
    labels: Integer[Array, "batch height width"],
    matrix: Matrices,
    shift: Shifts,
    size: tuple[int, int] | None = None,
    *,
    fill: int,
) -> Integer[Array, "batch new_height new_width"]:
    """Returns label maps in which each pixel has the label of the pixel that `affine_resample` looks at.

    Args:
        labels: label maps.
        matrix: as in `affine_resample`.
        shift: as in `affine_resample`.
        size: as in `affine_resample`.
        fill: the label where nothing is.
    """
    batch, height, width = labels.shape
    size = size or (height, width)
    row, column = _places(matrix, shift, (height, width), size)
    flat = jnp.pad(labels, ((0, 0), (1, 1), (1, 1)), constant_values=fill).reshape(-1)
    nearest = _flat_index(jnp.floor(row + 0.5), jnp.floor(column + 0.5), (height, width))
    return flat.at[nearest].get(mode="promise_in_bounds").reshape(batch, *size)


def _places(matrix, shift, old, new):
    """Returns row and column [batch, pixel] that each output pixel looks at, in an input with a frame of one pixel."""
    (height, width), (new_height, new_width) = old, new
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    new_centre = np.array([(new_height - 1) / 2, (new_width - 1) / 2], np.float32)
    # One product gives the places of all pixels. As sums of rows and columns, XLA would compute them again, number by
    # number, for every pixel that is looked up.
    grid = np.ones((3, new_height, new_width), np.float32)
    grid[:2] = np.indices((new_height, new_width)) - new_centre[:, None, None]
    moved = centre + 1 - jnp.einsum("bij,bj->bi", matrix, shift, precision="highest")
    places = jnp.concatenate([matrix, moved[..., None]], axis=-1).swapaxes(0, 1)
    row, column = jnp.matmul(places, grid.reshape(3, -1), precision="highest")
    # Beyond the frame all is as on it.
    return jnp.clip(row, 0, height + 1), jnp.clip(column, 0, width + 1)


def _flat_index(row, column, size):
    """Returns the places of whole rows and columns in a flat array of all framed images."""
    # Unsigned: what may be negative is compared and wrapped for every corner.
    image = jnp.arange(row.shape[0], dtype=jnp.uint32)[:, None]
    return (image * (size[0] + 2) + row.astype(jnp.uint32)) * (size[1] + 2) + column.astype(jnp.uint32)
