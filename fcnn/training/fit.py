"""The loop: epochs of steps, with evaluation, logs, checkpoints and resumption around them."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from fcnn import parallel
from fcnn.errors import InputError
from fcnn.runs.logbook import Progress, Rows, open_logbook
from fcnn.training.display import TrainingBar, epoch_line
from fcnn.training.fetch import fetch
from fcnn.training.state import TrainState
from fcnn.training.step import TrainStep, compile_ahead, scan_steps


class NonFiniteLossError(ArithmeticError):
    """The loss is not a number or infinite; the message names the step, and the last checkpoint is kept."""


class InterruptedRun(KeyboardInterrupt):
    """Training was asked to stop by Ctrl-C or a termination signal; the state is saved and the message says where."""


def fit(
    state: TrainState,
    step: TrainStep,
    loader: Any,
    *,
    epochs: int,
    evaluate: Callable[[TrainState], dict[str, float]] | None = None,
    run_folder: str | Path | None = None,
    learning_rate: Callable[[int], Any] | None = None,
    steps_per_call: int = 1,
    resident_bytes: int = 2**30,
    mesh: Mesh | None = None,
    console: Console | None = None,
) -> tuple[TrainState, Rows]:
    """Trains for a number of epochs, from wherever the run stands.

    With a run folder, it writes `metrics.jsonl` and TensorBoard events, and saves a checkpoint after each epoch and
    when it is interrupted; the last and the best by test top-1 are kept. If the folder holds a checkpoint, training
    goes on from there, and ends with the same parameters, bit for bit on one device, as if it had never stopped.

    Args:
        state: the state to begin with; it is donated.
        step: what `make_train_step` returned.
        loader: batches by epoch: `batch_size`, `steps_per_epoch` and `batches(epoch, start)`, such as
            `fcnn.FolderLoader`; one with `split` and `indices(epoch)` too, such as `fcnn.Loader`, may be put on the
            device.
        epochs: number of epochs of the whole run.
        evaluate: called after each epoch; what it returns is logged as "test_...".
        run_folder: what `open_run` returned; None writes nothing.
        learning_rate: the optimizer's schedule, to be logged.
        steps_per_call: steps in one compiled call over a set that lives on the device, see `scan_steps`.
        resident_bytes: a set up to this size is put on the device whole; a larger one streams from the host.
        mesh: the mesh that the step was made for.
        console: where to print; None prints nothing.

    Returns:
        The last state, and a row of metrics for each epoch.

    Raises:
        NonFiniteLossError: if the loss is not finite.
        InterruptedRun: after Ctrl-C or SIGTERM, once the state is saved.
        InputError: if the batch size does not fit the set or the mesh, or a checkpoint does not fit the state or was
            made with other batches.
    """
    if epochs < 1 or steps_per_call < 1:
        raise InputError(f"epochs and steps per call must be at least 1, got {epochs} and {steps_per_call}")
    steps_per_epoch, steps = loader.steps_per_epoch, epochs * loader.steps_per_epoch
    if mesh is not None:
        if loader.batch_size % mesh.size:
            raise InputError(
                f"a batch of {loader.batch_size} cannot be split over {mesh.size} devices: "
                f"take a multiple of {mesh.size}"
            )
        state = parallel.replicate(mesh, state)
    advance, calls = _plan(step, loader, steps_per_call, resident_bytes, mesh)
    # Operation by operation, a schedule is a dozen small programs to compile.
    rate_at = None if learning_rate is None else jax.jit(learning_rate)

    with ExitStack() as stack:
        logbook, state, progress = stack.enter_context(open_logbook(run_folder, state))
        interrupted = stack.enter_context(_interruption())
        if progress.steps_per_epoch not in (0, steps_per_epoch):
            raise InputError(
                f"the run in {run_folder} has {progress.steps_per_epoch} steps an epoch, this one {steps_per_epoch}: "
                "continue it with the same set and batch size"
            )
        progress = progress._replace(steps_per_epoch=steps_per_epoch)
        done, epoch = int(state.step), len(progress.rows) + 1
        bar = TrainingBar(console, steps=steps, done=done, epoch=epoch, batch_size=loader.batch_size)
        stack.enter_context(bar)
        for epoch in range(done // steps_per_epoch, epochs):
            batches = calls(epoch, done - epoch * steps_per_epoch)
            state, progress = _train_epoch(advance, batches, state, progress, bar, interrupted)
            done = int(state.step)
            if interrupted.is_set() and done < (epoch + 1) * steps_per_epoch:
                break
            row = _row(epoch + 1, done, progress)
            if rate_at is not None:
                row["learning_rate"] = float(rate_at(done - 1))
            if evaluate is not None:
                row |= {f"test_{name}": value for name, value in evaluate(state).items()}
            _refuse_what_is_not_finite(state, row)
            progress = Progress([*progress.rows, row], {}, 0.0, steps_per_epoch)
            bar.show_epoch(min(epoch + 2, epochs))
            if parallel.is_main_process():
                bar.console.print(epoch_line(row, epochs), highlight=False)
            logbook.record(progress.rows)
            logbook.save(state, progress, row.get("test_top1", -row["train_loss"]))
            if interrupted.is_set():
                break
        if interrupted.is_set() and done < steps:
            _refuse_what_is_not_finite(state, {})
            logbook.save(state, progress)
            where = (
                f"saved in {run_folder}: continue with --resume" if run_folder else "nothing was saved: no run folder"
            )
            raise InterruptedRun(f"stopped after step {done} of {steps}, {where}")
    return state, progress.rows


def _plan(step, loader, steps_per_call, resident_bytes, mesh):
    """Returns how to do some steps, `(state, *what) -> (state, metrics)`, and what from a position of an epoch on."""
    split = getattr(loader, "split", None)
    if split is None or split.images.nbytes > resident_bytes:

        def batches(epoch, start):
            for batch in loader.batches(epoch, start):
                yield (batch if mesh is None else parallel.shard_batch(mesh, batch),)

        return step, batches

    examples = {"image": split.images, "label": split.labels}
    examples = jax.device_put(examples) if mesh is None else parallel.replicate(mesh, examples)
    several = scan_steps(step, mesh)
    # Calls of equal length, if they can be: every other length is compiled anew.
    length = math.ceil(loader.steps_per_epoch / math.ceil(loader.steps_per_epoch / steps_per_call))

    def index_blocks(epoch, start):
        indices = loader.indices(epoch)
        for first in range(start, len(indices), length):
            block = indices[first : first + length]
            yield examples, block if mesh is None else parallel.replicate(mesh, block)

    return several, index_blocks


def _train_epoch(advance, batches, state, progress, bar, interrupted):
    """Returns the state and the progress after the rest of an epoch, or after the call that was interrupted."""
    clock = time.perf_counter() - progress.seconds
    done, sums = int(state.step), progress.sums

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
        done, sums = _add(metrics, done, sums, bar)
    return state, progress._replace(sums=sums, seconds=time.perf_counter() - clock)


def _add(metrics, done, sums, bar):
    """Shows the metrics of a call; returns the number of steps after it, and the sums with it."""
    metrics = {name: np.atleast_1d(value).astype(np.float64) for name, value in metrics.items()}
    finite = np.isfinite(metrics["loss"])
    if not finite.all():
        raise NonFiniteLossError(
            f"the loss is {metrics['loss'][~finite][0]} at step {done + int(np.argmin(finite))}: lower the learning"
            " rate, clip the gradient, or check the data; the last good checkpoint is kept"
        )
    of_call = {name: float(values.sum()) for name, values in metrics.items()}
    bar.show_steps(len(finite), of_call)
    return done + len(finite), {name: sums.get(name, 0.0) + value for name, value in of_call.items()}


def _row(epoch, step, progress):
    count = progress.sums["count"]
    return {
        "epoch": epoch,
        "step": step,
        "train_loss": progress.sums["loss"] / count,
        "train_top1": progress.sums["top1"] / count,
        "seconds": progress.seconds,
        "images_per_second": count / progress.seconds,
    }


def _refuse_what_is_not_finite(state, row):
    """Raises an error before a state that has diverged takes the place of the last good checkpoint."""
    if not (math.isfinite(row.get("test_loss", 0.0)) and _all_finite(state.params)):
        raise NonFiniteLossError(
            f"the parameters or the test loss are not finite after step {int(state.step)}: lower the learning rate,"
            " clip the gradient, or check the data; the last good checkpoint is kept"
        )


def _all_finite(params):
    # On the host: a program for a look once an epoch would take half a second to compile.
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(params)))


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Yields an event that is set by the first Ctrl-C or SIGTERM; the second one stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number, frame):
        event.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield event
    finally:
        restore()
