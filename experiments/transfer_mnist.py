"""Transfer learning in a minute: LeNet has learnt the digits 0 to 4, and now sees 5 to 9, 24 images of each.

python experiments/transfer_mnist.py
python experiments/transfer_mnist.py --images-per-class 6
"""

import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import fcnn
from fcnn.report import comparison_table, draw_comparison, save_picture


@dataclass(frozen=True)
class Config:
    """Four ways to learn the digits 5 to 9 from a few images: LeNet from scratch, and from one that knows 0 to 4.

    All four learn from the same images, without augmentation, with the same steps and weight decay. The learning rate
    of each and the decay were chosen from a few, by the accuracy on other training images and with other seeds.
    """

    images_per_class: int = 24
    repetitions: int = 5
    """Number of seeds, those after `seed`: each draws other images, other new layers, other orders."""
    source_epochs: int = 10
    """Number of epochs on the digits 0 to 4, of the one network that all transfer begins with."""
    source_rate: float = 4e-3
    """Highest learning rate of AdamW on them; like all here, it rises for a tenth and falls to 0 along a cosine."""
    source_decay: float = 0.3
    """Weight decay on them."""
    steps: int = 200
    """Number of steps on the digits 5 to 9."""
    batch_size: int = 30
    weight_decay: float = 1.0
    scratch_rate: float = 2e-2
    head_rate: float = 6e-2
    last_layers_rate: float = 6e-3
    finetune_rate: float = 3e-3
    seed: int = 0
    """Of the network that knows 0 to 4."""


RECIPES = {"demonstration": Config()}


def digits(split: fcnn.Split, first: int, last: int) -> fcnn.Split:
    """Returns the images of the digits from first to last, which become the classes from 0 on."""
    chosen = (split.labels >= first) & (split.labels <= last)
    return fcnn.Split(split.images[chosen], split.labels[chosen] - np.int32(first))


def make_learner(model, prepare, steps: int, rate: float, decay: float, frozen: tuple[str, ...] = (), augment=None):
    """Returns a function that takes all steps in one call, `(examples, batch size, seed, parameters) -> state`."""
    tx = fcnn.make_optimizer("adamw", fcnn.warmup_cosine(rate, steps, warmup=steps // 10), weight_decay=decay)
    tx = fcnn.freeze(tx, frozen)
    several = fcnn.scan_steps(fcnn.make_train_step(model, tx, prepare=prepare, augment=augment))
    begin = jax.jit(partial(fcnn.create_state, model, tx, input_shape=(1, *model.input_shape)))

    def learn(split: fcnn.Split, batch_size: int, seed: int, params) -> fcnn.TrainState:
        loader = fcnn.Loader(split, batch_size, seed)
        indices = np.concatenate([loader.indices(epoch) for epoch in range(-(-steps // loader.steps_per_epoch))])
        state = begin(key=jax.random.key(seed), variables={"params": params})
        return several(state, {"image": split.images, "label": split.labels}, indices[:steps])[0]

    return learn


def compare(config: Config, source: fcnn.Split, target: fcnn.Split, test: fcnn.Split) -> dict[str, list[float]]:
    """Returns the accuracies on `test` of each way to learn from a few images of `target`, one for each seed."""
    model = fcnn.create_model("lenet", num_classes=5)
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(source.images), size=(32, 32))
    learner = partial(make_learner, model, prepare)
    draw = jax.jit(lambda key: model.init(key, prepare(jnp.asarray(source.images[:1] / 255.0)), train=False)["params"])
    steps = config.source_epochs * len(source.labels) // 128
    augment = fcnn.augment.random_affine(rotation=20, shear=20, scale=(0.75, 1.25), translation=3)
    learn_source = learner(steps, config.source_rate, config.source_decay, augment=augment)
    published = learn_source(source, 128, config.seed, draw(jax.random.key(config.seed)))

    # For each way: its learning rate, the layers that are taken over, and whether they are frozen. F6 has learnt what
    # tells 0 to 4 apart, which a new head alone cannot mend; what C1 and C3 find is in every digit.
    ways = {
        "from scratch": (config.scratch_rate, (), False),
        "head only": (config.head_rate, ("c1", "c3", "c5", "f6"), True),
        "last three layers": (config.last_layers_rate, ("c1", "c3"), True),
        "fine-tuned": (config.finetune_rate, ("c1", "c3", "c5", "f6"), False),
    }
    evaluate_batch = fcnn.make_eval_step(model, prepare=prepare)
    accuracies = {}
    for name, (rate, taken, frozen) in ways.items():
        learn = learner(config.steps, rate, config.weight_decay, frozen=taken if frozen else ())
        accuracies[name] = []
        for seed in range(config.seed + 1, config.seed + 1 + config.repetitions):
            few = fcnn.balanced_subset(target, 5 * config.images_per_class, seed)
            params = draw(jax.random.key(seed)) | {layer: published.params[layer] for layer in taken}
            state = learn(few, config.batch_size, seed, params)
            accuracies[name].append(fcnn.evaluate(state, evaluate_batch, test, batch_size=1000)["top1"])
    return accuracies


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Compares the ways on the test images; returns the mean accuracy of the fine-tuned networks."""
    data = fcnn.load_dataset("mnist")
    with console.status(f"learning 0 to 4, then 5 to 9 in four ways with {config.repetitions} seeds: about a minute"):
        accuracies = compare(config, digits(data.train, 0, 4), digits(data.train, 5, 9), digits(data.test, 5, 9))
    picture = save_picture(run_folder / "transfer.png", draw_comparison(accuracies, "test accuracy on 5 to 9"))
    console.print(f"accuracy on the digits 5 to 9 of the test set, from {config.images_per_class} images of each:")
    console.print(comparison_table(accuracies))
    console.print(f"drawn in {picture}")
    return fcnn.Result({"top1": statistics.mean(accuracies["fine-tuned"])}, {"top1": "fine-tuned {:.2%}"})


if __name__ == "__main__":
    fcnn.run_experiment("transfer_mnist", RECIPES, train)
