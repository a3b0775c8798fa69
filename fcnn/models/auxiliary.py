"""Outputs with those of auxiliary heads beside them, which only training needs."""

from typing import NamedTuple

from jaxtyping import Array, Float


class AuxiliaryLogits(NamedTuple):
    """The outputs of a network in training with those of its auxiliary heads.

    The loss is that of `logits` plus that of each auxiliary head times its weight.

    Attributes:
        logits: float32 [batch, ..., class].
        auxiliary: one array of the same kind for each head.
        weights: the weight of each head's loss; a task may have another one.
    """

    logits: Float[Array, "batch *place class"]
    auxiliary: tuple[Float[Array, "batch *place class"], ...]
    weights: tuple[float, ...]
