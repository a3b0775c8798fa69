"""The processes of gpu.py: one for each that trains a network, which take turns, and one for each check."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_cases import Case, Config
from turns import StoppedError, take_turns

HERE = Path(__file__).parent


def commands(config: Config, case: Case) -> dict[str, list[str]]:
    """Returns what starts each of the processes of a case."""
    jax_worker, torch_worker = str(HERE / "gpu_jax_worker.py"), str(HERE / "gpu_torch_worker.py")
    kinds = {"fcnn": "fcnn", "stock flax.linen": "stock"}
    if case.size == 32 and not config.quick:
        kinds["fcnn, 20 steps a call"] = "scan"
    found = {name: [sys.executable, jax_worker, case.to_text(), kind] for name, kind in kinds.items()}
    if config.torch_python is not None:
        python = str(config.torch_python)
        found["PyTorch, eager"] = [python, torch_worker, case.to_text(), "eager"]
        # It compiles for up to a minute.
        if case.precision == config.precisions[0] and not config.quick:
            found["PyTorch, compiled"] = [python, torch_worker, case.to_text(), "compile"]
    return found


def environment(config: Config, folder: str) -> dict[str, str]:
    """Returns that of the processes: the caches of compiled programs are empty, and memory is taken as it is needed."""
    found = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    found |= {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch", "TRITON_CACHE_DIR": f"{folder}/triton"}
    return found | ({"JAX_PLATFORMS": "cpu"} if config.platform == "cpu" else {})


def measure(config: Config, case: Case, deadline: float) -> dict[str, dict[str, Any]]:
    """Returns what is measured of each process of a case; one that stops says why, and the others go on."""
    found: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        take_turns(commands(config, case), environment(config, folder), keep_errors=True) as workers,
    ):
        steps, started = {}, time.time()

        def ask(name, line):
            """Returns a process' answer as a dictionary, None if it has stopped."""
            try:
                answer = workers[name].ask(line, deadline - time.monotonic(), start="{")
                return json.loads(answer)
            except StoppedError as stop:
                found[name]["left_out"] = str(stop)
                return None

        for name, worker in workers.items():
            found[name] = {"images_per_second": []}
            try:
                ready = json.loads(worker.hear(deadline - time.monotonic(), start="{"))["ready"]
            except StoppedError as stop:
                found[name]["left_out"] = str(stop)
                continue
            found[name]["import_seconds"] = ready - started
        for name in workers:
            if "left_out" in found[name] or (begun := ask(name, "begin")) is None:
                continue
            found[name] |= begun
            # Twice: what the first one still has to set up would count.
            for _ in range(2):
                answer = ask(name, "1" if config.quick else "3")
                if answer is not None:
                    steps[name] = max(1, round(config.round_seconds / (answer["seconds"] / answer["steps"])))
        for _ in range(config.rounds):
            for name in workers:
                if "left_out" not in found[name] and (answer := ask(name, str(steps[name]))) is not None:
                    speed = answer["steps"] * case.batch_size / answer["seconds"]
                    found[name]["images_per_second"].append(speed)
                    found[name]["peak_mib"] = answer["peak_mib"]
    for measured in found.values():
        if measured["images_per_second"]:
            measured["median"] = statistics.median(measured["images_per_second"])
    return found


def check(config: Config, what: str, case: Case, deadline: float) -> dict[str, Any]:
    """Returns what a process of gpu_checks.py finds."""
    command = [sys.executable, str(HERE / "gpu_checks.py"), what, case.to_text()]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        take_turns({what: command}, environment(config, folder), keep_errors=True) as workers,
    ):
        try:
            return json.loads(workers[what].hear(deadline - time.monotonic(), start="{"))
        except StoppedError as stop:
            return {"left_out": str(stop)}
