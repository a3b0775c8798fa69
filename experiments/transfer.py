"""Transfer learning: a published network, fine-tuned on a few hundred photos.

The defaults are those of PyTorch's tutorial, whose photos of ants and bees are at
https://download.pytorch.org/tutorial/hymenoptera_data.zip.

python experiments/transfer.py --data folder:hymenoptera_data                            # all is fine-tuned
python experiments/transfer.py --data folder:hymenoptera_data --mode head --no-augment   # a new head, in seconds
python experiments/transfer.py --data folder:hymenoptera_data --freeze conv1 bn1 "layer[12]_.*" --rates fc 0.01
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import optax
from rich.console import Console

import fcnn
from fcnn.pretrained import PUBLISHED_WEIGHTS


@dataclass(frozen=True)
class Config:
    """A network with published weights on photos of other classes."""

    network: str = "resnet18"
    """Any of `python -m fcnn list` that takes colour photos."""
    weights: Path | None = None
    """Its weight file, .pth or .safetensors; without it, the published one is downloaded."""
    data: str = "folder:hymenoptera_data"
    """Photos in class folders, in train/ and val/."""
    broken: Literal["refuse", "skip"] = "refuse"
    """What to do with photos that cannot be read."""
    validation: int | float = 0.1
    """Photos that are kept from training for validation, a share of each class or a number; 0 trains on all."""
    mode: Literal["head", "finetune", "scratch"] = "finetune"
    """Train a new head alone, or all with a new head, or all from random weights."""
    augment: bool = True
    """Train on random parts of the photos; on their centres without, where a head's inputs are computed only once."""
    freeze: tuple[str, ...] = ()
    """What stays as it is in fine-tuning: regular expressions for paths of layers or parameters."""
    rates: dict[str, float] = field(default_factory=dict)
    """What has another learning rate, and which: regular expressions, each followed by its rate."""
    epochs: int = 25
    batch_size: int = 4
    learning_rate: float = 1e-3
    """Of gradient descent with momentum."""
    decay_epochs: tuple[int, ...] = (7, 14, 21)
    """Epochs after which it falls to a tenth."""
    momentum: float = 0.9
    seed: int = 0


RECIPES = {"tutorial": Config()}


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains, evaluates and reports one run; returns what it reached on the photos to test on."""
    has_published = any(weights.network == config.network for weights in PUBLISHED_WEIGHTS)
    transform = fcnn.preprocess(config.network if has_published else "resnet18", path=config.weights)
    size = transform.crop
    if size is None:
        raise fcnn.InputError(f"{config.network} takes whole photos: take a network that classifies")
    data = fcnn.load_dataset(
        config.data, transform=transform.cut, broken=config.broken, validation=config.validation, seed=config.seed
    )
    prepare = fcnn.make_prepare(transform.mean, transform.std)
    train = None if config.augment else data.train.decode(transform.cut)
    if train is None:
        loader = fcnn.FolderLoader(data.train, config.batch_size, config.seed, size)
    else:
        loader = fcnn.Loader(train, config.batch_size, config.seed)

    key, shape = jax.random.key(config.seed), (1, size, size, 3)
    model = fcnn.create_model(config.network, num_classes=data.num_classes)
    variables = None
    if config.mode != "scratch":
        variables = fcnn.replace_head(model, fcnn.load_pretrained(config.network, config.weights), key, shape)
    start = fcnn.create_state(model, optax.identity(), key=key, input_shape=shape, variables=variables)

    frozen = fcnn.body_layers(model, start.params) if config.mode == "head" else config.freeze
    for pattern, paths in fcnn.match_parameters(start.params, (*frozen, *config.rates)).items():
        treatment = f"learning rate {config.rates[pattern]:g}" if pattern in config.rates else "frozen"
        console.print(f"{treatment} by {pattern}: {', '.join(paths)}")
    falls = [epoch * loader.steps_per_epoch for epoch in config.decay_epochs]
    schedules = {pattern: fcnn.step_decay(rate, falls) for pattern, rate in config.rates.items()}
    schedule = fcnn.step_decay(config.learning_rate, falls)
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", schedule, rates=schedules, momentum=config.momentum), frozen)

    network, validation, prepare_input = fcnn.FrozenNorms(model, frozen), data.validation, prepare
    if config.mode == "head" and train is not None:
        body = fcnn.make_eval_step(fcnn.Body(model), prepare=prepare)
        features = partial(fcnn.predict, start, body, batch_size=64)
        network, prepare_input = fcnn.Head(model), None
        loader = fcnn.Loader(train._replace(images=features(train)), config.batch_size, config.seed)
        validation = validation and validation._replace(images=features(validation))
    state, _ = fcnn.fit(
        fcnn.create_state(network, tx, key=key, input_shape=shape, variables=start.variables),
        fcnn.make_train_step(network, tx, prepare=prepare_input),
        loader,
        epochs=config.epochs,
        validation=validation,
        validation_batch_size=64,
        run_folder=run_folder,
        learning_rate=schedule,
        console=console,
    )
    return fcnn.conclude_run(
        run_folder,
        state,
        fcnn.make_eval_step(model, prepare=prepare),
        data.test,
        title=f"{config.network} on {data.name}: {config.mode}",
        class_names=data.class_names,
        shown_examples=24,
        batch_size=64,
        console=console,
    )


if __name__ == "__main__":
    fcnn.run_experiment("transfer", RECIPES, train)
