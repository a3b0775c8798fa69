"""The most probable classes of an image."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import flax.errors
import jax
import numpy as np
from jaxtyping import Float32, PyTree
from PIL import Image

from fcnn.errors import InputError
from fcnn.models import create_model
from fcnn.pretrained.facts import imagenet_class_names


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
    parameters = variables["params"]
    for part in create_model(name).heads[0].split("/"):
        parameters = parameters[part]
    (num_classes,) = parameters["bias"].shape
    if class_names is None:
        class_names = imagenet_class_names() if num_classes == 1000 else tuple(f"class {i}" for i in range(num_classes))
    if len(class_names) != num_classes:
        raise InputError(f"expected {num_classes} class names, as many as the weights have, found {len(class_names)}")

    model = create_model(name, num_classes=num_classes)

    @jax.jit
    def probabilities_of(variables, images):
        return jax.nn.softmax(model.apply(variables, images, train=False))

    for image in images:
        pixels = transform(image)[np.newaxis]
        try:
            probabilities = np.asarray(probabilities_of(variables, pixels)[0])
        except flax.errors.ScopeParamShapeError as error:
            raise InputError(
                f"these weights of {name} do not take images of {pixels.shape[-1]} channels, expected weights "
                "that were trained on colour images"
            ) from error
        best = np.argsort(-probabilities, kind="stable")[:count]
        yield Classification(tuple(class_names[i] for i in best), tuple(map(float, probabilities[best])))
