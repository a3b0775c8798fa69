"""Variables by path, such as "params/fc/kernel", and as the nested mappings that a network takes."""

from collections.abc import Mapping

import flax.traverse_util
from jaxtyping import PyTree


def by_path(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns the arrays of a network's variables by path.

    Args:
        variables: {"params": ..., "batch_stats": ...}; either may be missing.
    """
    collections = {collection: variables.get(collection, {}) for collection in ("params", "batch_stats")}
    return flax.traverse_util.flatten_dict(collections, sep="/")


def from_paths(arrays: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """Returns {"params": ..., "batch_stats": ...}, each empty where no path begins with it.

    Args:
        arrays: what `by_path` returned.
    """
    return {"params": {}, "batch_stats": {}} | flax.traverse_util.unflatten_dict(arrays, sep="/")
