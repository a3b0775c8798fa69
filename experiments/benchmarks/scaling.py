"""How training speed and memory go with the size of the images, that of the batch, and the number of cores.

python experiments/benchmarks/scaling.py --torch-python OTHER_ENVIRONMENT/bin/python
python experiments/benchmarks/scaling.py --network resnet50 --sizes 32 64 128 --batch-sizes 1 16

Each case is a whole training step of fcnn, and of PyTorch beside it in turn, in processes of their own, as in
throughput.py. Writes scaling.json and scaling.html. A step should take as long as its pixels: the page shows
images times pixels a second, which would be level then, and says where it is not.
"""

import json
import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.progress import track
from turns import StoppedError, take_turns

import fcnn
from fcnn.files import write_file
from fcnn.report import Bar, Section, draw_bars
from fcnn.report.page import render_page
from fcnn.report.style import encode_png


@dataclass(frozen=True)
class Config:
    """Cases: each size with the first batch size, each batch size with the first size, that one on one core."""

    network: str = "resnet18"
    sizes: tuple[int, ...] = (64, 32, 96, 128, 160, 224, 320, 448)
    batch_sizes: tuple[int, ...] = (16, 1, 2, 4, 8, 32, 64, 128, 256, 512)
    rounds: int = 3
    seconds: float = 1.0
    """Of a round, about."""
    torch_python: Path | None = None
    """A Python that can import torch; without it PyTorch is left out."""
    folder: Path = Path("runs/scaling")


def measure(config: Config, size: int, batch_size: int, cores: int) -> dict[str, Any]:
    """Returns images a second and peak memory of each process for one case."""
    here, case = Path(__file__).parent, f"{config.network}@{size}x{batch_size}"
    confined = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))]
    commands = {"fcnn": [*confined, sys.executable, str(here / "jax_worker.py"), case, "fcnn"]}
    if config.torch_python is not None:
        commands["PyTorch"] = [*confined, str(config.torch_python), str(here / "torch_worker.py"), case]
    images = max(1, 64 // batch_size) * batch_size
    found: dict[str, Any] = {name: {"speeds": []} for name in commands}
    with take_turns(commands, keep_errors=True) as workers:
        asked = {}
        for name, worker in workers.items():
            start = time.perf_counter()
            worker.ask()
            found[name]["first_round_seconds"] = time.perf_counter() - start
            start = time.perf_counter()
            worker.ask()
            asked[name] = max(1, int(config.seconds / (time.perf_counter() - start)))
        for _ in range(config.rounds):
            for name, worker in workers.items():
                start = time.perf_counter()
                for _ in range(asked[name]):
                    found[name]["peak_mib"] = int(worker.ask())
                found[name]["speeds"].append(asked[name] * images / (time.perf_counter() - start))
    for row in found.values():
        row["median"] = statistics.median(row["speeds"])
    return found


def render(config: Config, rows: list[dict[str, Any]]) -> str:
    """Returns the page."""
    groups = {
        "By the images' size": [row for row in rows if row["kind"] == "size"],
        "By the batch": [row for row in rows if row["kind"] == "batch"],
        "By the number of cores": [row for row in rows if row["kind"] == "cores"],
    }
    sections = []
    for heading, some in groups.items():
        for what, text, bar_of in (
            ("speed", "Millions of pixels a second in training; level where cost grows with the pixels.", _speed),
            ("memory", "The most memory that the process had, its compilation included, in MiB.", _memory),
        ):
            bars = {
                f"{row['size']}x{row['size']}, batch {row['batch_size']}, {row['cores']} cores": {
                    name: bar_of(row, measured) for name, measured in row["measured"].items()
                }
                for row in sorted(some, key=lambda row: (row["size"], row["batch_size"], row["cores"]))
                if "measured" in row
            }
            if bars:
                figure = draw_bars(bars, text.split(";")[0].split(",")[0].rstrip("."), ours="fcnn")
                sections.append(Section(f"{what}-{heading[-5:]}", f"{heading}: {what}", text, encode_png(figure)))
    ratios = [
        row["measured"]["fcnn"]["median"] / row["measured"]["PyTorch"]["median"]
        for row in rows
        if "PyTorch" in row.get("measured", {})
    ]
    facts = {"network": config.network, "jax": jax.__version__, "command": " ".join(sys.argv)}
    if ratios:
        facts["over PyTorch"] = f"{min(ratios):.2f} at worst, {statistics.geometric_mean(ratios):.2f} in the mean"
    facts["left out"] = "; ".join(row["left_out"] for row in rows if "left_out" in row) or "nothing"
    return render_page("Training speed and memory", facts, sections)


def _speed(row, measured):
    pixels = measured["median"] * row["size"] ** 2 / 1e6
    return Bar(pixels, f"{pixels:.2f}   {measured['median']:,.3g} images/s")


def _memory(row, measured):
    return Bar(measured["peak_mib"], f"{measured['peak_mib']:,} MiB")


def main(config: Config) -> None:
    """Measures each case, and writes what is known after each."""
    if shutil.which("taskset") is None:
        raise fcnn.InputError("taskset is needed, to run on a number of cores: it is a part of util-linux")
    size, batch_size, cores = config.sizes[0], config.batch_sizes[0], len(os.sched_getaffinity(0))
    cases = [("size", one, batch_size, cores) for one in config.sizes]
    cases += [("batch", size, one, cores) for one in config.batch_sizes]
    cases += [("cores", size, batch_size, some) for some in range(1, cores + 1)]
    rows: list[dict[str, Any]] = []
    for kind, *case in track(cases, "measuring"):
        row: dict[str, Any] = dict(zip(("size", "batch_size", "cores"), case, strict=True), kind=kind)
        try:
            row["measured"] = measure(config, *case)
        except StoppedError as stop:
            row["left_out"] = f"{case[0]}x{case[0]}, batch {case[1]}: {stop}"
        rows.append(row)
        config.folder.mkdir(parents=True, exist_ok=True)
        write_file(config.folder / "scaling.json", json.dumps(rows, indent=2) + "\n")
        write_file(config.folder / "scaling.html", render(config, rows))
    print(f"written {config.folder / 'scaling.html'}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
