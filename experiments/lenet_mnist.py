"""LeNet on MNIST: the course's case study, trained on all 60,000 digits.

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


def train(config: Config, run_folder: Path, console: Console) -> float:
    """Trains, evaluates and reports one run; returns the test accuracy."""
    data = fcnn.load_dataset(config.data, config.data_dir)
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
    mesh = fcnn.make_mesh()
    step = fcnn.make_train_step(
        model,
        tx,
        prepare=prepare,
        augment=augment,
        label_smoothing=config.label_smoothing,
        ema_decay=config.ema_decay,
        mesh=mesh,
    )
    evaluate_batch = fcnn.make_eval_step(model, prepare=prepare, mesh=mesh)
    state = fcnn.create_state(
        model,
        tx,
        key=jax.random.key(config.seed),
        input_shape=(1, 32, 32, data.train.images.shape[-1]),
        ema=config.ema_decay is not None,
    )
    state, rows = fcnn.fit(
        state,
        step,
        loader,
        epochs=config.epochs,
        evaluate=lambda state: fcnn.evaluate(state, evaluate_batch, data.test, batch_size=250, mesh=mesh),
        run_folder=run_folder,
        learning_rate=schedule,
        steps_per_call=39,
        mesh=mesh,
        console=console,
    )

    page = fcnn.examine_run(
        run_folder,
        model,
        state,
        data.test,
        title=f"LeNet on {data.name}",
        class_names=data.class_names,
        prepare=prepare,
        predict_batch=evaluate_batch.predict,
        mesh=mesh,
    )
    console.print(f"test accuracy {rows[-1]['test_top1']:.2%}, report in {page}")
    return rows[-1]["test_top1"]


if __name__ == "__main__":
    fcnn.run_experiment("lenet_mnist", RECIPES, train)
