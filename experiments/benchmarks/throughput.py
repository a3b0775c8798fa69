"""Training images a second, and peak memory: fcnn, the same network in stock flax.linen with a plain loop, and PyTorch.

python experiments/benchmarks/throughput.py
python experiments/benchmarks/throughput.py --network resnet20
python experiments/benchmarks/throughput.py --torch-python OTHER_ENVIRONMENT/bin/python
python experiments/benchmarks/throughput.py --network fcn_resnet50 --torch-python OTHER_ENVIRONMENT/bin/python

Each is a whole training step with Adam in float32, on MNIST for LeNet and on random images for the others. FCN, which
labels every pixel, has SGD with momentum; PyTorch's is torchvision's, and there is none in stock Flax. Each runs in
a process of its own, as its users run it, and they take turns of two rounds, of which the second is timed, so that a
machine that slows down slows all of them; compilation is not counted. fcnn keeps the memory that it frees, as the
experiments do, but for the row that says otherwise. PyTorch runs eagerly, in channels_last, with the Python that has
it.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import tyro
from turns import StoppedError, take_turns
from workloads import WORKLOADS

import fcnn

STOCK, TORCH = "stock flax.linen", "PyTorch"


@dataclass(frozen=True)
class Config:
    """Training throughput of a network."""

    network: Literal["lenet", "resnet20", "resnet18", "resnet50", "vgg11_bn", "alexnet", "fcn_resnet50"] = "lenet"
    bfloat16: bool = False
    """Measure fcnn in bfloat16 too."""
    rounds: int = 9
    torch_python: Path | None = None
    """A Python that can import torch; without it PyTorch is left out."""


def commands(config: Config) -> dict[str, list[str]]:
    """Returns what starts each of the processes."""
    here, network = Path(__file__).parent, config.network
    jax_worker, torch_worker = str(here / "jax_worker.py"), str(here / "torch_worker.py")
    kinds = ("fcnn",) if WORKLOADS[network].labels_pixels else (STOCK, "fcnn")
    found = {kind: [sys.executable, jax_worker, network, kind.split()[0]] for kind in kinds}
    found["fcnn, memory returned"] = [sys.executable, jax_worker, network, "returning"]
    if network == "lenet":
        found["fcnn, affine augmentation"] = [sys.executable, jax_worker, network, "augmented"]
    if config.bfloat16:
        found["fcnn in bfloat16"] = [*found["fcnn"], "bfloat16"]
    if config.torch_python is not None:
        found[TORCH] = [str(config.torch_python), torch_worker, network]
    return found


class Measured(NamedTuple):
    """What was measured of a process.

    Attributes:
        speeds: images a second, round by round.
        memory: the most it had, its compilation included, in MiB.
    """

    speeds: list[float]
    memory: int


def measure(config: Config) -> dict[str, Measured]:
    """Returns what is measured of each process, round by round in turn, the first round of each left out."""
    load = WORKLOADS[config.network]
    with take_turns(commands(config)) as workers:
        speeds, memory = {name: [] for name in workers}, {}
        for turn in range(config.rounds + 1):
            for name, worker in workers.items():
                try:
                    # The first round of a turn finds the caches full of another's data, and its own threads asleep.
                    worker.ask()
                    start = time.perf_counter()
                    memory[name] = int(worker.ask())
                except StoppedError as stop:
                    raise fcnn.InputError(f"{name} {stop}") from stop
                if turn > 0:
                    speeds[name].append(load.steps * load.batch_size / (time.perf_counter() - start))
    return {name: Measured(speeds[name], memory[name]) for name in speeds}


def print_table(network: str, measured: dict[str, Measured]) -> None:
    """Prints medians, the ratios to stock Flax and to PyTorch as medians over the rounds, and the peak memory."""
    heads = f"{'images/s':>10}{'min':>10}{'max':>10}{'/ stock':>9}{'/ torch':>9}{'peak MiB':>10}"
    print(f"{network + ', training':<28}{heads}")
    for name, (speeds, memory) in measured.items():
        row = f"{name:<28}{statistics.median(speeds):>10,.1f}{min(speeds):>10,.1f}{max(speeds):>10,.1f}"
        for other in (STOCK, TORCH):
            others = measured[other].speeds if other in measured else ()
            ratios = [a / b for a, b in zip(speeds, others, strict=False)]
            row += f"{statistics.median(ratios):>9.2f}" if ratios else f"{'':>9}"
        print(f"{row}{memory:>10,}")


def main(config: Config) -> None:
    """Measures and prints."""
    load = WORKLOADS[config.network]
    print(f"jax {jax.__version__} on {jax.default_backend()}, batch {load.batch_size}, {config.rounds} rounds")
    print_table(config.network, measure(config))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
