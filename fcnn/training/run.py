"""The folder of a run: what was asked for, what came out."""

import dataclasses
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fcnn.errors import InputError

CONFIG, METRICS = "config.json", "metrics.jsonl"
_PACKAGES = ("fcnn", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def open_run(folder: str | Path, config: Any, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Returns the folder of a run, ready to be written to.

    A new run gets a `config.json` with the resolved config, the command, the versions of the packages and the git
    commit. An existing run is neither mixed with another nor lost: it is continued by the same config with `resume`, or
    removed with `overwrite`.

    Args:
        folder: where the run is or will be.
        config: a dataclass that says all that the result depends on.
        resume: continue the run that the folder holds; if it holds none, begin one.
        overwrite: remove the run that the folder holds.

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
            if resume:
                _check_same(wanted, _read_config(folder), folder)
                return folder
            if not overwrite:
                raise InputError(f"{folder} holds a run: continue it with --resume, or remove it with --overwrite")
            shutil.rmtree(folder)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and holds no run of fcnn: choose another folder, or empty it")
        folder.mkdir(parents=True, exist_ok=True)
        record = {
            "config": wanted,
            "command": shlex.join([Path(sys.executable).name, *sys.argv]),
            "versions": _versions(),
            "git_commit": _git_commit(),
        }
        write_atomically(folder / CONFIG, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"the run folder {folder} cannot be written: {error.strerror}: choose another folder"
        ) from error
    return folder


def read_record(folder: Path) -> dict[str, Any]:
    """Returns what `open_run` wrote: "config", "command", "versions", "git_commit"."""
    return json.loads((folder / CONFIG).read_text())


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes the rows of a run's metrics, one JSON object a line; a reader finds the old file or the new one."""
    write_atomically(folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))


def write_atomically(path: Path, text: str) -> None:
    """Writes a file beside its place and moves it there, so that it is never half-written."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _read_config(folder):
    try:
        return read_record(folder)["config"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{folder / CONFIG} is not a run's config: remove the run with --overwrite") from error


def _check_same(wanted, found, folder):
    differing = [
        f"{name} was {found.get(name)!r}, now {wanted.get(name)!r}"
        for name in sorted(wanted.keys() | found.keys())
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
