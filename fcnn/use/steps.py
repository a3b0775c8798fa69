"""The steps of a task; of classification, unless another one is given."""

from collections.abc import Callable
from typing import Any

import optax
from jax.sharding import Mesh

from fcnn.errors import InputError
from fcnn.tasks import Task, classification, cross_entropy
from fcnn.tasks.classification import Loss
from fcnn.training import EvalStep, TrainStep, build_eval_step, build_train_step
from fcnn.training.contracts import Augmentation, Model
from fcnn.training.pixels import Prepare


def make_train_step(
    model: Model,
    tx: optax.GradientTransformation,
    *,
    task: Task | None = None,
    prepare: Prepare | None = None,
    augment: Augmentation | None = None,
    loss: Loss | None = None,
    label_smoothing: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    ema_decay: float | None = None,
    accumulate: int = 1,
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> TrainStep:
    """Returns a jitted `(state, batch) -> (state, metrics)` that donates its state.

    A batch is a mapping of named arrays [batch, ...]: "image", uint8 or float [batch, height, width, channel], and what
    the task reads, such as "label"; an entry that nothing reads is an error. It may hold a "mask" [batch] that is 0
    where an example does not count: whatever that holds, it adds nothing to metrics and gradients; BatchNorm sees black
    in its place. Pixels of uint8 are divided by 255, then augmented, then prepared.

    The metrics are sums over the batch as it was before the update, on augmented examples: "loss", "count", and those
    that the task measures, such as "top1" (correct ones). The update minimises the mean loss plus the penalties. The
    random keys of a step depend on the root key and the step's number only.

    Args:
        model: a Flax module, or anything else with `apply(variables, images, train=...)`.
        tx: the optimizer.
        task: what the network is trained for; `fcnn.tasks.classification()` by default.
        prepare: from images in 0..1 to the network's input; see `make_prepare`.
        augment: `(key, batch) -> batch`; see `fcnn.augment`.
        loss: of classification, `(logits, target probabilities) -> loss of each example`, in place of a task.
        label_smoothing: of classification, in place of a task.
        l1: factor of the kernels' absolute values, added to the loss.
        l2: factor of half the kernels' squares, added to the loss.
        ema_decay: decay of the moving average of parameters and statistics. The average is corrected for its start as
            Adam's moments are (Kingma and Ba 2015, section 3): after the first step it is that step's variables.
        accumulate: number of equal parts in which the batch is computed, one after the other, to save memory. BatchNorm
            sees each part by itself.
        mesh: where the batch is split; the state is on all devices. None leaves the placement to the arrays.
        platform: "cpu", "gpu" or "tpu" for a step that is lowered for another machine, by `step.lower(state, batch)`;
            None for that of the mesh, or this machine's.

    Raises:
        InputError: if a number is out of its range; (the step) if the batch does not fit the task or cannot be split
            into `accumulate` parts, or `ema_decay` and the state's `ema` do not go together.
    """
    task = _task_of(task, loss, label_smoothing)
    return build_train_step(
        model,
        tx,
        task,
        prepare=prepare,
        augment=augment,
        l1=l1,
        l2=l2,
        ema_decay=ema_decay,
        accumulate=accumulate,
        mesh=mesh,
        platform=platform,
    )


def make_eval_step(
    model: Model,
    *,
    task: Task | None = None,
    prepare: Prepare | None = None,
    loss: Loss | None = None,
    mesh: Mesh | None = None,
    platform: str | None = None,
) -> EvalStep:
    """Returns a compiled `(state, batch) -> metrics`: sums over the examples whose "mask" is not 0.

    The metrics are "loss", "count", and those of the task: "top1", and "top5" with more than five classes. The state's
    moving average is evaluated where it has one; `state._replace(ema=None)` evaluates the parameters themselves. A
    train step has such a step as its `evaluation`.

    Args:
        model: as in `make_train_step`.
        task: as in `make_train_step`.
        prepare: as in `make_train_step`.
        loss: as in `make_train_step`.
        mesh: as in `make_train_step`.
        platform: as in `make_train_step`.
    """
    return build_eval_step(model, _task_of(task, loss, 0.0), prepare=prepare, mesh=mesh, platform=platform)


def make_predict_step(
    model: Any, *, task: Task | None = None, prepare: Prepare | None = None, mesh: Mesh | None = None
) -> Callable:
    """Returns a compiled `(state, batch) -> predictions`, logits for classification, in evaluation mode.

    Arguments are as in `make_train_step`.
    """
    return build_eval_step(model, _task_of(task, None, 0.0), prepare=prepare, mesh=mesh).predict


def _task_of(task: Task | None, loss: Loss | None, label_smoothing: float) -> Task:
    if task is None:
        return classification(loss=loss or cross_entropy, label_smoothing=label_smoothing)
    if loss is not None or label_smoothing:
        raise InputError(
            f"loss and label smoothing belong to the task: give them to fcnn.tasks.{task.name}, not to the step"
        )
    return task
