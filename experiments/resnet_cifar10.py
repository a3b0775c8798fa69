"""The residual networks of CIFAR-10: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.

FOLDER holds the unpacked binary version, https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz.

python experiments/resnet_cifar10.py --data-dir FOLDER                       # ResNet-20, 14 epochs
python experiments/resnet_cifar10.py --data-dir FOLDER --recipe paper        # 64,000 steps
python experiments/resnet_cifar10.py --data-dir FOLDER --network resnet56
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
from rich.console import Console

import fcnn


@dataclass(frozen=True)
class Config:
    """A residual network on CIFAR-10."""

    network: str = "resnet20"
    """resnet20, resnet32, resnet44, resnet56 or resnet110."""
    data_dir: Path | None = None
    """Folder of the binary version of CIFAR-10."""
    validation: int | float = 5000
    """Training images that are kept for validation, a number or a share; 0 trains on all."""
    epochs: int = 14
    batch_size: int = 64
    learning_rate: float = 0.1
    """Highest learning rate of gradient descent with momentum."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """How it falls: to 0 along half a cosine, or to a tenth after half and after three quarters of the steps."""
    warmup: float = 0.15
    """Share of the steps before it is reached: it rises to it before a cosine, and is a tenth of it before steps."""
    nesterov: bool = True
    large_epochs: int = 3
    """Last epochs, on random crops of 32x32; those before are on crops of 24x24, which are half the work."""
    crop_padding: int = 2
    """Pixels of black around an image before a random crop of 32x32."""
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    seed: int = 0


RECIPES = {
    # A network that ends in a mean over all pixels takes images of any size. What it learns on small ones it uses on
    # large ones after a few epochs with them: Touvron et al. 2019, arXiv:1906.06423.
    "short": Config(),
    # 164 epochs of 390 steps are the paper's 64,000 steps. Its ResNet-110 needs --warmup 0.00625, 400 steps at 0.01.
    # Kernels alone decay, and channels are normalised by their means and deviations, where the paper lets all
    # parameters decay and subtracts a mean image.
    "paper": Config(
        epochs=164,
        batch_size=128,
        schedule="steps",
        warmup=0.0,
        nesterov=False,
        large_epochs=164,
        crop_padding=4,
        weight_decay=1e-4,
    ),
}


def schedule_of(config: Config, steps: int) -> Callable:
    """Returns the learning rate at each of so many steps."""
    warmup = int(config.warmup * steps)
    if config.schedule == "cosine":
        return fcnn.warmup_cosine(config.learning_rate, steps, warmup)
    return fcnn.step_decay(config.learning_rate, (steps // 2, steps * 3 // 4), warmup=warmup)


def stages(config: Config) -> list[tuple[int, int, int]]:
    """Returns the last epoch, the padding and the size of the crops of each stage of training."""
    small_epochs = max(0, config.epochs - config.large_epochs)
    both = [(small_epochs, 0, 24), (config.epochs, config.crop_padding, 32)]
    return both[small_epochs == 0 :]


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains, evaluates and reports one run; returns what it reached on the test set."""
    data = fcnn.load_dataset("cifar10", config.data_dir, validation=config.validation)
    prepare = fcnn.make_prepare(*fcnn.channel_statistics(data.train.images))
    loader = fcnn.Loader(data.train, config.batch_size, config.seed)
    schedule = schedule_of(config, config.epochs * loader.steps_per_epoch)

    model = fcnn.create_model(config.network, num_classes=data.num_classes)
    tx = fcnn.make_optimizer("sgd", schedule, nesterov=config.nesterov, weight_decay=config.weight_decay)
    task, mesh = fcnn.tasks.classification(label_smoothing=config.label_smoothing), fcnn.make_mesh()
    state = fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=(1, 32, 32, 3))

    def step_on(padding, size):
        crop = fcnn.augment.random_crop(padding, (size, size))
        augment = fcnn.augment.compose(crop, fcnn.augment.random_flip())
        return fcnn.make_train_step(model, tx, task=task, prepare=prepare, augment=augment, mesh=mesh)

    steps = [(epochs, size, step_on(padding, size)) for epochs, padding, size in stages(config)]
    for epochs, size, step in steps:
        console.print(f"to epoch {epochs} of {config.epochs} on crops of {size}x{size}")
        state, _ = fcnn.fit(
            state,
            step,
            loader,
            epochs=epochs,
            validation=data.validation,
            run_folder=run_folder,
            learning_rate=schedule,
            console=console,
        )
    title = f"{config.network} on {data.name}"
    evaluation = steps[-1][2].evaluation
    return fcnn.conclude_run(
        run_folder, state, evaluation, data.test, title=title, class_names=data.class_names, console=console
    )


if __name__ == "__main__":
    fcnn.run_experiment("resnet_cifar10", RECIPES, train)
