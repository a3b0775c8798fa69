"""Resizing of images by interpolation, as matrix products."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def resize_bilinear(
    x: Float[Array, "batch height width channel"], size: tuple[int, int]
) -> Float[Array, "batch out_h out_w channel"]:
    """Returns images in another size, each pixel the bilinear interpolation of the four nearest.

    The corners of the images meet, not the centres of their corner pixels, and nothing is averaged where images become
    smaller: PyTorch's `interpolate(mode="bilinear", align_corners=False, antialias=False)`.

    Args:
        x: images.
        size: height and width of the result, in pixels.
    """
    rows, columns = (_weights(old, new, x.dtype) for old, new in zip(x.shape[1:3], size, strict=True))
    # Columns first, as long as there are few rows. Each product is one large one: no image and no row has its own.
    x = jnp.einsum("bhwc,Ww->hbWc", x, columns, precision=lax.Precision.HIGHEST)
    return jnp.einsum("hbWc,Hh->bHWc", x, rows, precision=lax.Precision.HIGHEST)


def _weights(old, new, dtype):
    """Returns the share [new, old] that each pixel along a line has in each new one."""
    # In halves of a new pixel, all places are whole numbers.
    places = jnp.clip((2 * jnp.arange(new) + 1) * old - new, 0, 2 * new * (old - 1))
    distances = jnp.abs(places[:, None] - 2 * new * jnp.arange(old))
    return jnp.maximum(0, 1 - distances / (2 * new)).astype(dtype)
