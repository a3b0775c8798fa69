"""Fine-tuning from a weight file on made-up photos, from the command line to the report."""

import json
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


@pytest.fixture
def run(transfer, folder, tmp_path, monkeypatch):
    """Returns what runs the experiment with options: accuracy, what was printed, and the trained variables."""

    def run(reported=False, **options):
        trained = []

        def conclude(run_folder, state, *arguments, **more):
            trained.append(jax.device_get(state.variables))
            return conclude_run(run_folder, state, *arguments, **more) if reported else fcnn.Result({"top1": 0.0}, {})

        conclude_run = fcnn.conclude_run
        monkeypatch.setattr(fcnn, "conclude_run", conclude)
        options = {"weights": folder / "weights.safetensors", "batch_size": 8, "epochs": 1, "validation": 0, **options}
        config = transfer["Config"](network=NAME, data=f"folder:{folder / 'photos'}", **options)
        fcnn.open_run(tmp_path / "run", config)
        console = Console(record=True, quiet=False, soft_wrap=True)
        result = transfer["train"](config, tmp_path / "run", console)
        return result.metrics["top1"], console.export_text(), *trained

    return run


def changed_layers(folder, trained):
    """Returns the layers any of whose parameters or statistics differ from the weight file's, to the last bit."""
    published, changed = fcnn.load_pretrained(NAME, folder / "weights.safetensors"), set()
    for collection in ("params", "batch_stats"):
        for layer, arrays in trained[collection].items():
            same = jax.tree.map(np.array_equal, arrays, published[collection][layer])
            changed |= set() if all(jax.tree.leaves(same)) else {layer}
    return changed


def test_a_head_alone_learns_and_is_reported(run, folder, tmp_path):
    options = {"mode": "head", "augment": False, "batch_size": 4, "epochs": 10, "learning_rate": 0.15}
    accuracy, printed, trained = run(reported=True, **options)
    assert accuracy == 1
    assert "frozen by conv1: conv1/kernel" in printed
    assert "frozen by fc" not in printed
    assert changed_layers(folder, trained) == {"fc"}
    assert "4 test images, evenly spaced" in (tmp_path / "run" / "report.html").read_text()
    with Image.open(tmp_path / "run" / "predictions.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize("augment", [True, False])
def test_the_best_epoch_is_chosen_on_photos_kept_from_training(run, tmp_path, augment):
    run(mode="head", validation=0.25, batch_size=6, augment=augment)
    (row,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert 0 <= row["validation_top1"] <= 1
    assert list((tmp_path / "run" / "checkpoints").glob("*/metrics"))


def test_a_head_alone_is_trained_on_augmented_photos(run, folder):
    _, printed, trained = run(mode="head")
    assert "frozen by layer4_0: layer4_0/bn1/bias" in printed
    assert changed_layers(folder, trained) == {"fc"}


def test_from_scratch_no_weights_are_read(run, folder):
    _, printed, trained = run(mode="scratch", weights=folder / "nowhere.pth")
    assert "frozen" not in printed
    assert changed_layers(folder, trained) == trained["params"].keys()
    # Drawn anew, not moved by a step: the kernels have nothing in common with those of the file.
    published = fcnn.load_pretrained(NAME, folder / "weights.safetensors")
    kernels = [variables["params"]["layer4_0"]["conv1"]["kernel"].ravel() for variables in (trained, published)]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 0.1


def test_fine_tuning_keeps_what_is_frozen(run, folder):
    _, printed, trained = run(freeze=("conv1", "bn1", "layer[123]_.*"))
    assert "frozen by layer[123]_.*: layer1_0/bn1/bias" in printed
    assert changed_layers(folder, trained) == {"layer4_0", "fc"}


def test_learning_rates_by_path(run, folder):
    """Where the rate of all else is 0, only what has another one learns."""
    rates = {"fc/bias": 0.5, "conv1": 0.1}
    _, printed, trained = run(learning_rate=0.0, freeze=("bn1|layer.*",), rates=rates)
    assert "learning rate 0.5 by fc/bias: fc/bias\n" in printed
    assert "learning rate 0.1 by conv1: conv1/kernel\n" in printed
    assert changed_layers(folder, trained) == {"conv1", "fc"}
    assert np.abs(trained["params"]["fc"]["bias"]).min() > 0


@pytest.mark.parametrize("option", [{"freeze": ("layer5_.*",)}, {"rates": {"layer5_.*": 0.1}}])
def test_a_pattern_that_matches_nothing_is_refused(run, option):
    with pytest.raises(fcnn.InputError, match="'layer5_.*' matches no parameter"):
        run(**option)


def test_mnist_transfer_compares_four_ways_on_equal_terms(digits):
    """On a few digits and for a few steps: each way learns, and gives an accuracy for each seed."""
    demonstration = runpy.run_path(str(EXPERIMENTS / "transfer_mnist.py"))
    few, source = (demonstration["digits"](digits, *limits) for limits in ((5, 9), (0, 4)))
    assert (few.labels.min(), few.labels.max()) == (0, 4)
    assert len(few.labels) + len(source.labels) == len(digits.labels)
    config = demonstration["Config"](repetitions=2, images_per_class=6, steps=40, source_epochs=10)
    accuracies = demonstration["compare"](config, source, few, few)
    assert list(accuracies) == ["from scratch", "head only", "last three layers", "fine-tuned"]
    assert all(len(values) == 2 and min(values) > 0.4 for values in accuracies.values())
