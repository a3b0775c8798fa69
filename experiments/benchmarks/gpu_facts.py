"""What gpu.py says of the machine and of itself: card, driver, versions, command, commit."""

import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fcnn

PACKAGES = ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "flax", "optax", "numpy")


def facts_of(torch_python: Path | None) -> dict[str, str]:
    """Returns what is known without touching a device."""
    card = output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    facts = {"card": card.splitlines()[0] if card else "no nvidia-smi"}
    facts["processor"] = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    facts["python"] = platform.python_version()
    facts["fcnn"] = fcnn.__version__
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if torch_python is not None:
        script = "import torch; print(torch.__version__, torch.version.cuda, torch.backends.cudnn.version())"
        facts["torch, CUDA, cuDNN"] = output_of(str(torch_python), "-c", script) or "cannot be imported"
    facts["command"] = shlex.join([Path(sys.executable).name, *sys.argv])
    here = str(Path(__file__).parent)
    facts["commit"] = output_of("git", "-C", here, "describe", "--always", "--dirty", "--abbrev=40") or "no repository"
    facts["date"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return facts


def memory_gib(facts: dict[str, str]) -> float | None:
    """Returns the card's memory, None if it is not known."""
    words = facts["card"].split(",")[-1].split()
    return int(words[0]) / 1024 if len(words) == 2 and words[1] == "MiB" else None


def output_of(*command: str) -> str:
    """Returns what a command prints, nothing if it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (subprocess.SubprocessError, OSError):
        return ""
