"""Parts of a network that are trained differently, or not at all: optimizers by parameter path."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from fcnn.patterns import match_paths

_OTHERWISE = ""  # a pattern that matches no path


def by_path(
    rules: Mapping[str, optax.GradientTransformation], otherwise: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Returns the optimizer that treats parameters by their path, such as a new head with a higher learning rate.

    What an optimizer does to all parameters together, as clipping by their norm, it does to its own.

    Args:
        rules: `{pattern: optimizer}`; see `match_parameters`.
        otherwise: the optimizer of the parameters that no pattern matches.

    Raises:
        InputError: (its `init`) if a pattern matches no parameter.
    """

    def labels(params):
        return label_parameters(params, tuple(rules), _OTHERWISE)

    return optax.multi_transform({**rules, _OTHERWISE: otherwise}, labels)


def freeze(tx: optax.GradientTransformation, patterns: Sequence[str]) -> optax.GradientTransformation:
    """Returns the optimizer that leaves the parameters of some paths as they are, to the last bit.

    BatchNorm's statistics are no parameters: `fcnn.models.FrozenNorms` keeps them.

    Args:
        tx: the optimizer of the other parameters.
        patterns: which parameters to leave; see `match_parameters`.

    Raises:
        InputError: (its `init`) if a pattern matches no parameter.
    """
    return by_path(dict.fromkeys(patterns, _no_change()), otherwise=tx)


def match_parameters(params: PyTree, patterns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the paths of the parameters that each pattern matches.

    A path is "layer1_0/conv1/kernel". A pattern is a regular expression that matches a whole path, of a parameter or of
    a layer with all that is in it: "fc", "layer1_.*", ".*/bias". Where several match, the first one counts.

    Args:
        params: the parameters.
        patterns: regular expressions.

    Raises:
        InputError: if a pattern is no regular expression or matches no parameter; the nearest paths are named.
    """
    return match_paths(["/".join(key.key for key in path) for path, _ in jax.tree.leaves_with_path(params)], patterns)


def label_parameters(params: PyTree, patterns: Sequence[str], otherwise: str) -> PyTree:
    """Returns a tree like `params` that holds the pattern which matches each parameter.

    Args:
        params: the parameters.
        patterns: regular expressions; see `match_parameters`.
        otherwise: what to hold for a parameter that none matches.

    Raises:
        InputError: as `match_parameters`.
    """
    matches = match_parameters(params, patterns)
    pattern_of = {path: pattern for pattern, paths in matches.items() for path in paths}
    return jax.tree.map_with_path(lambda path, _: pattern_of.get("/".join(key.key for key in path), otherwise), params)


def _no_change():
    # Adding -0 changes no number, where adding 0 makes 0 of -0.
    return optax.stateless(lambda updates, _: jax.tree.map(lambda update: jnp.full_like(update, -0.0), updates))
