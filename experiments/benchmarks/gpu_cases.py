"""What gpu.py measures: networks, precisions and batches, and how its processes speak; for PyTorch's Python too."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from workloads import Workload

# The batches are for a card of 80 GB, where four processes lie beside each other; the steps count for nothing here.
NETWORKS = {
    "resnet50": Workload(256, 224, 3, 1000, 1),
    "resnet18": Workload(256, 224, 3, 1000, 1),
    "vgg16_bn": Workload(128, 224, 3, 1000, 1),
    "lenet": Workload(512, 32, 1, 10, 1),
    "resnet20": Workload(512, 32, 3, 10, 1),
}
# A float32 product on a GPU is one of TF32, unless "highest" is asked for.
PRECISIONS = ("bfloat16", "float32", "float32 highest")


@dataclass(frozen=True)
class Config:
    """Training on a GPU."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    precisions: tuple[str, ...] = PRECISIONS
    torch_python: Path | None = None
    """A Python that can import torch; without it PyTorch is left out."""
    platform: Literal["gpu", "cpu"] = "gpu"
    minutes: float = 8.0
    """Time for all: nothing begins that would take longer."""
    rounds: int = 5
    round_seconds: float = 1.0
    """What a round takes, at least."""
    output: Path = Path("runs/gpu_benchmark")
    """Folder for gpu.json and gpu.html."""
    quick: bool = False
    """A few tiny steps of LeNet in the first of the precisions, to see whether this runs."""


@dataclass(frozen=True)
class Case:
    """A network, how it is computed, and on how many images of which size."""

    network: str
    precision: str
    batch_size: int
    size: int
    channels: int
    classes: int
    platform: str = "gpu"

    @property
    def dtype(self) -> str:
        """The type of the computation."""
        return self.precision.split()[0]

    @property
    def is_highest(self) -> bool:
        """Whether float32 is meant."""
        return self.precision.endswith("highest")

    @property
    def title(self) -> str:
        """Network and precision."""
        return f"{self.network}, {self.precision}"

    def to_text(self) -> str:
        """Returns the case for a command line."""
        return json.dumps(asdict(self))


def make_case(network: str, precision: str, platform: str, memory_gib: float | None, quick: bool) -> Case:
    """Returns the case of a network, with as many images as a card of this memory takes; a few tiny ones if quick."""
    load = NETWORKS[network]
    case = Case(network, precision, load.batch_size, load.size, load.channels, load.classes, platform)
    if quick:
        return replace(case, batch_size=8, size=32)
    if precision != "bfloat16" and load.size == 224:
        case = replace(case, batch_size=case.batch_size // 2)
    while memory_gib and case.batch_size > 8 and case.batch_size > load.batch_size * memory_gib / 70:
        case = replace(case, batch_size=case.batch_size // 2)
    return case


def answer(begin: Callable[[], dict[str, float]], run: Callable[[int], int], peak: Callable[[], float | None]) -> None:
    """Answers the lines of the standard input: "begin", then a number of steps each time.

    Args:
        begin: prepares all, does the first step, and returns what took how long.
        run: does at least so many steps, and returns how many.
        peak: the most memory that was used until now, in MiB.
    """
    say({"ready": time.time()})
    for line in lines(sys.stdin):
        if line == "begin":
            say(begin())
        else:
            start = time.perf_counter()
            steps = run(int(line))
            say({"steps": steps, "seconds": time.perf_counter() - start, "peak_mib": peak()})


def lines(stream: Iterable[str]) -> Iterable[str]:
    """Yields lines without their ends."""
    return (line.strip() for line in stream)


def say(what: dict[str, Any]) -> None:
    """Prints an answer."""
    print(json.dumps(what), flush=True)
