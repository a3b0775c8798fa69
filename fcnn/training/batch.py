"""Batches: named arrays, and which of their entries are asked for."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from fcnn.errors import InputError

Batch = Mapping[str, ArrayLike]
Metrics = dict[str, Array]


class AskedBatch(dict):
    """A batch that notes which entries are read by name.

    Copying it with `{**batch}` reads none; handing it to a function of JAX, such as one by `jax.vmap`, reads them all.
    """

    def __init__(self, batch: Mapping[str, Any], asked: set[str]):
        """Takes the entries, and the set to which the names of those that are read are added."""
        super().__init__(batch)
        self._asked = asked

    def __getitem__(self, name: str) -> Any:
        """Returns an entry.

        Raises:
            InputError: if there is none of that name.
        """
        if name not in self:
            raise InputError(f"the batch has no {name!r}, which is asked for: it has {', '.join(sorted(self))}")
        self._asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns an entry, or the default."""
        return self[name] if name in self else default  # noqa: SIM401 (it is this method)


jax.tree_util.register_pytree_node(
    AskedBatch,
    lambda batch: ([batch[name] for name in sorted(batch)], tuple(sorted(batch))),
    # A copy that JAX makes is a plain dict: it notes nothing.
    lambda names, arrays: dict(zip(names, arrays, strict=True)),  # pyright: ignore[reportArgumentType]
)


def refuse_unasked(batch: Mapping[str, Any], asked: set[str]) -> None:
    """Refuses a batch with entries that are not used.

    Args:
        batch: the batch.
        asked: names of the entries that are.

    Raises:
        InputError: which names the others.
    """
    unasked = sorted(batch.keys() - asked - {"mask"})
    if unasked:
        names = ", ".join(map(repr, unasked))
        raise InputError(
            f"the batch has entries that neither the task nor the augmentation asks for: {names}; leave them out, or "
            "take a task that reads them"
        )


def checked_batch(batch: Batch) -> dict[str, Array]:
    """Returns a batch with a mask of 0 and 1; a masked example holds zeros.

    Args:
        batch: named arrays [batch, ...], with a "mask" [batch] where not all examples count.

    Raises:
        InputError: if the arrays do not have as many examples.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    sizes = {array.shape[:1] for array in batch.values()}
    if len(sizes) != 1 or () in sizes:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in batch.items())
        raise InputError(f"all entries of a batch must begin with the same number of examples, got {found or 'none'}")
    (size,) = sizes.pop()
    if "mask" not in batch:
        return batch | {"mask": jnp.ones(size, jnp.float32)}
    if batch["mask"].ndim != 1:
        raise InputError(f"the mask of a batch must be [batch], got {list(batch['mask'].shape)}")
    counted = batch["mask"] != 0
    # Zero times NaN is NaN: a masked example must not even be computed with.
    return {
        name: jnp.where(counted.reshape(-1, *[1] * (array.ndim - 1)), array, jnp.zeros((), array.dtype))
        for name, array in batch.items()
    } | {"mask": counted.astype(jnp.float32)}
