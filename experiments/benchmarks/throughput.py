"""Training images a second: fcnn, the same network in stock flax.linen with a plain loop, and PyTorch.

python experiments/benchmarks/throughput.py
python experiments/benchmarks/throughput.py --torch-python OTHER_ENVIRONMENT/bin/python

Each is a whole training step with Adam in float32 on MNIST. They are measured in turn, round by round, so that a
machine that slows down slows all of them; compilation is not counted. PyTorch runs eagerly, in channels_last, in a
process of its own (torch_worker.py), with the Python that has it.
"""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import fcnn


@dataclass(frozen=True)
class Config:
    """Training throughput of LeNet."""

    batch_size: int = 128
    steps: int = 39
    """Steps a round."""
    rounds: int = 9
    torch_python: Path | None = None
    """A Python that can import torch; without it PyTorch is left out."""


class StockLeNet(nn.Module):
    """LeNet as Flax's own examples would write it."""

    @nn.compact
    def __call__(self, x):
        """Returns the logits of images [batch, 32, 32, 1]."""
        x = nn.max_pool(nn.relu(nn.Conv(6, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Conv(120, (5, 5), padding="VALID")(x)).reshape(x.shape[0], -1)
        return nn.Dense(10)(nn.relu(nn.Dense(84)(x)))


def stock_round(config: Config, split: fcnn.Split) -> Callable[[], None]:
    """Returns a function that does a round of steps in stock Flax."""
    model, tx = StockLeNet(), optax.adam(1e-3)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))

    @jax.jit
    def step(params, opt_state, images, labels):
        def mean_loss(params):
            logits = model.apply(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        loss, gradients = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    images = jnp.asarray(np.pad(split.images, ((0, 0), (2, 2), (2, 2), (0, 0))) / np.float32(255))
    batches = images.reshape(config.steps, config.batch_size, 32, 32, 1)
    labels = jnp.asarray(split.labels).reshape(config.steps, config.batch_size)
    state = [params, tx.init(params)]

    def run():
        for i in range(config.steps):
            state[0], state[1], loss = step(*state, batches[i], labels[i])
        loss.block_until_ready()

    return run


def fcnn_round(config: Config, split: fcnn.Split, augment=None) -> Callable[[], None]:
    """Returns a function that does a round of steps in one call of fcnn, from pixels on the device."""
    model, tx = fcnn.create_model("lenet"), fcnn.make_optimizer("adam", 1e-3)
    prepare = fcnn.make_prepare((0.1307,), (0.3081,), size=(32, 32))
    steps = fcnn.scan_steps(fcnn.make_train_step(model, tx, prepare=prepare, augment=augment))
    examples = {"image": jnp.asarray(split.images), "label": jnp.asarray(split.labels)}
    indices = np.arange(config.steps * config.batch_size, dtype=np.int32).reshape(config.steps, config.batch_size)
    state = [fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=(1, 32, 32, 1))]

    def run():
        state[0], metrics = steps(state[0], examples, indices)
        metrics["loss"].block_until_ready()

    return run


@contextmanager
def torch_round(config: Config) -> Iterator[Callable[[], None]]:
    """Yields a function that has the other process do a round of steps in PyTorch."""
    script = Path(__file__).with_name("torch_worker.py")
    worker = subprocess.Popen(
        [config.torch_python, script, str(config.steps), str(config.batch_size)],
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
    speeds = {name: [] for name in rounds}
    for i in range(config.rounds + 1):
        for name, run in rounds.items():
            start = time.perf_counter()
            run()
            if i > 0:
                speeds[name].append(config.steps * config.batch_size / (time.perf_counter() - start))
    return speeds


def print_table(speeds: dict[str, list[float]]) -> None:
    """Prints medians, and the ratios to stock Flax and to PyTorch as medians over the rounds."""
    print(f"{'LeNet, training':<28}{'images/s':>10}{'min':>9}{'max':>9}{'/ stock':>9}{'/ torch':>9}")
    for name, values in speeds.items():
        row = f"{name:<28}{statistics.median(values):>10,.0f}{min(values):>9,.0f}{max(values):>9,.0f}"
        for other in ("stock flax.linen", "PyTorch"):
            ratios = [a / b for a, b in zip(values, speeds.get(other, ()), strict=False)]
            row += f"{statistics.median(ratios):>9.2f}" if ratios else f"{'':>9}"
        print(row)


def main(config: Config) -> None:
    """Measures and prints."""
    train = fcnn.load_dataset("mnist").train
    split = fcnn.Split(*(array[: config.steps * config.batch_size] for array in train))
    augment = fcnn.augment.random_affine(rotation=8, shear=8, scale=(0.9, 1.1), translation=1.5)
    rounds = {
        "stock flax.linen": stock_round(config, split),
        "fcnn": fcnn_round(config, split),
        "fcnn, affine augmentation": fcnn_round(config, split, augment),
    }
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, batch {config.batch_size}, {config.rounds} rounds")
    if config.torch_python is None:
        print_table(measure(config, rounds))
    else:
        with torch_round(config) as run:
            print_table(measure(config, rounds | {"PyTorch": run}))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
