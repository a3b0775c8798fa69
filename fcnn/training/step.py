"""The steps: compiled functions from (state, batch) to what comes out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from fcnn import parallel
from fcnn.errors import InputError
from fcnn.machine.compilation import jit
from fcnn.machine.memory import return_unused_memory
from fcnn.training.batch import Batch, Metrics, checked_batch, metric_sums
from fcnn.training.losses import Loss, cross_entropy, kernel_penalty, loss_of_each, smooth_labels
from fcnn.training.pixels import Prepare, to_unit_range
from fcnn.training.state import AUGMENTATION, DROPOUT, TrainState

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
PredictStep = Callable[[TrainState, Batch], Float[Array, "batch class"]]


class EvalStep(NamedTuple):
    """`(state, batch) -> metrics` in two compiled parts: who needs the logits too calls the part that gives them.

    Attributes:
        predict: `(state, batch) -> logits`.
        measure: `(logits, batch) -> metrics`.
    """

    predict: PredictStep
    measure: Callable[[Float[Array, "batch class"], Batch], Metrics]

    def __call__(self, state: TrainState, batch: Batch) -> Metrics:
        """Returns the sums of the metrics over a batch."""
        return self.measure(self.predict(state, batch), batch)


def make_train_step(
    model: Any,
    tx: optax.GradientTransformation,
    *,
    prepare: Prepare | None = None,
    augment: Callable[[Array, Array], Array] | None = None,
    loss: Loss = cross_entropy,
    label_smoothing: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    ema_decay: float | None = None,
    accumulate: int = 1,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Returns a jitted `(state, batch) -> (state, metrics)` that donates its state.

    The batch is `{"image": uint8 or float [batch, height, width, channel], "label": int [batch]}`, and may hold a
    "mask" [batch] that is 0 where an example does not count: whatever it holds, it adds nothing to metrics and
    gradients; BatchNorm sees black in its place.
    Pixels of uint8 are divided by 255, then augmented, then prepared.
    The metrics are sums over the batch as it was before the update: "loss", "top1" (correct ones), "count".

    The update minimises the mean loss over the examples, plus the penalties. The random keys of a step depend on the
    root key and the step's number only.

    Args:
        model: a Flax module, or anything else with `apply(variables, images, train=...)`.
        tx: the optimizer.
        prepare: from images in 0..1 to the network's input; see `make_prepare`.
        augment: `(key, images) -> images`; see `fcnn.augment`.
        loss: `(logits, target probabilities) -> loss of each example`.
        label_smoothing: share of the target probability that is spread evenly over all classes.
        l1: factor of the kernels' absolute values, added to the loss.
        l2: factor of half the kernels' squares, added to the loss.
        ema_decay: decay of the moving average of parameters and statistics. The average is corrected for its start as
            Adam's moments are (Kingma and Ba 2015, section 3): after the first step it is that step's variables.
        accumulate: number of equal parts in which the batch is computed, one after the other, to save memory. BatchNorm
            sees each part by itself.
        mesh: where the batch is split; the state is on all devices. None leaves the placement to the arrays.

    Raises:
        InputError: if a number is out of its range; (the step) if the batch cannot be split into `accumulate` parts, or
            `ema_decay` and the state's `ema` do not go together.
    """
    _check_range("label smoothing", label_smoothing, 0, 1)
    for what, factor in (("l1", l1), ("l2", l2)):
        if not factor >= 0:
            raise InputError(f"{what} must not be negative, got {factor}")
    if ema_decay is not None:
        _check_range("ema decay", ema_decay, 0, 1)
    if accumulate < 1:
        raise InputError(f"accumulate must be at least 1, got {accumulate}")

    def loss_of_part(params, batch_stats, keys, part, total):
        """Returns the part's share of the mean loss, and (new statistics, metric sums)."""
        images = to_unit_range(part["image"])
        if augment is not None:
            images = augment(keys[AUGMENTATION], images)
        if prepare is not None:
            images = prepare(images)
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updates = model.apply(
            variables, images, train=True, rngs={"dropout": keys[DROPOUT]}, mutable=["batch_stats"]
        )
        logits, auxiliary = _split_outputs(outputs)
        targets = smooth_labels(part["label"], logits.shape[-1], label_smoothing)
        losses = loss_of_each(loss, logits, targets)
        for weight, auxiliary_logits in auxiliary:
            losses += weight * loss_of_each(loss, auxiliary_logits, targets)
        sums = metric_sums(losses, logits, part)
        return sums["loss"] / total, (updates.get("batch_stats", batch_stats), sums)

    def train_step(state, batch):
        if (ema_decay is None) != (state.ema is None):
            raise InputError("ema_decay and the state's ema go together: create_state(..., ema=True)")
        batch = checked_batch(batch)
        total = jnp.maximum(jnp.sum(batch["mask"]), 1)
        gradient = jax.value_and_grad(loss_of_part, has_aux=True)
        keys = {
            use: jax.random.fold_in(jax.random.fold_in(state.key, use), state.step) for use in (AUGMENTATION, DROPOUT)
        }
        if accumulate == 1:
            (_, (batch_stats, sums)), gradients = gradient(state.params, state.batch_stats, keys, batch, total)
        else:
            gradients, batch_stats, sums = _accumulate(gradient, accumulate, state, keys, batch, total)
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

    return _jit(train_step, mesh, donate_argnums=0)


def make_eval_step(
    model: Any, *, prepare: Prepare | None = None, loss: Loss = cross_entropy, mesh: Mesh | None = None
) -> EvalStep:
    """Returns a compiled `(state, batch) -> metrics`: sums over the examples whose "mask" is not 0.

    The metrics are "loss", "top1", "count", and "top5" with more than five classes. The state's moving average is
    evaluated where it has one; `state._replace(ema=None)` evaluates the parameters themselves.

    Args:
        model: a Flax module.
        prepare: as in `make_train_step`.
        loss: `(logits, target probabilities) -> loss of each example`.
        mesh: as in `make_train_step`.
    """

    def measure(logits, batch):
        batch = checked_batch({name: value for name, value in batch.items() if name != "image"})
        targets = smooth_labels(batch["label"], logits.shape[-1])
        return metric_sums(loss_of_each(loss, logits, targets), logits, batch)

    return EvalStep(make_predict_step(model, prepare=prepare, mesh=mesh), _jit(measure, mesh))


def make_predict_step(model: Any, *, prepare: Prepare | None = None, mesh: Mesh | None = None) -> PredictStep:
    """Returns a jitted `(state, batch) -> logits` in evaluation mode; arguments as in `make_eval_step`."""

    def predict_step(state, batch):
        images = to_unit_range(batch["image"])
        images = images if prepare is None else prepare(images)
        return model.apply(state.evaluation_variables, images, train=False)

    return _jit(predict_step, mesh)


def scan_steps(
    step: TrainStep, mesh: Mesh | None = None
) -> Callable[[TrainState, Batch, Int[Array, "steps batch"]], tuple[TrainState, Metrics]]:
    """Returns a jitted `(state, examples, indices) -> (state, metrics)` that does several steps in one call.

    The examples stay on the device; each step gathers its batch there. The numbers are those of calling `step` on one
    batch after the other. The metrics get a leading dimension: the step.

    Args:
        step: what `make_train_step` returned.
        mesh: the mesh that it was made for.
    """

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

    return _jit(steps, mesh, donate_argnums=0)


def compile_ahead(function: Callable, *arguments: Any) -> None:
    """Compiles a jitted function for the arguments of its next call, and gives back the memory that took.

    Otherwise what the compiler leaves, hundreds of megabytes for a deep network, lies beside the memory of the call.

    Args:
        function: a function; one that is not jitted is left alone.
        arguments: what it will be called with.
    """
    if hasattr(function, "lower"):
        function.lower(*arguments).compile()
    return_unused_memory()


def _jit(function, mesh, **options):
    """Returns the compiled function, whose results are on every device of the mesh, if there is one."""
    return jit(function, out_shardings=None if mesh is None else parallel.replicated(mesh), **options)


def _split_outputs(outputs):
    """Returns the logits, and (weight, logits) of each auxiliary head where a network has such."""
    if hasattr(outputs, "auxiliary"):
        return outputs.logits, tuple(zip(outputs.weights, outputs.auxiliary, strict=True))
    return outputs, ()


def _accumulate(gradient, parts, state, keys, batch, total):
    size = batch["label"].shape[0]
    if size % parts:
        raise InputError(f"a batch of {size} cannot be accumulated in {parts} equal parts: take a multiple of {parts}")
    # Part i takes every parts-th example, so that each device keeps its own examples.
    batch = jax.tree.map(lambda x: x.reshape(size // parts, parts, *x.shape[1:]).swapaxes(0, 1), batch)

    def one(carry, numbered_part):
        gradients, batch_stats = carry
        number, part = numbered_part
        part_keys = {use: jax.random.fold_in(key, number) for use, key in keys.items()}
        (_, (batch_stats, sums)), more = gradient(state.params, batch_stats, part_keys, part, total)
        return (jax.tree.map(jnp.add, gradients, more), batch_stats), sums

    start = (jax.tree.map(jnp.zeros_like, state.params), state.batch_stats)
    (gradients, batch_stats), sums = jax.lax.scan(one, start, (jnp.arange(parts), batch))
    return gradients, batch_stats, jax.tree.map(lambda x: x.sum(axis=0), sums)


def _moving_average(average, variables, decay, steps):
    weight = (1 - decay) / (1 - decay ** steps.astype(jnp.float32))
    return jax.tree.map(lambda old, new: old + weight * (new - old), average, variables)


def _check_range(what, value, low, high):
    if not low <= value < high:
        raise InputError(f"{what} must be at least {low} and less than {high}, got {value}")
