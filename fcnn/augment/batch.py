"""What an augmentation is: `(key, batch) -> batch`, pure and jitted with the step.

A batch is a mapping of named arrays with the example first. An augmentation reads the entries that it needs by
`batch["name"]`, and returns a dict with the others as they were: `{**batch, "image": changed}`. A train step learns
which entries are used from what is read, so an augmentation reads no entry that it does not use.

Images alone count as a batch that holds nothing else: what comes back is images then.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, overload, runtime_checkable

import jax
from jaxtyping import Array, Float, Key

from fcnn.errors import InputError

Images = Float[Array, "batch height width channel"]
Batch = Mapping[str, Array]


@runtime_checkable
class Augmentation(Protocol):
    """`(key, batch) -> batch`, or `(key, images) -> images`."""

    @overload
    def __call__(self, key: Key[Array, ""], batch: Batch, /) -> dict[str, Array]: ...
    @overload
    def __call__(self, key: Key[Array, ""], batch: Images, /) -> Images: ...


def on_batches(change: Callable[[Key[Array, ""], Batch], dict[str, Array]]) -> Augmentation:
    """Returns the augmentation that applies `(key, batch) -> batch` to a batch or to images alone."""

    def augmentation(key: Any, batch: Any, /) -> Any:
        if isinstance(batch, Mapping):
            return change(key, batch)
        return change(key, {"image": batch})["image"]

    return augmentation


def images(change: Callable[[Key[Array, ""], Images], Images]) -> Augmentation:
    """Returns the augmentation that changes "image" and leaves all other entries as they are.

    Args:
        change: `(key, images) -> images`, with images float [batch, height, width, channel] in 0..1. An augmentation is
            such a function too: `images(random_flip())` flips the images and leaves a label map where it was.
    """
    return on_batches(lambda key, batch: {**batch, "image": change(key, batch["image"])})


def compose(*augmentations: Augmentation) -> Augmentation:
    """Returns the augmentation that applies several one after the other, each with a key of its own."""

    def composed(key: Any, batch: Any, /) -> Any:
        changed = batch
        for place, augmentation in enumerate(augmentations):
            between = _Between(changed, batch) if place and isinstance(changed, Mapping) else changed
            changed = augmentation(jax.random.fold_in(key, place), between)
        return changed

    return composed


def choose_one(*augmentations: Augmentation) -> Augmentation:
    """Returns the augmentation that applies one of several to the whole batch, each as often as the others.

    Only the one that was drawn is computed.

    Args:
        augmentations: what to choose from; all change the same entries to arrays of the same shape and type, as `mixup`
            and `cutmix` do.

    Raises:
        InputError: if there is nothing to choose from; (the returned function) if the augmentations return different
            entries, shapes or types.
    """
    if not augmentations:
        raise InputError("there must be at least one augmentation to choose from, got none")

    def choose(key, batch):
        # Each reads the batch itself, not a copy that is handed in: the step sees what is read.
        keys = [jax.random.fold_in(key, place) for place in range(len(augmentations) + 1)]
        branches = [
            lambda augmentation=augmentation, key=key: {**augmentation(key, batch)}
            for augmentation, key in zip(augmentations, keys[:-1], strict=True)
        ]
        first, *others = [_described(jax.eval_shape(branch)) for branch in branches]
        for other in others:
            if other != first:
                raise InputError(
                    f"augmentations to choose from must return the same entries, got {first} from one and {other} from "
                    "another: compose what changes shapes or types with each of them"
                )
        return jax.lax.switch(jax.random.randint(keys[-1], (), 0, len(branches)), branches)

    return on_batches(choose)


class _Between(dict):
    """The batch between two augmentations of a composition: what is read from it counts as read from the first one."""

    def __init__(self, batch, first):
        super().__init__(batch)
        self._first = first

    def __getitem__(self, name):
        if name in self._first:
            self._first[name]
        return super().__getitem__(name)


jax.tree_util.register_pytree_node(
    _Between,
    lambda batch: ([batch[name] for name in sorted(batch)], tuple(sorted(batch))),
    # A copy that JAX makes, as for `jax.vmap`, is a plain dict.
    lambda names, arrays: dict(zip(names, arrays, strict=True)),  # pyright: ignore[reportArgumentType]
)


def _described(batch):
    return ", ".join(f"{name} {batch[name].dtype} {list(batch[name].shape)}" for name in sorted(batch))
