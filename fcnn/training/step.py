"""The steps: compiled functions from (state, batch) to what comes out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from fcnn import parallel
from fcnn.errors import InputError
from fcnn.training.batch import AskedBatch, Batch, Metrics, checked_batch, refuse_unasked
from fcnn.training.compiling import compile_for
from fcnn.training.contracts import Augmentation, Model, TaskContract
from fcnn.training.evaluation_step import EvalStep, build_eval_step
from fcnn.training.inputs import as_floats, check_values, prepared
from fcnn.training.penalties import kernel_penalty
from fcnn.training.pixels import Prepare
from fcnn.training.state import AUGMENTATION, DROPOUT, TrainState
from fcnn.training.sums import metric_sums, total_size, without_masked_gradients


class TrainStep:
    """A compiled `(state, batch) -> (state, metrics)` that donates its state, and what a loop needs to know of it.

    Attributes:
        task: what the network is trained for.
        evaluation: the evaluation step of the same network, task, preparation and mesh.
        mesh: where the batch is split; None leaves the placement to the arrays.
        platform: what it is lowered for; None for that of the mesh, or this machine's.
    """

    def __init__(
        self, function: Callable, task: TaskContract, evaluation: EvalStep, mesh: Mesh | None, platform: str | None
    ):
        """Takes the function that is compiled."""
        self.task, self.evaluation, self.mesh, self.platform = task, evaluation, mesh, platform
        self.__wrapped__ = function
        self._compiled = compile_for(mesh, function, platform=platform, donate_argnums=0)

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Returns the state after the step, and the sums of the metrics over the batch as it was before the update.

        Raises:
            InputError: if the batch is not what the task takes.
        """
        check_values(self.task, batch)
        return self._compiled(state, batch)

    def lower(self, *arguments: Any, **named: Any) -> jax.stages.Lowered:
        """Returns the lowered step, as `jax.jit(...).lower` does."""
        return self._compiled.lower(*arguments, **named)

    def trace(self, *arguments: Any, **named: Any) -> jax.stages.Traced:
        """Returns the traced step, as `jax.jit(...).trace` does."""
        return self._compiled.trace(*arguments, **named)


def build_train_step(
    model: Model,
    tx: optax.GradientTransformation,
    task: TaskContract,
    *,
    prepare: Prepare | None = None,
    augment: Augmentation | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    ema_decay: float | None = None,
    accumulate: int = 1,
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> TrainStep:
    """Returns the train step of a task; see `fcnn.make_train_step`, which says what the arguments are."""
    for what, factor in (("l1", l1), ("l2", l2)):
        if not factor >= 0:
            raise InputError(f"{what} must not be negative, got {factor}")
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise InputError(f"ema decay must be at least 0 and less than 1, got {ema_decay}")
    if accumulate < 1:
        raise InputError(f"accumulate must be at least 1, got {accumulate}")

    def inputs_of(batch, key, asked):
        """Returns the batch as the network sees it."""
        batch = as_floats(checked_batch(batch))
        if augment is not None:
            before = batch
            # The mask is the step's: an augmentation that returns its own entries only need not know of it.
            batch = {"mask": before["mask"], **augment(key, AskedBatch(before, asked))}
            asked |= {name for name, array in before.items() if batch.get(name) is not array}
        return prepared(batch, prepare)

    def loss_of_part(params, batch_stats, keys, part, total, asked):
        """Returns the part's share of the mean loss, and (new statistics, metric sums)."""
        part = AskedBatch(part, asked)
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updates = task.apply(model, variables, part, train=True, rngs={"dropout": keys[DROPOUT]})
        sums = metric_sums(task, without_masked_gradients(outputs, part), part, train=True)
        if "loss" not in sums:
            raise InputError(f"the task {task.name!r} has no losses in training: return one for each example")
        return sums["loss"] / total, (updates.get("batch_stats", batch_stats), sums)

    def train_step(state, batch):
        if (ema_decay is None) != (state.ema is None):
            raise InputError("ema_decay and the state's ema go together: create_state(..., ema=True)")
        keys = {
            use: jax.random.fold_in(jax.random.fold_in(state.key, use), state.step) for use in (AUGMENTATION, DROPOUT)
        }
        asked: set[str] = set()
        inputs = inputs_of(batch, keys[AUGMENTATION], asked)
        total = total_size(task, AskedBatch(inputs, asked))
        total = jnp.where(total == 0, 1, total)

        def part_loss(params, batch_stats, keys, part):
            return loss_of_part(params, batch_stats, keys, part, total, asked)

        gradient = jax.value_and_grad(part_loss, has_aux=True)
        if accumulate == 1:
            (_, (batch_stats, sums)), gradients = gradient(state.params, state.batch_stats, keys, inputs)
        else:
            gradients, batch_stats, sums = _accumulate(gradient, accumulate, state, keys, inputs)
        refuse_unasked(inputs, asked)
        if l1 or l2:
            penalty = jax.grad(lambda params: kernel_penalty(params, l1=l1, l2=l2))(state.params)
            gradients = jax.tree.map(jnp.add, gradients, penalty)
        # Nothing reads the parameters once all gradients are there, and they can be updated in place. XLA on CPU would
        # copy large matrices that the gradient to a layer's input still needs.
        gradients = jax.lax.optimization_barrier(gradients)
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema_decay is not None:
            ema = _moving_average(ema, {"params": params, "batch_stats": batch_stats}, ema_decay, state.step + 1)
        return TrainState(state.step + 1, params, batch_stats, opt_state, ema, state.key), sums

    evaluation = build_eval_step(model, task, prepare=prepare, mesh=mesh, platform=platform)
    return TrainStep(train_step, task, evaluation, mesh, platform)


def scan_steps(
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]], mesh: Mesh | None = None
) -> Callable[[TrainState, Batch, Int[Array | np.ndarray, "steps batch"]], tuple[TrainState, Metrics]]:
    """Returns a jitted `(state, examples, indices) -> (state, metrics)` that does several steps in one call.

    The examples stay on the device; each step gathers its batch there. The numbers are those of calling `step` on one
    batch after the other. The metrics get a leading dimension: the step.

    Args:
        step: what `make_train_step` returned.
        mesh: the mesh that it was made for; the step's own without it.
    """
    mesh = mesh or getattr(step, "mesh", None)

    def steps(state, examples, indices):
        def one(state, index):
            batch = jax.tree.map(lambda array: jnp.take(array, index, axis=0), examples)
            if mesh is not None:
                batch = jax.lax.with_sharding_constraint(batch, parallel.batch_sharding(mesh))
            return step(state, batch)

        if len(indices) > 1:
            return jax.lax.scan(one, state, indices)
        # XLA on CPU takes its slow convolution in a loop, even in one of a single turn.
        state, metrics = one(state, indices[0])
        return state, jax.tree.map(lambda value: value[None], metrics)

    return compile_for(mesh, steps, platform=getattr(step, "platform", None), donate_argnums=0)


def _accumulate(gradient, parts, state, keys, batch):
    size = batch["mask"].shape[0]
    if size % parts:
        raise InputError(f"a batch of {size} cannot be accumulated in {parts} equal parts: take a multiple of {parts}")
    # Part i takes every parts-th example, so that each device keeps its own examples.
    batch = jax.tree.map(lambda x: x.reshape(size // parts, parts, *x.shape[1:]).swapaxes(0, 1), batch)

    def one(carry, numbered_part):
        gradients, batch_stats = carry
        number, part = numbered_part
        part_keys = {use: jax.random.fold_in(key, number) for use, key in keys.items()}
        (_, (batch_stats, sums)), more = gradient(state.params, batch_stats, part_keys, part)
        return (jax.tree.map(jnp.add, gradients, more), batch_stats), sums

    start = (jax.tree.map(jnp.zeros_like, state.params), state.batch_stats)
    (gradients, batch_stats), sums = jax.lax.scan(one, start, (jnp.arange(parts), batch))
    return gradients, batch_stats, jax.tree.map(lambda x: x.sum(axis=0), sums)


def _moving_average(average, variables, decay, steps):
    weight = (1 - decay) / (1 - decay ** steps.astype(jnp.float32))
    return jax.tree.map(lambda old, new: old + weight * (new - old), average, variables)
