"""The most probable classes of an image."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, PyTree
from PIL import Image

from fcnn.pretrained import imagenet_class_names
from fcnn.use.weights import name_classes, network_of, taking_photos


class Classification(NamedTuple):
    """The most probable classes, best first."""

    class_names: tuple[str, ...]
    probabilities: tuple[float, ...]


def classify(
    name: str,
    variables: Mapping[str, PyTree],
    images: Iterable[Image.Image | np.ndarray],
    transform: Callable[[Image.Image | np.ndarray], Float32[np.ndarray, "height width 3"]],
    class_names: tuple[str, ...] | None = None,
    count: int = 5,
) -> Iterator[Classification]:
    """Yields the most probable classes of each image.

    Args:
        name: name of the network.
        variables: the network's, as from `load_pretrained`.
        images: the images.
        transform: from an image to the network's input, as from `preprocess`.
        class_names: one for each logit; if None, ImageNet's for 1000 logits, otherwise "class 0" and so on.
        count: how many classes to name, if there are as many.

    Raises:
        InputError: there is another number of class names than of logits, or the weights are not for such images.
    """
    model = network_of(name, variables)
    class_names = name_classes(model.num_classes, class_names, imagenet_class_names())

    @jax.jit
    def probabilities_of(variables, images):
        return jax.nn.softmax(model.apply(variables, images, train=False))

    for image in images:
        with taking_photos(name):
            probabilities = np.asarray(probabilities_of(variables, transform(image)[np.newaxis])[0])
        best = np.argsort(-probabilities, kind="stable")[:count]
        yield Classification(tuple(class_names[i] for i in best), tuple(map(float, probabilities[best])))
