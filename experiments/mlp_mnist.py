"""The course's fully connected network on MNIST, the baseline that LeNet beats.

python experiments/mlp_mnist.py                                              # 784-30-10, sigmoid
python experiments/mlp_mnist.py --hidden 300 100 --activation relu           # wider, deeper
"""

from dataclasses import dataclass
from pathlib import Path

import jax
from rich.console import Console

import fcnn


@dataclass(frozen=True)
class Config:
    """A fully connected network on MNIST."""

    data: str = "mnist"
    """Name of the data set."""
    data_dir: Path | None = None
    """Folder of its files; the embedded MNIST without it."""
    validation: int | float = 5000
    """Training images that are kept for validation, a number or a share; 0 trains on all."""
    hidden: tuple[int, ...] = (30,)
    """Widths of the hidden layers."""
    activation: str = "sigmoid"
    epochs: int = 12
    batch_size: int = 32
    learning_rate: float = 0.1
    """Highest learning rate of gradient descent with momentum; it falls to 0 along a cosine."""
    momentum: float = 0.9
    l1: float = 0.0
    """Factor of the kernels' absolute values in the loss."""
    l2: float = 0.0
    """Factor of half the kernels' squares in the loss."""
    dropout_rate: float = 0.0
    seed: int = 0


RECIPES = {"course": Config()}


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains, evaluates and reports one run; returns what it reached on the test set."""
    data = fcnn.load_dataset(config.data, config.data_dir, validation=config.validation)
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(data.train.images))
    loader = fcnn.Loader(data.train, config.batch_size, config.seed)
    schedule = fcnn.warmup_cosine(config.learning_rate, config.epochs * loader.steps_per_epoch)

    model = fcnn.create_model(
        "mlp",
        num_classes=data.num_classes,
        hidden=config.hidden,
        activation=config.activation,
        dropout_rate=config.dropout_rate,
    )
    tx = fcnn.make_optimizer("sgd", schedule, momentum=config.momentum)
    step = fcnn.make_train_step(model, tx, prepare=prepare, l1=config.l1, l2=config.l2, mesh=fcnn.make_mesh())
    state, _ = fcnn.fit(
        fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=(1, *data.train.images.shape[1:])),
        step,
        loader,
        epochs=config.epochs,
        validation=data.validation,
        run_folder=run_folder,
        learning_rate=schedule,
        steps_per_call=125,
        console=console,
    )
    title = f"A fully connected network on {data.name}"
    return fcnn.conclude_run(
        run_folder, state, step.evaluation, data.test, title=title, class_names=data.class_names, console=console
    )


if __name__ == "__main__":
    fcnn.run_experiment("mlp_mnist", RECIPES, train)
