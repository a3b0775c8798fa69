"""Fully convolutional networks on scenes of digits: skips sharpen (Long, Shelhamer and Darrell 2015).

python experiments/fcn_digits.py                     # two minutes on two cores
python experiments/fcn_digits.py --recipe accurate   # ten minutes, a mean IoU of 0.86 instead of 0.80
"""

import json
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
from rich.console import Console

import fcnn
from fcnn.files import write_file
from fcnn.models import Conv, batch_norm, from_classifier
from fcnn.report import draw_predicted_masks, save_picture

CLASSES = ("ground", *(f"digit {digit}" for digit in range(10)))


@dataclass(frozen=True)
class Config:
    """A classifier of digits becomes a network that labels pixels, and each form the start of a finer one."""

    strides: tuple[int, ...] = (16, 8, 2)
    """Of the forms, the coarsest first: no skips, one, three."""
    epochs: tuple[int, ...] = (1, 1, 2)
    """Of each form; the plain network learns as long as the last one."""
    scenes: int = 6000
    """Scenes to train on; made from other digits, there are others for validation and for the test."""
    held_out_scenes: int = 500
    size: int = 80
    """Height and width of a scene in pixels."""
    sides: tuple[int, int] = (32, 64)
    """The longer side of a digit in pixels is from the first to the second."""
    digits: int = 10000
    """Digits that the classifier learns from, one by one."""
    clutter: int = 4
    """Pieces of digits on the ground at most; there are half as many strokes."""
    batch_size: int = 8
    learning_rate: float = 1e-2
    """Highest learning rate of AdamW in each part; it rises for a tenth and falls to 0 along a cosine."""
    weight_decay: float = 0.02
    seed: int = 0


RECIPES = {"fast": Config(), "accurate": Config(scenes=24000, epochs=(1, 1, 5))}


class Plain(nn.Module):
    """Dilated convolutions (Yu and Koltun 2016): no pools, a view as wide, as many multiply-adds as FCN-2s."""

    @nn.compact
    def __call__(self, images, *, train):
        """Returns the logits of each pixel."""
        x = nn.relu(batch_norm("bn0", train=train)(Conv(16, (4, 4), strides=(2, 2), padding=1, name="conv0")(images)))
        for i, d in enumerate((1, 2, 4, 8, 8), start=1):
            x = Conv(16, (3, 3), padding=d, kernel_dilation=(d, d), name=f"conv{i}")(x)
            x = nn.relu(batch_norm(f"bn{i}", train=train)(x))
        x = Conv(len(CLASSES), (1, 1), kernel_init=nn.initializers.zeros, name="score")(x)
        return fcnn.ops.resize_bilinear(x, images.shape[1:3])


def standardise(images):
    """Returns images of mean 0 and deviation 1, each by itself: what padding adds is then of a mean grey."""
    return (images - images.mean((1, 2, 3), keepdims=True)) / (images.std((1, 2, 3), keepdims=True) + 1e-3)


def learn(config, name, model, examples, epochs, folder, console, *, task=None, start=None, validation=None):
    """Trains a network, where `start` gives variables of the layers of its name; returns its state and its step."""
    console.print(f"{name}: {epochs} epochs of {len(examples['image'])} scenes")
    loader = fcnn.Loader(examples, config.batch_size, config.seed)
    steps = epochs * loader.steps_per_epoch
    # The scores begin at zero, and may learn faster.
    rate, score_rate = (fcnn.warmup_cosine(scale * config.learning_rate, steps, warmup=steps // 10) for scale in (1, 2))
    rates = {"score.*": score_rate} if task else {}
    tx = fcnn.make_optimizer("adamw", rate, rates=rates, weight_decay=config.weight_decay)
    step = fcnn.make_train_step(model, tx, task=task, prepare=standardise)
    input_shape = (1, *examples["image"].shape[1:])
    state = fcnn.create_state(model, tx, key=jax.random.key(config.seed), input_shape=input_shape)
    if start is not None:
        merged = {collection: getattr(state, collection) | start[collection] for collection in start}
        state = state._replace(**merged)
    state, _ = fcnn.fit(state, step, loader, epochs=epochs, validation=validation, run_folder=folder,
                        learning_rate=rate, steps_per_call=50, console=console)  # fmt: skip
    return state, step


def train(config: Config, run_folder: Path, console: Console) -> fcnn.Result:
    """Trains the classifier, the plain network and the forms; returns the mean IoU of each on the test scenes."""
    data = fcnn.load_dataset("mnist", validation=5000)
    assert data.validation is not None  # as asked for
    counts = (config.scenes, config.held_out_scenes, config.held_out_scenes)
    scenes, validation, test = (
        fcnn.data.digit_scenes(
            digits, count, size=(config.size, config.size), sides=config.sides, clutter=config.clutter, seed=config.seed
        )
        for digits, count in zip((data.train, data.validation, data.test), counts, strict=True)
    )
    # The classifier sees as much at once as its first linear layer.
    classifier = fcnn.create_model("vgg_small", num_classes=10)
    size = classifier.input_shape[:2]
    single = fcnn.data.digit_boxes(
        data.train, config.digits, size=size, sides=(32, 48), clutter=0, most=1, seed=config.seed
    )
    single = {"image": single["image"], "label": single["classes"][:, 0]}
    state, _ = learn(config, "classifier", classifier, single, 1, run_folder / "classifier", console)

    forms = {
        f"{stride}s": fcnn.create_model(f"fcn{stride}s_small", num_classes=len(CLASSES)) for stride in config.strides
    }
    coarsest, *_, finest = forms
    key, input_shape = jax.random.key(config.seed), (1, *scenes["image"].shape[1:])
    start = from_classifier(forms[coarsest], state.variables, key, input_shape)
    shown, trained, measured, masks = {"image": test["image"][:5]}, {}, {}, {}
    task = fcnn.tasks.segmentation(num_classes=len(CLASSES))
    for name, model in {"plain": Plain(), **forms}.items():
        epochs = dict(zip(forms, config.epochs, strict=True)).get(name, config.epochs[-1])
        # The finest form is what the run is about: its checkpoints and curves lie in the run's own folder.
        folder = run_folder if name == finest else run_folder / name
        state, step = learn(config, name, model, scenes, epochs, folder, console, task=task,
                            start=start if name in forms else None, validation=validation)  # fmt: skip
        start = jax.device_get(state.variables) if name in forms else start
        trained[name] = state, step.evaluation
        measured[name] = fcnn.evaluate(state, step.evaluation, test, batch_size=250)
        masks[name] = fcnn.predict(state, step.evaluation, shown, batch_size=5).argmax(axis=-1)

    state, evaluation = trained[finest]
    fcnn.conclude_run(run_folder, state, evaluation, test, title=f"FCN-{finest} on scenes of digits",
                      class_names=CLASSES, batch_size=250, examined="test scenes", console=console)  # fmt: skip
    write_file(run_folder / "forms.json", json.dumps(measured, indent=2) + "\n")
    figure = draw_predicted_masks(shown["image"], test["label"][:5], masks, CLASSES)
    console.print(f"drawn in {save_picture(run_folder / 'fcn_digits.png', figure)}")
    return fcnn.Result(
        {name: metrics["mean_iou"] for name, metrics in measured.items()},
        {name: f"{name} mean IoU {{:.3f}}" for name in measured},
    )


if __name__ == "__main__":
    fcnn.run_experiment("fcn_digits", RECIPES, train)
