"""A classification network as the start of one that labels every pixel."""

from collections.abc import Mapping, Sequence
from functools import partial

import flax.linen as nn
import jax
from jaxtyping import Array, Key, PyTree

from fcnn.errors import InputError
from fcnn.models.head import initial_arrays
from fcnn.models.paths import by_path, from_paths


def from_classifier(
    model: nn.Module, variables: Mapping[str, PyTree], key: Key[Array, ""], input_shape: Sequence[int] | None = None
) -> dict[str, PyTree]:
    """Returns the variables of a network that labels pixels, with the layers of a trained classification network.

    A linear layer becomes the convolution that sees the same map (Long, Shelhamer and Darrell 2015, section 3.1): where
    an image has just the size that the classifier is made for, the convolution gives one pixel, the linear layer's
    output. Scores begin as the network has them, and with them all that the classifier has not.

    Args:
        model: the network: one on VGG takes the variables of a `VGG` with the same stages, one on a ResNet those of a
            `ResNet` with the same blocks.
        variables: the classification network's, with any number of classes, such as from `load_pretrained`.
        key: what is drawn with.
        input_shape: [batch, height, width, channel]; by default one image of the size that the network is made for.

    Returns:
        {"params": ..., "batch_stats": ...}.

    Raises:
        InputError: if the network labels no pixels, or the variables lack a layer or have it in another shape.
    """
    if not hasattr(model, "classifier_layer"):
        raise InputError(f"{type(model).__name__} labels no pixels: take one of the fcn networks")
    trained = by_path(variables)
    initialise = partial(initial_arrays, model, input_shape=input_shape)
    expected, copied, differing = jax.eval_shape(initialise, key), {}, []
    for path, array in expected.items():
        collection, *layer, leaf = path.split("/")
        source = model.classifier_layer("/".join(layer))
        if source is None:
            continue
        found = trained.get(f"{collection}/{source}/{leaf}")
        if found is None or not _holds_the_same(found.shape, array.shape):
            differing.append(f"{source}/{leaf}")
        else:
            copied[path] = found.reshape(array.shape)
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise InputError(
            f"the variables are not those of the classification network that this {type(model).__name__} starts from: "
            f"{', '.join(differing[:4])}{more} differ; take one with the same stages, channels and normalisation"
        )
    # Compiled, only what is returned is computed.
    new = jax.jit(lambda key: {path: array for path, array in initialise(key).items() if path not in copied})(key)
    merged = {path: copied[path] if path in copied else new[path] for path in expected}
    return from_paths(merged)


def _holds_the_same(found, expected):
    """Returns whether a layer's array is a convolution's, or that of the linear layer which the convolution becomes."""
    if len(found) == 2 and len(expected) == 4:
        rows, columns, in_channels, out_channels = expected
        return tuple(found) == (rows * columns * in_channels, out_channels)
    return tuple(found) == tuple(expected)
