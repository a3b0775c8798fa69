"""Fine-tuning from a weight file on made-up photos, from the command line to the report."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from rich.console import Console

import fcnn

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAME = "resnet_tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder with weights of 7 classes, and photos of two classes that differ in colour."""
    folder = tmp_path_factory.mktemp("transfer")
    model = fcnn.create_model(NAME, num_classes=7)
    variables = jax.jit(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))()
    safetensors.numpy.save_file(fcnn.export_torchvision(NAME, variables), folder / "weights.safetensors")
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for channel, name in enumerate(("ants", "bees")):
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(count):
                photo = random.integers(0, 120, (60, 70, 3), np.uint8)
                photo[..., channel] += 120
                Image.fromarray(photo).save(folder / "photos" / split / name / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def transfer():
    return runpy.run_path(str(EXPERIMENTS / "transfer.py"))


def run(transfer, folder, run_folder, **options):
    config = transfer["Config"](
        network=NAME, weights=folder / "weights.safetensors", data=f"folder:{folder / 'photos'}", **options
    )
    fcnn.open_run(run_folder, config)
    console = Console(record=True, quiet=False, soft_wrap=True)
    accuracy = transfer["train"](config, run_folder, console)
    return accuracy, console.export_text()


def test_a_head_alone_learns_and_is_reported(transfer, folder, tmp_path):
    accuracy, printed = run(
        transfer, folder, tmp_path / "run", mode="head", augment=False, epochs=30, learning_rate=0.05
    )
    assert accuracy == 1
    assert "frozen by conv1: conv1/kernel" in printed
    assert "frozen by fc" not in printed
    assert (tmp_path / "run" / "report.html").exists()
    with Image.open(tmp_path / "run" / "predictions.png") as picture:
        assert picture.width > 1000


def test_fine_tuning_keeps_what_is_frozen(transfer, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fcnn, "examine_run", lambda run_folder, *_, **__: run_folder / "report.html")
    options = {"batch_size": 8, "epochs": 1, "freeze": ("conv1", "bn1", "layer[123]_.*")}
    _, printed = run(transfer, folder, tmp_path / "run", **options)
    assert "frozen by layer[123]_.*: layer1_0/bn1/bias" in printed
    model = fcnn.create_model(NAME, num_classes=2)
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", lambda step: 0.1), options["freeze"])
    state = fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=(1, 32, 32, 3))
    trained = fcnn.load_checkpoint(tmp_path / "run", state).variables
    published = fcnn.load_pretrained(NAME, folder / "weights.safetensors")
    for collection in ("params", "batch_stats"):
        for layer in ("conv1", "bn1", "layer1_0", "layer2_0", "layer3_0", "layer4_0"):
            pair = (trained[collection].get(layer), published[collection].get(layer))
            same = jax.tree.leaves(jax.tree.map(np.array_equal, *pair))
            assert all(same) == (layer != "layer4_0")


def test_a_pattern_that_freezes_nothing_is_refused(transfer, folder, tmp_path):
    with pytest.raises(fcnn.InputError, match="'layer5_.*' matches no parameter"):
        run(transfer, folder, tmp_path / "run", freeze=("layer5_.*",))


def test_mnist_transfer_compares_three_ways_on_equal_terms(digits):
    """On a few digits, so that it takes a second: that each way gives an accuracy for each seed, the same again."""
    demonstration = runpy.run_path(str(EXPERIMENTS / "transfer_mnist.py"))
    few, source = (demonstration["digits"](digits, *limits) for limits in ((5, 9), (0, 4)))
    assert (few.labels.min(), few.labels.max()) == (0, 4)
    assert len(few.labels) + len(source.labels) == len(digits.labels)
    config = demonstration["Config"](repetitions=2, images_per_class=6, steps=20, source_epochs=1)
    accuracies = demonstration["compare"](config, source, few, few)
    assert list(accuracies) == ["from scratch", "head only", "fine-tuned"]
    assert all(len(values) == 2 and min(values) > 0.25 for values in accuracies.values())
