"""Transfer learning: a published network, fine-tuned on a few hundred photos.

The defaults are those of PyTorch's tutorial, whose photos of ants and bees are at
https://download.pytorch.org/tutorial/hymenoptera_data.zip.

python experiments/transfer.py --data folder:hymenoptera_data                            # all is fine-tuned
python experiments/transfer.py --data folder:hymenoptera_data --mode head --no-augment   # a new head, in seconds
python experiments/transfer.py --data folder:hymenoptera_data --freeze conv1 bn1 "layer[12]_.*"
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import optax
from rich.console import Console

import fcnn
from fcnn.pretrained import PUBLISHED_WEIGHTS
from fcnn.report import draw_predictions, save_picture
from fcnn.training.prepare import to_unit_range


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
    mode: Literal["head", "finetune", "scratch"] = "finetune"
    """Train a new head alone, or all with a new head, or all from random weights."""
    augment: bool = True
    """Train on random parts of the photos; on their centres without, where a head's inputs are computed only once."""
    freeze: tuple[str, ...] = ()
    """What stays as it is in fine-tuning: regular expressions for paths of layers or parameters."""
    epochs: int = 25
    batch_size: int = 4
    learning_rate: float = 1e-3
    """Of gradient descent with momentum; it falls to a tenth every `decay_epochs`."""
    momentum: float = 0.9
    decay_epochs: int = 7
    seed: int = 0


RECIPES = {"tutorial": Config()}


def train(config: Config, run_folder: Path, console: Console) -> float:
    """Trains, evaluates and reports one run; returns the accuracy on the photos that were kept for evaluation."""
    has_published = any(weights.network == config.network for weights in PUBLISHED_WEIGHTS)
    transform = fcnn.preprocess(config.network if has_published else "resnet18")
    data = fcnn.load_dataset(config.data, transform=transform.cut, broken=config.broken)
    prepare = fcnn.make_prepare(transform.mean, transform.std)
    if config.augment:
        loader = fcnn.FolderLoader(data.train, config.batch_size, config.seed, transform.crop)
    else:
        loader = fcnn.Loader(data.train.decode(transform.cut), config.batch_size, config.seed)

    key, shape = jax.random.key(config.seed), (1, transform.crop, transform.crop, 3)
    model = fcnn.create_model(config.network, num_classes=data.num_classes)
    variables = None
    if config.mode != "scratch":
        variables = fcnn.replace_head(model, fcnn.load_pretrained(config.network, config.weights), key, shape)
    whole = fcnn.create_state(model, optax.identity(), key=key, input_shape=shape, variables=variables)
    heads = {head.split("/")[0] for head in model.heads}
    frozen = tuple(name for name in whole.params if name not in heads) if config.mode == "head" else config.freeze
    for pattern, paths in fcnn.match_parameters(whole.params, frozen).items():
        console.print(f"frozen by {pattern}: {', '.join(paths)}")

    only_head = config.mode == "head" and not config.augment
    if only_head:
        network, start, network_prepare, frozen = *head_alone(model, whole), None, ()
        loader = loader._replace(split=head_inputs(model, whole, prepare, loader.split))
        test = head_inputs(model, whole, prepare, data.test)
    else:
        network, start, network_prepare, test = fcnn.FrozenNorms(model, frozen), whole.variables, prepare, data.test
    schedule = optax.exponential_decay(
        config.learning_rate, config.decay_epochs * loader.steps_per_epoch, 0.1, staircase=True
    )
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", schedule, momentum=config.momentum), frozen)
    evaluate_batch = fcnn.make_eval_step(network, prepare=network_prepare)
    state, rows = fcnn.fit(
        fcnn.create_state(network, tx, key=key, input_shape=(1, *test.images.shape[1:]), variables=start),
        fcnn.make_train_step(network, tx, prepare=network_prepare),
        loader,
        epochs=config.epochs,
        evaluate=lambda state: fcnn.evaluate(state, evaluate_batch, test, batch_size=64),
        run_folder=run_folder,
        learning_rate=schedule,
        console=console,
    )
    predict_batch = evaluate_batch.predict
    if only_head:
        state = whole._replace(params=whole.params | {model.heads[0]: state.params["output"]})
        predict_batch = fcnn.make_predict_step(model, prepare=prepare)

    page = fcnn.examine_run(
        run_folder,
        model,
        state,
        data.test,
        title=f"{config.network} on {data.name}: {config.mode}",
        class_names=data.class_names,
        prepare=prepare,
        predict_batch=predict_batch,
        batch_size=64,
    )
    some = fcnn.balanced_subset(data.test, min(24, len(data.test.labels)), config.seed)
    logits = fcnn.predict(state, predict_batch, some, batch_size=64)
    picture = save_picture(run_folder / "predictions.png", draw_predictions(*some, logits, data.class_names))
    accuracy = rows[-1]["test_top1"]
    console.print(f"accuracy {accuracy:.2%}, report in {page}, photos with predictions in {picture}")
    return accuracy


def head_alone(model, state: fcnn.TrainState):
    """Returns the head of a network as a network of its own, and its variables."""
    head = state.params[model.heads[0]]
    return fcnn.create_model("mlp", num_classes=model.num_classes, hidden=()), {"params": {"output": head}}


def head_inputs(model, state: fcnn.TrainState, prepare, split: fcnn.Split) -> fcnn.Split:
    """Returns what the head is given for each image, [n, 1, 1, feature], instead of the image."""

    @jax.jit
    def inputs_of(state, batch):
        return fcnn.head_inputs(model, state.variables, prepare(to_unit_range(batch["image"])))

    return split._replace(images=fcnn.predict(state, inputs_of, split, batch_size=64)[:, None, None])


if __name__ == "__main__":
    fcnn.run_experiment("transfer", RECIPES, train)
