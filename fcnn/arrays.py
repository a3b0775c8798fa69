"""Examples as named arrays: "image", "label" and whatever else a task names, all with the example first."""

from collections.abc import Mapping
from typing import Any

from fcnn.errors import InputError


def named_arrays(examples: Any) -> dict[str, Any]:
    """Returns the arrays of examples by name.

    Args:
        examples: a mapping of arrays, or a pair (images, labels) such as a `Split`.

    Raises:
        InputError: if there is no example, or the arrays do not all have as many.
    """
    arrays = dict(examples) if isinstance(examples, Mapping) else dict(zip(("image", "label"), examples, strict=True))
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "no array"
        raise InputError(f"all arrays must begin with the same number of examples, at least one: got {found}")
    return arrays


def count_examples(arrays: Mapping[str, Any]) -> int:
    """Returns the number of examples in named arrays."""
    return len(next(iter(arrays.values())))


def as_they_are(outputs: Any) -> Any:
    """Returns the outputs of a network as its predictions: there is nothing to compute."""
    return outputs
