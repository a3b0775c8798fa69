"""A network in training, part of whose batch normalisation stays as in evaluation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import flax.traverse_util
from jaxtyping import Array, Float, PyTree

from fcnn.models.layers import BatchNorm
from fcnn.patterns import is_matched, match_paths


class FrozenNorms(NamedTuple):
    """A network that a train step can be made for, as a module: `init` and `apply`.

    In training the batch normalisation of a frozen part normalises by its running statistics and leaves them as they
    are: otherwise features that are meant to stay would change with every batch.

    Attributes:
        model: the network.
        patterns: regular expressions, each for whole paths of layers with all that is in them, or of parameters:
            "bn1", "layer1_.*", ".*/(scale|bias)". A normalisation whose scale and bias they match is frozen; what they
            match besides does not matter here.
    """

    model: nn.Module
    patterns: tuple[str, ...]

    def init(self, *args: Any, **options: Any) -> PyTree:
        """Returns the network's new variables; arguments as for a module."""
        return self.model.init(*args, **options)

    def apply(
        self, variables: Mapping, images: Float[Array, "batch height width channel"], *, train: bool, **options: Any
    ) -> PyTree:
        """Returns what the network does; arguments as for a module.

        Raises:
            InputError: if a pattern is no regular expression or matches no parameter; the nearest paths are named.
        """
        collections = variables["params"], variables.get("batch_stats", {})
        paths = [path for tree in collections for path in flax.traverse_util.flatten_dict(tree, sep="/")]
        match_paths(paths, self.patterns)

        def evaluate_frozen(next_function, args, kwargs, context):
            layer = context.module
            if not (isinstance(layer, nn.BatchNorm | BatchNorm) and train and self._is_frozen(layer.path)):
                return next_function(*args, **kwargs)
            evaluating = layer.clone(parent=None, use_running_average=True)
            return evaluating.apply(layer.variables, *args, **kwargs)

        with nn.intercept_methods(evaluate_frozen):
            return self.model.apply(variables, images, train=train, **options)

    def _is_frozen(self, path):
        """Returns whether patterns match a layer, or each of its parameters."""
        if not path:  # the copy of a layer that evaluates: it is in no network
            return False
        return all(
            any(is_matched("/".join((*path, leaf)), pattern) for pattern in self.patterns) for leaf in ("scale", "bias")
        )
