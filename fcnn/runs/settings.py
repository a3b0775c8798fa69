"""The folder of a run: what was asked for, what came out."""

import dataclasses
import importlib.metadata
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fcnn.errors import InputError
from fcnn.files import write_file

CONFIG, METRICS, CHECKPOINTS = "config.json", "metrics.jsonl", "checkpoints"
_PACKAGES = ("fcnn", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def open_run(folder: str | Path, config: Any, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Returns the folder of a run, ready to be written to.

    A new run gets a `config.json` with the resolved config, the command, the versions of the packages and the git
    commit. An existing run is neither mixed with another nor lost: it is continued by the same config with `resume`, or
    set aside with `overwrite`, in a folder beside it, until `settle_run` finds that the new one has begun.

    Args:
        folder: where the run is or will be.
        config: a dataclass that says all that the result depends on.
        resume: continue the run that the folder holds; if it holds none, begin one.
        overwrite: begin a new run in the place of the one that the folder holds.

    Raises:
        InputError: if the folder holds a run and neither is asked for, or a run with another config, or something else
            than a run, or cannot be written.
    """
    folder = Path(folder)
    wanted = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other: continue the run, or remove it and begin anew")
    try:
        if (folder / CONFIG).exists():
            found = _read_config(folder)
            if not (resume or overwrite):
                raise InputError(f"{folder} holds a run: continue it with --resume, or replace it with --overwrite")
            if resume:
                _check_same(wanted, found, folder)
                return folder
            _set_aside(folder)
        elif folder.exists() and (not folder.is_dir() or not all(_is_unfinished(name) for name in _names(folder))):
            raise InputError(f"{folder} exists and holds no run of fcnn: choose another folder, or empty it")
        folder.resolve().mkdir(parents=True, exist_ok=True)
        record = {
            "config": wanted,
            "command": shlex.join([Path(sys.executable).name, *sys.argv]),
            "versions": _versions(),
            "git_commit": _git_commit(),
        }
        write_file(folder / CONFIG, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def cannot_write(folder: str | Path, error: OSError) -> InputError:
    """Returns what to raise where the folder of a run cannot be written."""
    return InputError(f"the run folder {folder} cannot be written: {error.strerror}: choose another folder")


def settle_run(folder: Path) -> None:
    """Tidies up after a run: if it never came to a checkpoint, what was in its place before comes back.

    Args:
        folder: what `open_run` returned.
    """
    if (folder / METRICS).exists() or any((folder / CHECKPOINTS).glob("[0-9]*")):
        shutil.rmtree(_aside(folder), ignore_errors=True)
    elif folder.is_dir() and all(map(_is_of_beginning, _names(folder))):
        shutil.rmtree(folder.resolve(), ignore_errors=True)
        if _aside(folder).exists():
            _aside(folder).rename(folder.resolve())


def read_record(folder: Path) -> dict[str, Any]:
    """Returns what `open_run` wrote: "config", "command", "versions", "git_commit"."""
    return json.loads((folder / CONFIG).read_text())


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes the rows of a run's metrics, one JSON object a line; a reader finds the old file or the new one."""
    write_file(folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))


def _set_aside(folder):
    others = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    if others:
        raise InputError(f"{folder} holds other runs too ({', '.join(others)}): choose another folder")
    settle_run(folder)  # it may have been killed before it began
    if folder.exists():
        folder.resolve().rename(_aside(folder))


def _aside(folder):
    folder = folder.resolve()  # a link stays where it is
    return folder.with_name(f".{folder.name}.replaced")


def _is_of_beginning(name):
    """Returns whether a file is there before a run has come to a checkpoint."""
    return name in (CONFIG, CHECKPOINTS) or name.startswith("events.out.") or _is_unfinished(name)


def _is_unfinished(name):
    """Returns whether a file is one that a process was killed in writing."""
    return name.startswith((f".{CONFIG}.", f".{METRICS}.")) or name == f"{CONFIG}.tmp"  # version 0.1


def _names(folder):
    return {path.name for path in folder.iterdir()}


def _read_config(folder):
    try:
        record = json.loads((folder / CONFIG).read_text())
    except ValueError:
        record = {}
    is_ours = isinstance(record, dict) and {"config", "command", "versions"} <= record.keys()
    if not (is_ours and isinstance(record["config"], dict)):
        raise InputError(f"{folder / CONFIG} is not the config of a run of fcnn: choose another folder, or empty it")
    return record["config"]


def _check_same(wanted, found, folder):
    # A run by an older version lacks settings that came later: it was trained as if they were off.
    off = {name for name, value in wanted.items() if name not in found and not value}
    differing = [
        f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}"
        for name in sorted((wanted.keys() | found.keys()) - off)
        if wanted.get(name) != found.get(name)
    ]
    if differing:
        raise InputError(f"{folder} holds a run with another config ({'; '.join(differing)}): resume it with its own")


def _versions():
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git_commit():
    try:
        root = Path(__file__).parent
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
