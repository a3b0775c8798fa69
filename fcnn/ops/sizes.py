"""Sizes of images and of what is around them."""

from collections.abc import Sequence
from typing import Any

from jax import lax

Padding = str | Sequence[tuple[int, int]]


def explicit_padding(
    size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding
) -> tuple[tuple[int, int], ...]:
    """Returns the pixels (before, after) that a padding means, in height and in width."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, window, strides, padding)
    return tuple((int(low), int(high)) for low, high in padding)


def sizes_are_known(*shapes: Sequence[Any]) -> bool:
    """Returns whether all sizes are numbers of at least 1: `jax.export` has symbols for those that are open.

    Where one is not, XLA's own operations are taken, which need no comparison of sizes.
    """
    return all(isinstance(size, int) and size > 0 for shape in shapes for size in shape)
