"""When a model does not converge: can it learn 50 examples by heart? If not, more data will not help.

python experiments/overfit.py                                    # LeNet on 50 digits
python experiments/overfit.py --network resnet20 --data cifar10 --data-dir FOLDER
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import fcnn

CHECKS = """not learnt by heart: before anything else, check
  - the learning rate: ten times lower, then ten times higher (--learning-rate)
  - the data: does the report show the images upright and with the right labels?
  - the loss: it should begin near log(number of classes) and fall; a NaN or a flat line says where
  - the initialisation: do the feature maps in the report die out, or grow, from layer to layer?
  - the network: is it powerful enough? Take a wider or a deeper one, or more steps (--epochs)"""


@dataclass(frozen=True)
class Config:
    """Learning a few examples by heart."""

    network: str = "lenet"
    """Any of `python -m fcnn list`."""
    data: str = "mnist"
    """Name of the data set."""
    data_dir: Path | None = None
    """Folder of its files; the embedded MNIST without it."""
    examples: int = 50
    """Number of examples, evenly from all classes."""
    size: int | None = None
    """Height and width that the images are resized to; None takes the smallest that the network can take."""
    epochs: int = 10
    """Number of epochs, each of 20 steps over all examples."""
    learning_rate: float = 1e-3
    """Adam's."""
    seed: int = 0


RECIPES = {"50 examples": Config()}


def smallest_size(model, shape: tuple[int, ...]) -> int:
    """Returns the smallest of the images' own and some larger sizes that the network can take."""
    for size in (max(shape[:2]), 32, 64, 96, 128, 224, 299):
        try:
            jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, size, size, shape[2])))
        except fcnn.InputError as error:
            refusal = error
        else:
            return size
    raise refusal


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains on the examples without any regularisation and reports on them; returns what it reached on them."""
    data = fcnn.load_dataset(config.data, config.data_dir)
    if isinstance(data, fcnn.data.SegmentationFolder):
        raise fcnn.InputError(f"{config.data} labels pixels, expected a class for each image: take another set")
    train = data.train
    if isinstance(train, fcnn.data.ImageFiles):  # photos, of any size
        train = train.decode(fcnn.data.evaluation_crop)
    examples = fcnn.balanced_subset(train, config.examples, config.seed)
    model = fcnn.create_model(config.network, num_classes=data.num_classes)
    if hasattr(model, "dropout_rate"):
        model = model.clone(dropout_rate=0.0)
    shape = train.images.shape[1:]
    size = config.size or smallest_size(model, shape)
    normalise = fcnn.make_prepare(*fcnn.channel_statistics(train.images))

    def prepare(images):
        return jax.image.resize(normalise(images), (images.shape[0], size, size, shape[2]), "bilinear")

    tx = fcnn.make_optimizer("adam", config.learning_rate)
    step = fcnn.make_train_step(model, tx, prepare=prepare)
    repeated = fcnn.Split(*(np.concatenate([array] * 20) for array in examples))
    state, _ = fcnn.fit(
        fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=(1, size, size, shape[2])),
        step,
        fcnn.Loader(repeated, len(examples.labels), config.seed),
        epochs=config.epochs,
        run_folder=run_folder,
        console=console,
    )
    result = fcnn.conclude_run(
        run_folder,
        state,
        step.evaluation,
        examples,
        title=f"{config.network} on {config.examples} examples of {data.name}",
        class_names=data.class_names,
        examined="training images",
        console=console,
    )
    learnt = result.metrics["top1"]
    console.print(f"{learnt:.0%} of {config.examples} examples learnt by heart")
    if learnt < 1:
        console.print(CHECKS)
        sys.exit(1)
    return result


if __name__ == "__main__":
    fcnn.run_experiment("overfit", RECIPES, train)
