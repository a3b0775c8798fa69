"""Training images a second: fcnn, the same network in stock flax.linen with a plain loop, and PyTorch.

python experiments/benchmarks/throughput.py
python experiments/benchmarks/throughput.py --network resnet20
python experiments/benchmarks/throughput.py --torch-python OTHER_ENVIRONMENT/bin/python

Each is a whole training step with Adam in float32, on MNIST for LeNet and on random images for the others. They are
measured in turn, round by round, so that a
machine that slows down slows all of them; compilation is not counted. PyTorch runs eagerly, in channels_last, in a
process of its own (torch_worker.py), with the Python that has it.
"""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import stock_networks
import tyro

import fcnn


@dataclass(frozen=True)
class Workload:
    """What a network is trained on, and how many steps make a round."""

    batch_size: int
    size: int
    channels: int
    classes: int
    steps: int


WORKLOADS = {
    "lenet": Workload(128, 28, 1, 10, 39),
    "resnet20": Workload(128, 32, 3, 10, 2),
    "resnet18": Workload(16, 224, 3, 1000, 1),
    "vgg11_bn": Workload(16, 64, 3, 1000, 2),
    "alexnet": Workload(16, 224, 3, 1000, 2),
}


@dataclass(frozen=True)
class Config:
    """Training throughput of a network."""

    network: Literal["lenet", "resnet20", "resnet18", "vgg11_bn", "alexnet"] = "lenet"
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of fcnn's computation; the others compute in float32."""
    rounds: int = 9
    torch_python: Path | None = None
    """A Python that can import torch; without it PyTorch is left out."""


def examples_of(network: str) -> fcnn.Split:
    """Returns the examples of a round."""
    load = WORKLOADS[network]
    count = load.steps * load.batch_size
    if network == "lenet":
        return fcnn.Split(*(array[:count] for array in fcnn.load_dataset("mnist").train))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, load.size, load.size, load.channels), np.uint8)
    return fcnn.Split(images, random.integers(0, load.classes, count).astype(np.int32))


def stock_round(config: Config, split: fcnn.Split) -> Callable[[], None]:
    """Returns a function that does a round of steps in stock Flax."""
    load = WORKLOADS[config.network]
    model, tx = stock_networks.NETWORKS[config.network](load.classes), optax.adam(1e-3)
    images = split.images / np.float32(255)
    if config.network == "lenet":
        images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    batches = list(jnp.asarray(images).reshape(load.steps, load.batch_size, *images.shape[1:]))
    labels = list(jnp.asarray(split.labels).reshape(load.steps, load.batch_size))
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.jit(model.init, static_argnames="train")(keys, batches[0][:1], train=True)
    params, statistics = variables["params"], variables.get("batch_stats", {})

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, statistics, opt_state, images, labels):
        def mean_loss(params):
            logits, updates = model.apply(
                {"params": params, "batch_stats": statistics},
                images, train=True, rngs={"dropout": keys["dropout"]}, mutable=["batch_stats"],
            )  # fmt: skip
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss, updates.get("batch_stats", {})

        (loss, statistics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(params)
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), statistics, opt_state, loss

    state = [params, statistics, tx.init(params)]

    def run():
        for batch, label in zip(batches, labels, strict=True):
            *state[:], loss = step(*state, batch, label)
        loss.block_until_ready()

    return run


def fcnn_round(config: Config, split: fcnn.Split, augment=None) -> Callable[[], None]:
    """Returns a function that does a round of steps of fcnn, from pixels on the device."""
    load = WORKLOADS[config.network]
    model = fcnn.create_model(config.network, num_classes=load.classes, dtype=jnp.dtype(config.dtype))
    tx = fcnn.make_optimizer("adam", 1e-3)
    size = 32 if config.network == "lenet" else load.size
    mean, std = ((0.1307,), (0.3081,)) if load.channels == 1 else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    prepare = fcnn.make_prepare(mean, std, size=(size, size))
    steps = fcnn.scan_steps(fcnn.make_train_step(model, tx, prepare=prepare, augment=augment))
    examples = {"image": jnp.asarray(split.images), "label": jnp.asarray(split.labels)}
    indices = np.arange(len(split.labels), dtype=np.int32).reshape(load.steps, load.batch_size)
    # LeNet's steps are so short that they are done in one call.
    calls = [indices] if config.network == "lenet" else list(indices[:, None])
    state = [fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=(1, size, size, load.channels))]

    def run():
        for call in calls:
            state[0], metrics = steps(state[0], examples, call)
        metrics["loss"].block_until_ready()

    return run


@contextmanager
def torch_round(config: Config) -> Iterator[Callable[[], None]]:
    """Yields a function that has the other process do a round of steps in PyTorch."""
    script, load = Path(__file__).with_name("torch_worker.py"), WORKLOADS[config.network]
    size = 32 if config.network == "lenet" else load.size
    numbers = (load.steps, load.batch_size, size, load.channels, load.classes)
    worker = subprocess.Popen(
        [config.torch_python, script, config.network, *map(str, numbers)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def run():
        worker.stdin.write("round\n")
        worker.stdin.flush()
        if not worker.stdout.readline():
            raise fcnn.InputError(f"{config.torch_python} could not train in PyTorch: does it have torch?")

    try:
        yield run
    finally:
        worker.stdin.close()
        worker.wait()


def measure(config: Config, rounds: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Returns the images a second of each, round by round in turn, the first round of each left out."""
    load = WORKLOADS[config.network]
    speeds = {name: [] for name in rounds}
    for i in range(config.rounds + 1):
        for name, run in rounds.items():
            start = time.perf_counter()
            run()
            if i > 0:
                speeds[name].append(load.steps * load.batch_size / (time.perf_counter() - start))
    return speeds


def print_table(network: str, speeds: dict[str, list[float]]) -> None:
    """Prints medians, and the ratios to stock Flax and to PyTorch as medians over the rounds."""
    print(f"{network + ', training':<28}{'images/s':>10}{'min':>9}{'max':>9}{'/ stock':>9}{'/ torch':>9}")
    for name, values in speeds.items():
        row = f"{name:<28}{statistics.median(values):>10,.1f}{min(values):>9,.1f}{max(values):>9,.1f}"
        for other in ("stock flax.linen", "PyTorch"):
            ratios = [a / b for a, b in zip(values, speeds.get(other, ()), strict=False)]
            row += f"{statistics.median(ratios):>9.2f}" if ratios else f"{'':>9}"
        print(row)


def main(config: Config) -> None:
    """Measures and prints."""
    split = examples_of(config.network)
    rounds = {"stock flax.linen": stock_round(config, split), "fcnn": fcnn_round(config, split)}
    if config.network == "lenet":
        augment = fcnn.augment.random_affine(rotation=8, shear=8, scale=(0.9, 1.1), translation=1.5)
        rounds["fcnn, affine augmentation"] = fcnn_round(config, split, augment)
    batch_size = WORKLOADS[config.network].batch_size
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, batch {batch_size}, {config.rounds} rounds")
    if config.torch_python is None:
        print_table(config.network, measure(config, rounds))
    else:
        with torch_round(config) as run:
            print_table(config.network, measure(config, rounds | {"PyTorch": run}))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
