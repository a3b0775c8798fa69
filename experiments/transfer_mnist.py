"""Transfer learning in a minute: LeNet has learnt the digits 0 to 4, and now sees 5 to 9, 24 images of each.

python experiments/transfer_mnist.py
python experiments/transfer_mnist.py --images-per-class 6
"""

import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

import fcnn
from fcnn.report import comparison_table, draw_comparison, save_picture


@dataclass(frozen=True)
class Config:
    """From scratch, head only, fine-tuned: LeNet on a few images of the digits 5 to 9.

    All three learn from the same images, without augmentation, with the same steps and weight decay. The learning rate
    of each was chosen from a few, by its accuracy on other training images and with other seeds.
    """

    images_per_class: int = 24
    repetitions: int = 5
    """Number of seeds: each draws other images, another network for the digits 0 to 4, other orders."""
    source_epochs: int = 3
    """Number of epochs on the digits 0 to 4."""
    source_rate: float = 4e-3
    """Highest learning rate of AdamW on them; like all here, it rises for a tenth and falls to 0 along a cosine."""
    steps: int = 200
    """Number of steps on the digits 5 to 9."""
    batch_size: int = 30
    scratch_rate: float = 1e-2
    head_rate: float = 3e-2
    finetune_rate: float = 5e-3
    seed: int = 0


RECIPES = {"demonstration": Config()}


def digits(split: fcnn.Split, first: int, last: int) -> fcnn.Split:
    """Returns the images of the digits from first to last, which become the classes from 0 on."""
    chosen = (split.labels >= first) & (split.labels <= last)
    return fcnn.Split(split.images[chosen], split.labels[chosen] - np.int32(first))


def make_learner(model, prepare, steps: int, rate: float, frozen: tuple[str, ...] = (), augment=None):
    """Returns how a run begins, (key, variables) -> state, and a function that takes all its steps in one call."""
    tx = fcnn.make_optimizer("adamw", fcnn.warmup_cosine(rate, steps, warmup=steps // 10), weight_decay=0.3)
    tx = fcnn.freeze(tx, frozen)
    several = fcnn.scan_steps(fcnn.make_train_step(model, tx, prepare=prepare, augment=augment))

    @jax.jit
    def begin(key, variables=None):
        return fcnn.create_state(model, tx, key=key, input_shape=(1, 32, 32, 1), variables=variables)

    def learn(state: fcnn.TrainState, split: fcnn.Split, batch_size: int, seed: int) -> fcnn.TrainState:
        loader = fcnn.Loader(split, batch_size, seed)
        indices = np.concatenate([loader.indices(epoch) for epoch in range(-(-steps // loader.steps_per_epoch))])
        return several(state, {"image": split.images, "label": split.labels}, indices[:steps])[0]

    return begin, learn


def compare(config: Config, source: fcnn.Split, target: fcnn.Split, test: fcnn.Split) -> dict[str, list[float]]:
    """Returns the accuracies on `test` of each way to learn from a few images of `target`, one for each seed."""
    model = fcnn.create_model("lenet", num_classes=5)
    learner = partial(make_learner, model, fcnn.make_prepare(*fcnn.channel_statistics(source.images), size=(32, 32)))
    begin_source, learn_source = learner(
        config.source_epochs * len(source.labels) // 128,
        config.source_rate,
        augment=fcnn.augment.random_affine(rotation=20, shear=20, scale=(0.75, 1.25), translation=3),
    )
    ways = {
        "from scratch": learner(config.steps, config.scratch_rate),
        "head only": learner(config.steps, config.head_rate, frozen=("c1", "c3", "c5", "f6")),
        "fine-tuned": learner(config.steps, config.finetune_rate),
    }
    evaluate_batch = fcnn.make_eval_step(model, prepare=learner.args[1])
    new_head = jax.jit(partial(fcnn.replace_head, model))
    accuracies = {name: [] for name in ways}
    for seed in range(config.seed, config.seed + config.repetitions):
        key = jax.random.key(seed)
        published = learn_source(begin_source(key), source, 128, seed).variables
        few = fcnn.balanced_subset(target, 5 * config.images_per_class, seed)
        for name, (begin, learn) in ways.items():
            start = None if name == "from scratch" else new_head(published, key)
            state = learn(begin(key, start), few, config.batch_size, seed)
            accuracies[name].append(fcnn.evaluate(state, evaluate_batch, test, batch_size=1000)["top1"])
    return accuracies


def train(config: Config, run_folder: Path, console: Console) -> float:
    """Compares the three ways on the test images; returns the mean accuracy of the fine-tuned networks."""
    data = fcnn.load_dataset("mnist")
    accuracies = compare(config, digits(data.train, 0, 4), digits(data.train, 5, 9), digits(data.test, 5, 9))
    picture = save_picture(run_folder / "transfer.png", draw_comparison(accuracies, "test accuracy on 5 to 9"))
    console.print(f"accuracy on the digits 5 to 9 of the test set, from {config.images_per_class} images of each:")
    console.print(comparison_table(accuracies))
    console.print(f"drawn in {picture}")
    return statistics.mean(accuracies["fine-tuned"])


if __name__ == "__main__":
    fcnn.run_experiment("transfer_mnist", RECIPES, train)
