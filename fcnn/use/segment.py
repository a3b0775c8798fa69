"""The class of each pixel of an image."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PyTree
from PIL import Image

from fcnn.photos import to_rgb
from fcnn.use.weights import network_of, taking_photos

_ROWS = 32  # at a time: the logits of all pixels of a telephone's photo would be a gigabyte


def segment(
    name: str,
    variables: Mapping[str, PyTree],
    images: Iterable[Image.Image | np.ndarray],
    transform: Callable[[Image.Image | np.ndarray], Float32[np.ndarray, "height width 3"]],
) -> Iterator[Int[np.ndarray, "image_height image_width"]]:
    """Yields the class of each pixel of each image, at the image's own size.

    The logits are enlarged by bilinear interpolation, then the highest is taken: that is finer than to enlarge the
    classes.

    Args:
        name: name of the network.
        variables: the network's, as from `load_pretrained`.
        images: the images, of any sizes; each new size is compiled for.
        transform: from an image to the network's input, which must show the whole of it, as from `preprocess`.

    Raises:
        InputError: the weights are not for such images.
    """
    model = network_of(name, variables)

    @partial(jax.jit, static_argnums=2)
    def classes_of(variables, pixels, size):
        return highest_class(model.apply(variables, pixels, train=False)[0], size)

    for image in images:
        image = to_rgb(image)
        with taking_photos(name):
            yield np.asarray(classes_of(variables, transform(image)[np.newaxis], (image.height, image.width)))


def highest_class(
    logits: Float[Array, "height width class"], size: tuple[int, int]
) -> Int[Array, "image_height image_width"]:
    """Returns the class of the highest logit of each pixel, once the logits are interpolated to another size.

    It is bilinear interpolation as of `fcnn.ops.resize_bilinear`; among equal logits the lower class is taken.

    Args:
        logits: of each pixel.
        size: height and width of the result.
    """
    left, right, share = _neighbours(logits.shape[1], size[1])
    across = logits[:, left] + share[:, None] * (logits[:, right] - logits[:, left])

    def classes_of_row(neighbours):
        above, below, share = neighbours
        return jnp.argmax(across[above] + share * (across[below] - across[above]), axis=-1)

    return jax.lax.map(classes_of_row, _neighbours(logits.shape[0], size[0]), batch_size=_ROWS)


def _neighbours(old, new):
    """Returns the two pixels of a line around each of a line of another length, and the share of the second one."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    first = np.floor(places).astype(np.int32)
    return jnp.asarray(first), jnp.asarray(np.minimum(first + 1, old - 1)), jnp.asarray(places - first, jnp.float32)
