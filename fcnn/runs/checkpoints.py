"""Checkpoints of a run: the last and the best, written by Orbax in the background, each there whole or not at all."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as managers

from fcnn.errors import InputError, unknown_name
from fcnn.runs.settings import CHECKPOINTS
from fcnn.runs.state import State, StateT


def open_checkpoints(run_folder: Path, *, read_only: bool = False) -> ocp.CheckpointManager:
    """Returns the manager of a run's checkpoints; it is a context manager that waits for what is being written.

    It keeps the last checkpoint and the one with the highest "score"; those that were not finished are removed.

    Args:
        run_folder: folder of the run.
        read_only: write and remove nothing: another process may be writing there.
    """
    # Orbax tells of every file it writes.
    logging.getLogger("absl").setLevel(logging.ERROR)
    keep = managers.AnyPreservationPolicy(
        [managers.LatestN(1), managers.BestN(n=1, get_metric_fn=_score, keep_checkpoints_without_metrics=False)]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=keep, cleanup_tmp_directories=not read_only, best_fn=_score, read_only=read_only
    )
    handlers = {"state": ocp.StandardCheckpointHandler(), "progress": ocp.JsonCheckpointHandler()}
    return ocp.CheckpointManager(run_folder.resolve() / CHECKPOINTS, options=options, item_handlers=handlers)


def save_checkpoint(
    manager: ocp.CheckpointManager, state: State, progress: dict[str, Any], score: float | None
) -> None:
    """Saves the state under its step, and where the run stands.

    Args:
        manager: what `open_checkpoints` returned.
        state: the state; it may be donated as soon as this returns.
        progress: anything that JSON can hold.
        score: the higher, the better; None never counts as best.
    """
    step = int(state.step)
    if step in manager.all_steps():
        return
    items = ocp.args.Composite(state=ocp.args.StandardSave(_entries(state)), progress=ocp.args.JsonSave(progress))
    manager.save(step, args=items, metrics=None if score is None else {"score": score}, force=True)


def restore_checkpoint(
    manager: ocp.CheckpointManager, like: StateT, which: str = "last"
) -> tuple[StateT, dict[str, Any]] | None:
    """Returns the state of a checkpoint and where its run stood, or None if there is no checkpoint.

    Args:
        manager: what `open_checkpoints` returned.
        like: a state of the same network and optimizer: its shapes and placement are those of the result.
        which: "last" or "best".

    Raises:
        InputError: if the checkpoint does not fit the state; its entries that do not are named.
    """
    if which not in ("last", "best"):
        raise unknown_name("checkpoint", which, ("last", "best"))
    step = manager.latest_step() if which == "last" else manager.best_step()
    if step is None:
        return None
    expected = _entries(like)
    saved = manager.item_metadata(step)["state"]
    _check_fit(saved, expected, f"{manager.directory / str(step)}")
    args = ocp.args.Composite(
        state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, expected)),
        progress=ocp.args.JsonRestore(),
    )
    try:
        restored = manager.restore(step, args=args)
    except (ValueError, OSError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"the checkpoint {manager.directory / str(step)} is damaged: remove that folder, and the one before it is "
            f"taken, or begin anew ({reason})"
        ) from error
    entries = dict(restored["state"])
    # The restored arrays may share memory with what they were read into; the step donates its state.
    entries = jax.tree.map(lambda array: array.copy(), entries)
    entries[".key"] = jax.random.wrap_key_data(entries[".key"], impl=jax.random.key_impl(like.key))
    paths, structure = jax.tree.flatten_with_path(like)
    return jax.tree.unflatten(structure, [entries[jax.tree_util.keystr(path)] for path, _ in paths]), restored[
        "progress"
    ]


def load_checkpoint(run_folder: str | Path, like: StateT, which: str = "best") -> StateT:
    """Returns the state of a run's checkpoint.

    Args:
        run_folder: folder of the run.
        like: a state of the same network and optimizer, such as `create_state` returns.
        which: "best" or "last".

    Raises:
        InputError: if the folder has no such checkpoint, or it does not fit.
    """
    if not (Path(run_folder) / CHECKPOINTS).is_dir():
        raise InputError(f"{run_folder} holds no checkpoints: expected a folder {CHECKPOINTS} in it, as a run writes")
    with open_checkpoints(Path(run_folder), read_only=True) as manager:
        restored = restore_checkpoint(manager, like, which)
    if restored is None:
        with_last = which == "best" and any((Path(run_folder) / CHECKPOINTS).glob("[0-9]*"))
        remedy = "it was trained without validation examples: take the last" if with_last else "train it first"
        raise InputError(f"{run_folder} has no {which} checkpoint: {remedy}")
    return restored[0]


def _score(metrics):
    return metrics["score"]


def _entries(state: State) -> dict[str, PyTree]:
    """Returns the arrays of a state by their path, so that a checkpoint can be read without the classes it had."""
    state = state._replace(key=jax.random.key_data(state.key))
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def _check_fit(saved, expected, where):
    faults = [f"{name} is missing" for name in expected if name not in saved]
    faults += [f"{name} is left over" for name in saved if name not in expected]
    faults += [
        f"{name} has shape {tuple(saved[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in saved and tuple(saved[name].shape) != tuple(expected[name].shape)
    ]
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise InputError(
            f"the checkpoint {where} does not fit this network and optimizer: {', '.join(faults[:5])}{more}"
        )
