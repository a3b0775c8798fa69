"""All that changes in training, in one value."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, PyTree

from fcnn.initial import make_initial

# What a random key is for: the first address folded into the root key; the second is the step.
PARAMETERS, DROPOUT, AUGMENTATION = 0, 1, 2


class TrainState(NamedTuple):
    """The state of a run: arrays and nothing else.

    Attributes:
        step: number of updates done.
        params: the parameters.
        batch_stats: BatchNorm's running statistics; {} without BatchNorm.
        opt_state: the optimizer's state.
        ema: moving average of the variables, {"params", "batch_stats"}; None when unused.
        key: the root of all randomness in training; it never changes.
    """

    step: Int[Array, ""]
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    ema: dict[str, PyTree] | None
    key: Key[Array, ""]

    @property
    def variables(self) -> dict[str, PyTree]:
        """What `model.apply` takes: the present parameters and statistics."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def evaluation_variables(self) -> dict[str, PyTree]:
        """What is evaluated: the moving average where there is one, the present variables otherwise."""
        return self.variables if self.ema is None else self.ema


def create_state(
    model: Any,
    tx: optax.GradientTransformation,
    *,
    key: Key[Array, ""],
    input_shape: Sequence[int],
    variables: PyTree | None = None,
    ema: bool = False,
) -> TrainState:
    """Returns the state before the first step.

    The values depend on the network and the key alone, not on the size of the images: they are those of `model.init`
    with `fold_in(key, 0)`, and with the library's own initializers the same in every version of JAX on CPUs.
    Version 0.1 drew the same ones, except that with JAX 0.10 it rounded the last bit of kernels of at most 4096 numbers
    in another way.

    Args:
        model: a Flax module called as `model.apply(variables, images, train=...)`.
        tx: the optimizer.
        key: root of all randomness: initialisation, dropout, augmentation.
        input_shape: [batch, height, width, channel] of the network's input.
        variables: `{"params", "batch_stats"}` to start from, such as published weights, instead of random ones.
        ema: whether to keep a moving average of the variables (see `make_train_step`).

    Raises:
        InputError: if the network cannot take such images.
    """

    def initialise(parameters, key, variables):
        # Copies, because the step will donate its state, and the caller's variables are the caller's.
        start = jax.tree.map(jnp.copy, variables)
        if start is None:
            images = jnp.zeros(tuple(input_shape), jnp.float32)
            start = model.init({"params": parameters, "dropout": parameters}, images, train=True)
        params, batch_stats = start["params"], start.get("batch_stats", {})
        average = {"params": params, "batch_stats": batch_stats} if ema else None
        return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, tx.init(params), average, key)

    # Compiled, so that each array of the state has memory of its own: the step donates it.
    return make_initial(initialise, jax.random.fold_in(key, PARAMETERS), key, variables)
