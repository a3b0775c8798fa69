"""Training on a GPU, in at most eight minutes: fcnn beside stock flax.linen and PyTorch, as one JSON file and one page.

python experiments/benchmarks/gpu.py
python experiments/benchmarks/gpu.py --torch-python OTHER_ENVIRONMENT/bin/python
python experiments/benchmarks/gpu.py --networks lenet resnet20 --precisions "float32 highest" --minutes 4
python experiments/benchmarks/gpu.py --platform cpu --quick                 # whether it runs, on a CPU

Images a second of whole training steps with SGD, from pixels that lie on the device; the seconds of `create_state` and
of the first step, with nothing compiled before; peak memory; the differences to stored goldens; whether input overlaps
with compute. The processes of one network and precision do their first steps one after the other, and then take turns,
so that a card that slows down slows all of them. float32 is TF32, unless it is "float32 highest". The most important
comes first; what the time was too short for is named.

It needs this package with its dependencies and `jax[cuda13]` or `jax[cuda12]`, from a registry or from wheels
(`pip install --no-index --find-links FOLDER`), or only `PYTHONPATH` set to this repository where those are installed.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import tyro
from gpu_cases import NETWORKS, PRECISIONS, Config, make_case
from gpu_facts import facts_of, memory_gib
from gpu_page import render
from gpu_processes import check, measure

import fcnn
from fcnn.files import write_file

# Seconds that a case of a network may take before one was measured, PyTorch's compiler included.
FIRST_GUESS = {"lenet": 40.0, "resnet20": 60.0, "resnet18": 70.0, "vgg16_bn": 70.0, "resnet50": 120.0}
RESERVE = 10.0  # seconds, to end processes that have no time left, and for the page


def plan(config: Config) -> list[tuple[str, str]]:
    """Returns what is measured, the most important first, as (network or check, precision)."""
    pairs = [(network, precision) for precision in config.precisions for network in config.networks]
    goldens = [("goldens", network) for network in ("resnet18", "resnet50") if network in config.networks]
    if config.quick:
        return [("goldens", "resnet18"), ("input", "lenet"), ("lenet", config.precisions[0])]
    # After the largest network in the first precision.
    checks = [*goldens[:1], ("input", "resnet18" if "resnet18" in config.networks else config.networks[0])]
    return [*pairs[:2], *checks, *pairs[2:], *goldens[1:]]


def main(config: Config) -> None:
    """Measures while there is time, prints, and writes the file and the page after each case."""
    for names, known in ((config.networks, NETWORKS), (config.precisions, PRECISIONS)):
        for name in names:
            if name not in known:
                raise fcnn.InputError(f"unknown {name!r}: expected some of {', '.join(known)}")
    begin = time.monotonic()
    deadline = begin + 60 * config.minutes - RESERVE
    found: dict[str, Any] = {"facts": facts_of(config.torch_python), "training": [], "goldens": {}, "input": {}}
    found["left_out"] = []
    if config.torch_python is None:
        found["left_out"].append("PyTorch: no --torch-python")
    elif found["facts"]["torch, CUDA, cuDNN"] == "cannot be imported":
        found["left_out"].append(f"PyTorch: {config.torch_python} cannot import it")
        config = dataclasses.replace(config, torch_python=None)
    memory = memory_gib(found["facts"])
    took: dict[str, float] = {}
    for what, which in plan(config):
        is_check = what in ("goldens", "input")
        network, precision = (which, config.precisions[0]) if is_check else (what, which)
        case = make_case(network, precision, config.platform, memory, config.quick)
        name = f"{what} of {network}" if is_check else case.title
        start = time.monotonic()
        if start + took.get(what, 15.0 if config.quick or is_check else FIRST_GUESS[network]) > deadline:
            found["left_out"].append(f"{name}: no time left")
            continue
        print(f"{start - begin:4.0f} s  {name}", flush=True)
        if is_check:
            found[what][network] = check(config, what, case, deadline)
            print(f"        {found[what][network]}")
        else:
            measured = measure(config, case, deadline)
            found["training"].append(
                {"network": network, "precision": precision, "batch_size": case.batch_size, "measured": measured}
            )
            reasons = [f"{name}, {who}: {row['left_out']}" for who, row in measured.items() if "left_out" in row]
            found["left_out"] += reasons
            print_case(measured)
        took[what] = time.monotonic() - start
        found["seconds"] = time.monotonic() - begin
        # Whatever ends the process later, what has been measured is there.
        write(config.output / "gpu.json", json.dumps(found, indent=2) + "\n")
    for line in found["left_out"]:
        print(f"left out: {line}")
    write(config.output / "gpu.json", json.dumps(found, indent=2) + "\n")
    write(config.output / "gpu.html", render(found))
    print(f"{time.monotonic() - begin:4.0f} s, written to {config.output / 'gpu.html'} and gpu.json")


def print_case(measured: dict[str, dict[str, Any]]) -> None:
    """Prints a line for each process of a case."""
    for name, row in measured.items():
        text = f"        {name:<24}"
        if "median" in row:
            text += f"{row['median']:>12,.0f} images/s, {row['create_state_seconds']:.1f} s + first step "
            text += f"{row['first_step_seconds']:.1f} s, {row['peak_mib']:,.0f} MiB"
        print(text + row.get("left_out", ""))


def write(path: Path, text: str) -> None:
    """Writes a file, and its folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except fcnn.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
