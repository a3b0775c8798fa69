"""The network that weights are those of: how many classes it has, what they are called, which images it takes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import flax.errors
from jaxtyping import PyTree

from fcnn.errors import InputError
from fcnn.models import create_model


def network_of(name: str, variables: Mapping[str, PyTree]) -> Any:
    """Returns a network with as many classes as its weights have, and with auxiliary heads if they have any.

    Args:
        name: name of the network.
        variables: the network's, as from `load_pretrained`.
    """
    model, parameters = create_model(name), variables["params"]
    head, *auxiliary = model.heads
    for part in head.split("/"):
        parameters = parameters[part]
    options = {"num_classes": len(parameters["bias"])}
    if hasattr(model, "auxiliary_heads"):
        options["auxiliary_heads"] = any(name.split("/")[0] in variables["params"] for name in auxiliary)
    return create_model(name, **options)


def name_classes(num_classes: int, class_names: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Returns a name for each class of a network.

    Args:
        num_classes: number of classes of the network.
        class_names: the names that are asked for; None for none.
        known: those of the set that the published weights were trained on, taken where there are as many classes;
            of other weights, classes are named "class 0" and so on.

    Raises:
        InputError: there are more or fewer names than classes.
    """
    if class_names is None:
        class_names = known if len(known) == num_classes else [f"class {number}" for number in range(num_classes)]
    if len(class_names) != num_classes:
        raise InputError(f"expected {num_classes} class names, as many as the weights have, found {len(class_names)}")
    return tuple(class_names)


@contextmanager
def taking_photos(name: str) -> Iterator[None]:
    """Says so where the weights of a network turn out not to be those of colour images.

    Args:
        name: name of the network.

    Raises:
        InputError: in place of Flax's error for kernels of other channels.
    """
    try:
        yield
    except flax.errors.ScopeParamShapeError as error:
        raise InputError(
            f"these weights of {name} do not take images of 3 channels, expected weights that were trained on colour "
            "images"
        ) from error
