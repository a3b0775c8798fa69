"""LeNet on MNIST: the course's case study.

python experiments/lenet_mnist.py                       # 12 epochs, the fast recipe
python experiments/lenet_mnist.py --recipe accurate     # more augmentation, an average of the weights, longer
python experiments/lenet_mnist.py --data-dir FOLDER     # Fashion-MNIST, KMNIST: any folder of such files
"""

from dataclasses import dataclass
from pathlib import Path

import jax
from rich.console import Console

import fcnn


@dataclass(frozen=True)
class Config:
    """LeNet on MNIST."""

    data: str = "mnist"
    """Name of the data set."""
    data_dir: Path | None = None
    """Folder of its files; the embedded MNIST without it."""
    validation: int | float = 5000
    """Training images that are kept for validation, a number or a share; 0 trains on all."""
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 6e-3
    """Highest learning rate of AdamW; it rises for the first epoch and falls to 0 along a cosine."""
    weight_decay: float = 0.02
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    """Decay of the average of the weights that is evaluated; None evaluates the last weights."""
    rotation: float = 8.0
    """Largest random rotation in degrees, and lean."""
    scale: float = 0.1
    """Largest random change of size."""
    translation: float = 1.5
    """Largest random shift in pixels."""
    pooling: str = "max"
    activation: str = "relu"
    dropout_rate: float = 0.0
    batch_norm: bool = False
    seed: int = 0


RECIPES = {
    "fast": Config(),
    "accurate": Config(epochs=50, ema_decay=0.999, rotation=12.0, scale=0.12, translation=2.0),
}


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains, evaluates and reports one run; returns what it reached on the test set."""
    data = fcnn.load_dataset(config.data, config.data_dir, validation=config.validation)
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(data.train.images), size=(32, 32))
    augment = fcnn.augment.random_affine(
        rotation=config.rotation,
        shear=config.rotation,
        scale=(1 - config.scale, 1 + config.scale),
        translation=config.translation,
    )
    loader = fcnn.Loader(data.train, config.batch_size, config.seed)
    steps = config.epochs * loader.steps_per_epoch
    schedule = fcnn.warmup_cosine(config.learning_rate, steps, warmup=steps // 12)

    model = fcnn.create_model(
        "lenet",
        num_classes=data.num_classes,
        pooling=config.pooling,
        activation=config.activation,
        dropout_rate=config.dropout_rate,
        batch_norm=config.batch_norm,
    )
    tx = fcnn.make_optimizer("adamw", schedule, weight_decay=config.weight_decay)
    step = fcnn.make_train_step(
        model,
        tx,
        task=fcnn.tasks.classification(label_smoothing=config.label_smoothing),
        prepare=prepare,
        augment=augment,
        ema_decay=config.ema_decay,
        mesh=fcnn.make_mesh(),
    )
    state = fcnn.create_state(
        model,
        tx,
        key=jax.random.key(config.seed),
        input_shape=(1, 32, 32, data.train.images.shape[-1]),
        ema=config.ema_decay is not None,
    )
    state, _ = fcnn.fit(
        state,
        step,
        loader,
        epochs=config.epochs,
        validation=data.validation,
        run_folder=run_folder,
        learning_rate=schedule,
        steps_per_call=max(1, loader.steps_per_epoch // 2),  # whole halves: one program to compile
        console=console,
    )
    title = f"LeNet on {data.name}"
    return fcnn.conclude_run(
        run_folder, state, step.evaluation, data.test, title=title, class_names=data.class_names, console=console
    )


if __name__ == "__main__":
    fcnn.run_experiment("lenet_mnist", RECIPES, train)
