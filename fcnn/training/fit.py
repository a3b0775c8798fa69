"""The loop: epochs of steps, with evaluation, logs, checkpoints and resumption around them."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from fcnn import parallel
from fcnn.arrays import named_arrays
from fcnn.errors import InputError
from fcnn.runs.logbook import Progress, Rows, open_logbook
from fcnn.training.batch import Batch, Metrics
from fcnn.training.calls import plan_calls
from fcnn.training.compiling import compile_ahead
from fcnn.training.contracts import Loader
from fcnn.training.display import TrainingBar, epoch_line
from fcnn.training.evaluate import Examples
from fcnn.training.evaluate import evaluate as evaluate_examples
from fcnn.training.fetch import fetch
from fcnn.training.inputs import check_values
from fcnn.training.interruption import InterruptedRun, interruption
from fcnn.training.metrics import finish, numbers, score_of, shown, wide
from fcnn.training.state import TrainState


class NonFiniteLossError(ArithmeticError):
    """The loss is NaN or infinite; the message names the step, and the last checkpoint is kept."""


def fit(
    state: TrainState,
    step: Callable[[TrainState, Batch], tuple[TrainState, Metrics]],
    loader: Loader,
    *,
    epochs: int,
    validation: Examples | None = None,
    validation_batch_size: int = 250,
    evaluate: Callable[[TrainState], Mapping[str, Any]] | None = None,
    run_folder: str | Path | None = None,
    learning_rate: Callable[[int], Any] | None = None,
    steps_per_call: int = 1,
    resident_bytes: int = 2**30,
    mesh: Mesh | None = None,
    console: Console | None = None,
) -> tuple[TrainState, Rows]:
    """Trains for a number of epochs, from wherever the run stands.

    With a run folder, it writes `metrics.jsonl` and TensorBoard events, and saves a checkpoint after each epoch and
    when it is interrupted. The last one is kept, and the best by the task's metric on the validation examples; without
    validation examples there is no best one. If the folder holds a checkpoint, training goes on from there, and ends
    with the same parameters, bit for bit on one device, as if it had never stopped.

    Args:
        state: the state to begin with; it is donated.
        step: what `make_train_step` returned.
        loader: the batches by epoch; `fcnn.training.Loader` says what it must have.
        epochs: number of epochs of the whole run.
        validation: examples that the network is evaluated on after each epoch, for choices: not those of the test set.
        validation_batch_size: examples in a batch of that evaluation.
        evaluate: an evaluation of your own in its place, `state -> metrics`.
        run_folder: what `open_run` returned; None writes nothing.
        learning_rate: the optimizer's schedule, to be logged.
        steps_per_call: steps in one compiled call over a set that lives on the device, see `scan_steps`.
        resident_bytes: a set up to this size is put on the device whole; a larger one streams from the host.
        mesh: the mesh that the step was made for; the step's own without it.
        console: where to print; None prints nothing.

    Returns:
        The last state, and a row of metrics for each epoch: "train_...", "validation_...".

    Raises:
        NonFiniteLossError: if the loss is not finite.
        InterruptedRun: after Ctrl-C or SIGTERM, once the state is saved.
        InputError: if the batch size does not fit the set or the mesh, the examples do not fit the task, or a
            checkpoint does not fit the state or was made with other batches.
    """
    if epochs < 1 or steps_per_call < 1:
        raise InputError(f"epochs and steps per call must be at least 1, got {epochs} and {steps_per_call}")
    if validation is not None:
        if evaluate is not None:
            raise InputError("give validation examples, or an evaluation of your own, not both")
        evaluate = _evaluation_on(step, validation, validation_batch_size)
    steps_per_epoch, steps = loader.steps_per_epoch, epochs * loader.steps_per_epoch
    mesh = mesh or getattr(step, "mesh", None)
    if mesh is not None:
        if loader.batch_size % mesh.size:
            raise InputError(
                f"a batch of {loader.batch_size} cannot be split over {mesh.size} devices: "
                f"take a multiple of {mesh.size}"
            )
        state = parallel.replicate(mesh, state)
    advance, calls = plan_calls(step, loader, steps_per_call=steps_per_call, resident_bytes=resident_bytes, mesh=mesh)
    task = getattr(step, "task", None)
    # Operation by operation, a schedule is a dozen small programs to compile.
    rate_at = None if learning_rate is None else jax.jit(learning_rate)

    with ExitStack() as stack:
        logbook, state, progress = stack.enter_context(open_logbook(run_folder, state))
        interrupted = stack.enter_context(interruption())
        if progress.steps_per_epoch not in (0, steps_per_epoch):
            raise InputError(
                f"the run in {run_folder} has {progress.steps_per_epoch} steps an epoch, this one {steps_per_epoch}: "
                "continue it with the same set and batch size"
            )
        progress = progress._replace(steps_per_epoch=steps_per_epoch)
        done, epoch = int(state.step), len(progress.rows) + 1
        bar = TrainingBar(console, steps=steps, done=done, epoch=epoch, batch_size=loader.batch_size)
        stack.enter_context(bar)
        if run_folder is not None and evaluate is None and done < steps:
            bar.console.print("no validation examples: no best checkpoint is kept, only the last", highlight=False)
        for epoch in range(done // steps_per_epoch, epochs):
            batches = calls(epoch, done - epoch * steps_per_epoch)
            state, progress = _train_epoch(task, advance, batches, state, progress, bar, interrupted)
            done = int(state.step)
            if interrupted.is_set() and done < (epoch + 1) * steps_per_epoch:
                break
            _check_loader(steps_per_epoch, done - epoch * steps_per_epoch)
            row = _row(task, epoch + 1, done, progress)
            if rate_at is not None:
                row["learning_rate"] = float(rate_at(done - 1))
            measured = {} if evaluate is None else numbers(evaluate(state))
            row |= {f"validation_{name}": value for name, value in measured.items()}
            _refuse_what_is_not_finite(state, measured.get("loss", 0.0))
            progress = Progress([*progress.rows, row], {}, 0.0, steps_per_epoch)
            bar.show_epoch(min(epoch + 2, epochs))
            if parallel.is_main_process():
                bar.console.print(epoch_line(task, row, epochs), highlight=False)
            logbook.record(progress.rows)
            logbook.save(state, progress, score_of(task, measured))
            if interrupted.is_set():
                break
        if interrupted.is_set() and done < steps:
            _refuse_what_is_not_finite(state, 0.0)
            logbook.save(state, progress)
            where = (
                f"saved in {run_folder}: continue with --resume" if run_folder else "nothing was saved: no run folder"
            )
            raise InterruptedRun(f"stopped after step {done} of {steps}, {where}")
    return state, progress.rows


def _evaluation_on(step, examples, batch_size):
    """Returns the evaluation of a state on examples, by the step's own evaluation step."""
    if not hasattr(step, "evaluation"):
        raise InputError("validation examples need a step of make_train_step; give evaluate for one of your own")
    if not hasattr(examples, "batches"):
        # Not only after an epoch of training.
        check_values(step.task, named_arrays(examples))
    best = step.task.best.removeprefix("-")

    def evaluate_on(state):
        metrics = evaluate_examples(state, step.evaluation, examples, batch_size=batch_size)
        if best not in metrics:
            raise InputError(
                f"the task {step.task.name!r} chooses the best checkpoint by {best!r}, which is none of its metrics: "
                f"{', '.join(sorted(metrics))}"
            )
        return metrics

    return evaluate_on


def _check_loader(promised, given):
    """Refuses a loader that does not give as many batches in an epoch as it says."""
    if given != promised:
        raise InputError(
            f"the loader says that an epoch has {promised} batches (steps_per_epoch), and gives "
            f"{'more' if given > promised else given}: correct one of them"
        )


def _train_epoch(task, advance, batches, state, progress, bar, interrupted):
    """Returns the state and the progress after the rest of an epoch, or after the call that was interrupted."""
    clock = time.perf_counter() - progress.seconds
    done, sums = int(state.step), progress.sums
    end = (done // progress.steps_per_epoch + 1) * progress.steps_per_epoch

    def metrics_of_calls():
        nonlocal state
        for number, arguments in enumerate(batches):
            if number == 0:
                compile_ahead(advance, state, *arguments)
            state, metrics = advance(state, *arguments)
            yield metrics
            if interrupted.is_set():
                break

    for metrics in fetch(metrics_of_calls()):
        done, sums = _add(task, metrics, done, sums, bar)
        if done > end:
            _check_loader(progress.steps_per_epoch, progress.steps_per_epoch + done - end)
    return state, progress._replace(sums=sums, seconds=time.perf_counter() - clock)


def _add(task, metrics, done, sums, bar):
    """Shows the metrics of a call; returns the number of steps after it, and the sums with it."""
    losses = np.atleast_1d(metrics["loss"])
    finite = np.isfinite(losses)
    if not finite.all():
        raise NonFiniteLossError(
            f"the loss is {losses[~finite][0]} at step {done + int(np.argmin(finite))}: lower the learning"
            " rate, clip the gradient, or check the data; the last good checkpoint is kept"
        )
    # The results of several steps in one call begin with the step.
    several = np.ndim(metrics["loss"]) == 1
    of_call = {name: wide(value).sum(axis=0) if several else wide(value) for name, value in metrics.items()}
    bar.show_steps(len(losses), shown(task, finish(task, of_call), loss="{:.3f}"))
    sums = {name: (value + np.asarray(sums.get(name, 0))).tolist() for name, value in of_call.items()}
    return done + len(losses), sums


def _row(task, epoch, step, progress):
    totals = {name: wide(value) for name, value in progress.sums.items()}
    return {
        "epoch": epoch,
        "step": step,
        **{f"train_{name}": value for name, value in finish(task, totals).items()},
        "seconds": progress.seconds,
        "images_per_second": float(totals["count"]) / progress.seconds,
    }


def _refuse_what_is_not_finite(state, loss):
    """Raises an error before a state that has diverged takes the place of the last good checkpoint."""
    if not (math.isfinite(loss) and _all_finite(state.params)):
        raise NonFiniteLossError(
            f"the parameters or the validation loss are not finite after step {int(state.step)}: lower the learning"
            " rate, clip the gradient, or check the data; the last good checkpoint is kept"
        )


def _all_finite(params):
    # On the host: a program for a look once an epoch would take half a second to compile.
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(params)))
