"""FCN on PASCAL VOC 2012, or on one's own photos and masks: Long, Shelhamer and Darrell 2015, as torchvision trains it.

FOLDER holds VOCdevkit, published in http://host.robots.ox.ac.uk/pascal/VOC/voc2012; MINE has images/ and masks/.

python experiments/fcn_voc.py --data-dir FOLDER --mode evaluate                    # what the published weights reach
python experiments/fcn_voc.py --data-dir FOLDER --batch-size 4 --freeze-norms      # fine-tunes them on little memory
python experiments/fcn_voc.py --data-dir FOLDER --mode classifier                  # from a network of ImageNet
python experiments/fcn_voc.py --data folder:MINE                                   # other classes get a new head
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import optax
from rich.console import Console

import fcnn
from fcnn.use import network_of


@dataclass(frozen=True)
class Config:
    """FCN on photos in which every pixel has a label."""

    data: str = "voc2012_segmentation"
    """Or folder:PATH, with photos in PATH/images and masks of the same names in PATH/masks."""
    data_dir: Path | None = None
    """Folder of VOCdevkit."""
    validation: float = 0.1
    """Share of the photos to train on that is kept for validation; 0 if the data have a validation part."""
    network: str = "fcn_resnet50"
    """fcn_resnet50, fcn_resnet101, fcn32s_vgg16, fcn16s_vgg16 or fcn8s_vgg16."""
    weights: Path | None = None
    """Weight file, .pth or .safetensors; without it, the published one is downloaded."""
    mode: Literal["finetune", "classifier", "scratch", "evaluate"] = "finetune"
    """Train from the network's weights, a classification network's, or random ones; or only measure the network's."""
    evaluation_size: int | None = 520
    """Shorter side of photos and labels in evaluation, as torchvision measures; None: their own, as VOC's server."""
    epochs: int = 30
    batch_size: int = 32
    rate_per_32: float = 0.02
    """First learning rate with a batch of 32, in proportion with another one; it falls as (1 - step / steps) ** 0.9."""
    weight_decay: float = 1e-4
    """Of kernels alone; torchvision's reference lets all parameters decay."""
    auxiliary_weight: float = 0.5
    """Of the auxiliary head's loss."""
    auxiliary_rate: float = 10.0
    """How many times higher the auxiliary head's learning rate is."""
    base_size: int = 520
    """The shorter side of a photo is resized to 0.5 to 2 times this."""
    crop: int = 480
    """Height and width of the random part that is trained on."""
    freeze_norms: bool = False
    """Keep the statistics of batch normalisation: those of a few images a batch are too noisy."""
    evaluation_batch_size: int = 8
    seed: int = 0


RECIPES = {"published": Config()}


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains, evaluates and reports one run; returns what it, or the weights alone, reach on the photos to test on."""
    data = fcnn.load_dataset(
        config.data,
        config.data_dir,
        validation=0 if config.mode == "evaluate" else config.validation,
        seed=config.seed,
        resize=config.evaluation_size,
    )
    task = fcnn.tasks.segmentation(data.num_classes, auxiliary_weight=config.auxiliary_weight)
    imagenet = fcnn.preprocess("fcn_resnet50")
    prepare, mesh = fcnn.make_prepare(imagenet.mean, imagenet.std), fcnn.make_mesh()
    key, shape = jax.random.key(config.seed), (1, config.crop, config.crop, 3)
    model, variables = start(config, data.num_classes, key, shape, console)

    if config.mode == "evaluate":
        state = fcnn.create_state(model, optax.identity(), key=key, input_shape=shape, variables=variables)
    else:
        loader = fcnn.data.MaskLoader(data.train, config.batch_size, config.seed, config.crop, config.base_size)
        tx, schedule = optimizer(config, model, config.epochs * loader.steps_per_epoch)
        network = fcnn.FrozenNorms(model, (".*",)) if config.freeze_norms else model
        state, _ = fcnn.fit(
            fcnn.create_state(model, tx, key=key, input_shape=shape, variables=variables),
            fcnn.make_train_step(network, tx, task=task, prepare=prepare, mesh=mesh),
            loader,
            epochs=config.epochs,
            validation=data.validation,
            validation_batch_size=config.evaluation_batch_size,
            run_folder=run_folder,
            learning_rate=schedule,
            console=console,
        )
    result = fcnn.conclude_run(
        run_folder,
        state,
        fcnn.make_eval_step(model, task=task, prepare=prepare, mesh=mesh),
        data.test,
        title=f"{config.network} on {data.name}: {config.mode}",
        class_names=data.class_names,
        examined="test photos",
        batch_size=config.evaluation_batch_size,
        console=console,
    )
    size = config.evaluation_size
    where = "at their own size" if size is None else f"resized to a shorter side of {size} pixels"
    reached = ", ".join(f"{name} {value:.2%}" for name, value in result.metrics.items() if name != "loss")
    console.print(f"photos and labels {where}: {reached.replace('_', ' ').replace('iou', 'IoU')}")
    return result


def start(config: Config, num_classes: int, key: Any, shape: tuple, console: Console) -> tuple[Any, Any]:
    """Returns the network and the variables that it starts from; None for random ones."""
    model = fcnn.create_model(config.network, num_classes=num_classes)
    if config.mode == "scratch":
        return model, None
    if config.mode == "classifier":
        classifier = config.network.partition("_")[2]
        return model, fcnn.models.from_classifier(model, fcnn.load_pretrained(classifier, config.weights), key, shape)
    variables = fcnn.load_pretrained(config.network, config.weights)
    model = network_of(config.network, variables)
    if model.num_classes == num_classes:
        return model, variables
    found = f"the weights have {model.num_classes} classes, the data {num_classes}"
    if config.mode == "evaluate":
        raise fcnn.InputError(f"{found}: take weights for these classes, or fine-tune these")
    console.print(f"{found}: the head is a new one")
    model = model.clone(num_classes=num_classes)
    return model, fcnn.replace_head(model, variables, key, shape)


def optimizer(config: Config, model: Any, steps: int) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Returns gradient descent with the rate of the batch, that of the auxiliary head higher, and the schedule."""
    rate = config.rate_per_32 * config.batch_size / 32
    schedule, rates = fcnn.poly_decay(rate, steps), {}
    if getattr(model, "auxiliary_heads", False):
        rates["aux_classifier_.*"] = fcnn.poly_decay(rate * config.auxiliary_rate, steps)
    return fcnn.make_optimizer("sgd", schedule, rates=rates, momentum=0.9, weight_decay=config.weight_decay), schedule


if __name__ == "__main__":
    fcnn.run_experiment("fcn_voc", RECIPES, train)
