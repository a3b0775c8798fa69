"""Examples as named arrays: "image", "label" and whatever else a task names, all with the example first."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Shaped

from fcnn.errors import InputError

# NumPy arrays on the host or JAX arrays on a device.
Examples = Mapping[str, Any] | tuple


@runtime_checkable
class EvaluationBatches(Protocol):
    """An evaluation set whose images differ in size, so that it makes its batches itself.

    It stands where a split or a mapping of named arrays stands for a set of one size.
    """

    def batches(self, batch_size: int) -> Iterable[dict[str, Any]]:
        """Yields every example once, in batches of named arrays that all begin with `batch_size` examples.

        Within a batch all images have one size; over all batches there are few (height, width), because every one is
        a compilation. The examples that are missing at the end of a batch are filled up and told by "mask" [batch],
        float32, 1 for an example and 0 for filling.

        Args:
            batch_size: examples in a batch.
        """
        ...


def named_arrays(examples: Any) -> dict[str, Shaped[Any, "n ..."]]:
    """Returns examples as arrays by name.

    Args:
        examples: a mapping of named arrays, which is taken as it is, or a pair (images, labels) such as a `Split`,
            which becomes "image" and "label".

    Raises:
        InputError: it is neither, or the arrays do not all begin with the same number of examples, at least one.
    """
    if isinstance(examples, Mapping):
        arrays = dict(examples)
    elif hasattr(examples, "images") and hasattr(examples, "labels"):
        # Examples that stay in their files say here what to do with them.
        arrays = {"image": examples.images, "label": examples.labels}
    elif isinstance(examples, tuple) and len(examples) == 2:
        arrays = {"image": examples[0], "label": examples[1]}
    else:
        raise InputError(
            f"expected examples as a mapping of named arrays or a pair (images, labels), got {type(examples).__name__}"
        )
    if not arrays:
        raise InputError('expected examples as named arrays, such as "image" and "label", got an empty mapping')
    for name, array in arrays.items():
        if not getattr(array, "shape", None):
            raise InputError(f'expected "{name}" as an array that begins with the examples, got {array!r:.60}')
    found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    counts = {array.shape[0] for array in arrays.values()}
    if len(counts) > 1:
        raise InputError(f"expected arrays that all begin with the same number of examples, got {found}")
    if 0 in counts:
        raise InputError(f"expected at least one example, got none: {found}")
    return arrays


def count_examples(arrays: Mapping[str, Any]) -> int:
    """Returns the number of examples in arrays that all begin with them, such as those of `named_arrays`."""
    return int(next(iter(arrays.values())).shape[0])


def as_they_are(outputs: Any) -> Any:
    """Returns the outputs of a network as its predictions: there is nothing to compute."""
    return outputs
