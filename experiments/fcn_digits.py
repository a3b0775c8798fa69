"""Fully convolutional networks on scenes of digits: skips sharpen (Long, Shelhamer and Darrell 2015).

python experiments/fcn_digits.py                     # three minutes on two cores
python experiments/fcn_digits.py --seeds 3           # mean IoU: plain 0.08, 16s 0.34, 4s 0.65, 1s 0.73
python experiments/fcn_digits.py --recipe accurate   # five times as long

Two fifths of the pixels that the finest form gets wrong are at boundaries. The others are of whole digits that it takes
for other ones or for ground, and of pieces of digits on the ground that it takes for digits. The plain network, which
cannot see a whole digit, finds no digit likelier than the ground for any pixel.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import fcnn
from fcnn.files import write_file
from fcnn.models import Conv, batch_norm, from_classifier
from fcnn.report import draw_predicted_masks, save_picture

CLASSES = ("ground", *(f"digit {digit}" for digit in range(10)))
METRICS = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")


@dataclass(frozen=True)
class Config:
    """A classifier of digits becomes a network that labels every pixel, and each form the start of a finer one.

    The paper's forms have strides of 32, 16 and 8 pixels, for objects of hundreds of pixels. Strokes of these digits
    are three to eight pixels wide: the coarsest form has a stride of 16, the next one two skips and a stride of 4, the
    finest scores of single pixels. Beside them a plain network, without pools and with as many multiply-adds, learns as
    long as the finest form.
    """

    strides: tuple[int, ...] = (16, 4, 1)
    """Of the forms, the coarsest first."""
    epochs: tuple[int, ...] = (2, 1, 2)
    """Of each form."""
    scenes: int = 3000
    """Scenes to train on; made from other digits, there are others for validation and for the test."""
    held_out_scenes: int = 500
    """Of validation, and of the test."""
    size: int = 96
    """Height and width of a scene in pixels."""
    smallest: int = 28
    """The longer side of the smallest digit in pixels."""
    largest: int = 60
    clutter: int = 4
    """Pieces of digits on the ground at most; there are half as many strokes."""
    digits: int = 10000
    """Digits that the classifier learns from, one by one."""
    batch_size: int = 2
    learning_rate: float = 3e-3
    """Highest learning rate of AdamW in each part; it rises for a tenth and falls to 0 along a cosine."""
    score_rate: float = 1e-2
    """The same for the scores, which begin at zero."""
    weight_decay: float = 0.02
    seed: int = 0


RECIPES = {"fast": Config(), "accurate": Config(scenes=16000, digits=40000)}


class PlainNetwork(nn.Module):
    """Five 3x3 convolutions at the images' size: each pixel's class from the 11x11 pixels around it."""

    width: int = 16

    @nn.compact
    def __call__(self, x, *, train):
        """Returns the logits of each pixel."""
        for i in range(5):
            x = Conv(self.width, (3, 3), name=f"conv{i}")(x)
            x = nn.relu(batch_norm(f"bn{i}", train=train)(x))
        return Conv(len(CLASSES), (1, 1), name="score", kernel_init=nn.initializers.zeros)(x)


def standardise(images):
    """Returns images of mean 0 and deviation 1, each by itself: what padding adds is then of a mean grey."""
    mean, deviation = images.mean((1, 2, 3), keepdims=True), images.std((1, 2, 3), keepdims=True)
    return (images - mean) / (deviation + 1e-3)


def make_scenes(config: Config, digits: fcnn.Split, count: int, seed: int) -> dict[str, np.ndarray]:
    """Returns scenes of digits with their labels."""
    sides = (config.smallest, config.largest)
    size = (config.size, config.size)
    return fcnn.data.digit_scenes(digits, count, size=size, sides=sides, clutter=config.clutter, seed=seed)


def as_in_scenes(key, batch):
    """Returns single digits as scenes have them: anywhere, of several sizes, lighter or darker than a noisy ground."""
    place, sign, deviation, noise = jax.random.split(key, 4)
    batch = fcnn.augment.random_affine(rotation=5, shear=5, scale=(1, 2), translation=7)(place, batch)
    steep = jnp.clip(2 * batch["image"] - 0.5, 0, 1)
    each = (len(steep), 1, 1, 1)
    signed = jnp.where(jax.random.bernoulli(sign, shape=each), steep, -steep)
    deviations = jax.random.uniform(deviation, each, minval=0.01, maxval=0.15)
    return {**batch, "image": signed + deviations * jax.random.normal(noise, steep.shape)}


def learn(
    config, model, examples, *, batch_size, epochs, folder, console,
    task=None, rates=None, start=None, validation=None, augment=None,
):  # fmt: skip
    """Trains a network, where `start` gives variables of the layers of its name; returns its state and its step."""
    loader = fcnn.Loader(examples, batch_size, config.seed)
    steps = epochs * loader.steps_per_epoch

    def schedule(highest):
        return fcnn.warmup_cosine(highest, steps, warmup=steps // 10)

    others = {pattern: schedule(highest) for pattern, highest in (rates or {}).items()}
    rate = schedule(config.learning_rate)
    tx = fcnn.make_optimizer("adamw", rate, rates=others, weight_decay=config.weight_decay)
    step = fcnn.make_train_step(model, tx, task=task, prepare=standardise, augment=augment)
    input_shape = (1, *examples["image"].shape[1:])
    state = fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=input_shape)
    if start is not None:
        state = state._replace(
            params=state.params | start["params"], batch_stats=state.batch_stats | start["batch_stats"]
        )
    state, _ = fcnn.fit(
        state, step, loader, epochs=epochs, validation=validation, run_folder=folder, learning_rate=rate,
        steps_per_call=50, console=console,
    )  # fmt: skip
    return state, step


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains the classifier, the forms and the plain network; returns the mean IoU of each on the test scenes."""
    data = fcnn.load_dataset("mnist", validation=5000)
    assert data.validation is not None  # as asked for
    scenes = make_scenes(config, data.train, config.scenes, config.seed)
    validation = make_scenes(config, data.validation, config.held_out_scenes, config.seed)
    test = make_scenes(config, data.test, config.held_out_scenes, config.seed)
    segmentation = fcnn.tasks.segmentation(num_classes=len(CLASSES))

    few = fcnn.balanced_subset(data.train, config.digits, config.seed)
    few = {"image": np.pad(few.images, ((0, 0), (10, 10), (10, 10), (0, 0))), "label": few.labels}
    console.print(f"classifier of {config.digits} digits")
    state, _ = learn(
        config, fcnn.create_model("vgg_small", num_classes=10), few, batch_size=32, epochs=1,
        folder=run_folder / "classifier", augment=as_in_scenes, console=console,
    )  # fmt: skip
    coarsest = fcnn.create_model(f"fcn{config.strides[0]}s_small", num_classes=len(CLASSES))
    start = from_classifier(coarsest, state.variables, jax.random.key(config.seed), (1, *scenes["image"].shape[1:]))

    shown = {"image": test["image"][:5]}
    measured, masks, trained = {}, {}, {}
    networks = {"plain": (PlainNetwork(), config.epochs[-1])}
    networks |= {
        f"{stride}s": (fcnn.create_model(f"fcn{stride}s_small", num_classes=len(CLASSES)), epochs)
        for stride, epochs in zip(config.strides, config.epochs, strict=True)
    }
    for name, (model, epochs) in networks.items():
        console.print(f"{name}: {epochs} epochs of {config.scenes} scenes")
        # The finest form is what the run is about: its checkpoints and curves lie in the run's own folder.
        folder = run_folder if name == f"{config.strides[-1]}s" else run_folder / name
        state, step = learn(
            config, model, scenes, batch_size=config.batch_size, epochs=epochs, folder=folder, console=console,
            task=segmentation, rates={"score.*": config.score_rate}, start=None if name == "plain" else start,
            validation=validation,
        )  # fmt: skip
        trained[name] = state, step
        start = start if name == "plain" else jax.device_get(state.variables)
        measured[name] = fcnn.evaluate(state, step.evaluation, test, batch_size=100)
        masks[name] = fcnn.predict(state, step.evaluation, shown, batch_size=5).argmax(axis=-1)

    state, step = trained[f"{config.strides[-1]}s"]
    title = f"FCN-{config.strides[-1]}s on scenes of digits"
    fcnn.conclude_run(run_folder, state, step.evaluation, test, title=title, class_names=CLASSES, batch_size=100,
                      examined="test scenes", console=console)  # fmt: skip
    write_file(run_folder / "forms.json", json.dumps(measured, indent=2) + "\n")
    figure = draw_predicted_masks(shown["image"], test["label"][:5], masks, CLASSES)
    console.print(f"drawn in {save_picture(run_folder / 'fcn_digits.png', figure)}")
    console.print(f"{'':<6}" + "".join(f"{metric.replace('_', ' ').replace('iou', 'IoU'):>24}" for metric in METRICS))
    for name, metrics in measured.items():
        console.print(f"{name:<6}" + "".join(f"{metrics[metric]:24.4f}" for metric in METRICS))
    return fcnn.Result(
        {name: metrics["mean_iou"] for name, metrics in measured.items()},
        {name: f"{name} mean IoU {{:.3f}}" for name in measured},
    )


if __name__ == "__main__":
    fcnn.run_experiment("fcn_digits", RECIPES, train)
