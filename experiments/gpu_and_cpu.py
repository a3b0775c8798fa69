"""What made deep networks possible: the same training on all that this machine has, side by side.

python experiments/gpu_and_cpu.py                                     # LeNet and ResNet-20 on digits
python experiments/gpu_and_cpu.py --networks lenet resnet18 --images 512

With a GPU: in bfloat16 and in float32, beside the CPU. Without: all cores beside one, float32 beside bfloat16.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console

import fcnn
from fcnn.files import write_file
from fcnn.report import Bar, draw_bars, save_picture


@dataclass(frozen=True)
class Config:
    """The same training of a few networks on each part of this machine; each has a process of its own."""

    networks: tuple[str, ...] = ("lenet", "resnet20")
    """Any of `python -m fcnn list` that label images."""
    images: int = 2560
    """Digits in an epoch."""
    batch_size: int = 128
    epochs: int = 3
    """The first one compiles, the fastest of the others is what counts."""
    learning_rate: float = 1e-3
    seed: int = 0


RECIPES = {"digits": Config()}


class Setting(NamedTuple):
    """A part of the machine, the type that is computed in, and what they are called."""

    name: str
    platform: str
    cores: int
    dtype: str


def settings_of_this_machine() -> list[Setting]:
    """Returns what can be compared here, the slowest first."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_cpu = [Setting(f"{n} of {cores} cores, float32", "cpu", n, "float32") for n in sorted({1, cores})]
    if jax.default_backend() != "gpu":
        return [*on_cpu, Setting(f"{cores} of {cores} cores, bfloat16", "cpu", cores, "bfloat16")]
    return [*on_cpu, *(Setting(f"GPU, {dtype}", "gpu", cores, dtype) for dtype in ("float32", "bfloat16"))]


def confine(setting: Setting) -> None:
    """Has this process, whose JAX has not started yet, see only a part of the machine."""
    if setting.platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if setting.cores == 1:
        os.environ["NPROC"] = "1"
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def train_on(setting: Setting, network: str, config: Config, precision: str | None) -> tuple[float, float]:
    """Returns the images a second of training, and the loss that it comes to."""
    fcnn.keep_freed_memory()
    jax.config.update("jax_default_matmul_precision", precision)
    data = fcnn.load_dataset("mnist")
    digits = fcnn.balanced_subset(data.train, config.images, config.seed)
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(digits.images), size=(32, 32))
    model = fcnn.create_model(network, num_classes=data.num_classes, dtype=setting.dtype)
    tx, loader = fcnn.make_optimizer("adam", config.learning_rate), fcnn.Loader(digits, config.batch_size, config.seed)
    _, rows = fcnn.fit(
        fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=(1, 32, 32, 1)),
        fcnn.make_train_step(model, tx, prepare=prepare),
        loader,
        epochs=config.epochs,
        # A GPU would wait for the host between short steps; a CPU is its own host.
        steps_per_call=loader.steps_per_epoch if setting.platform == "gpu" else 1,
    )
    return max(row["images_per_second"] for row in rows[1:]), rows[-1]["train_loss"]


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains each network in each setting; returns by how much their speeds differ."""
    if config.epochs < 2 or not config.networks:
        raise fcnn.InputError(f"expected a network and 2 epochs or more, the first compiles; got {config}")
    for network in config.networks:
        fcnn.create_model(network)  # an unknown one is said before any training
    bars, found, precision = {}, {}, jax.config.values["jax_default_matmul_precision"]
    for network in config.networks:
        found[network] = {}
        for setting in settings_of_this_machine():
            # JAX counts the cores once, when it starts.
            with ProcessPoolExecutor(1, get_context("spawn"), confine, (setting,)) as process:
                speed, loss = process.submit(train_on, setting, network, config, precision).result()
            found[network][setting.name] = {"images_per_second": speed, "train_loss": loss}
            console.print(f"{network:<12} {setting.name:<24} {speed:>9,.0f} images/s, loss {loss:.3f}")
        speeds = {name: row["images_per_second"] for name, row in found[network].items()}
        slowest = min(speeds.values())
        texts = {name: f"{60_000 / speed:,.1f} s, speed x {speed / slowest:.1f}" for name, speed in speeds.items()}
        bars[network] = {name: Bar(slowest / speeds[name], text) for name, text in texts.items()}
    write_file(run_folder / "speeds.json", json.dumps(found, indent=2) + "\n")
    figure = draw_bars(bars, "time for 60,000 digits, the slowest of each network is 1")
    console.print(f"drawn in {save_picture(run_folder / 'gpu_and_cpu.png', figure)}")
    speedup = 1 / min(bar.value for group in bars.values() for bar in group.values())
    return fcnn.Result({"speedup": speedup}, {"speedup": "speed x {:.1f}"})


if __name__ == "__main__":
    # A GPU's memory is for the processes that train.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    fcnn.run_experiment("gpu_and_cpu", RECIPES, train)
