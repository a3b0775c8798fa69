"""FCN on made photos in the layout of PASCAL VOC, from the command line to the report, interrupted, and mistyped."""

import io
import json
import runpy
import shutil
import signal
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from masks import save_mask, save_pairs, save_voc
from PIL import Image

import fcnn

EXPERIMENT = runpy.run_path(str(Path(__file__).parents[2] / "experiments" / "fcn_voc.py"))
NAME = "fcn_resnet_tiny"
SIZES = ((60, 80), (80, 60), (70, 70))
TRAINING = ("--epochs", 10, "--rate-per-32", 0.5, "--validation", 0.12)
METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


def save_weights(path, variables=None, name=NAME, classes=21):
    if variables is None:
        model, images = fcnn.create_model(name, num_classes=classes), jnp.zeros((1, 32, 32, 3))
        variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    safetensors.numpy.save_file(fcnn.export_torchvision(name, jax.device_get(variables)), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder with 18 photos to train and 6 to test on, and weights of 21 classes."""
    folder = tmp_path_factory.mktemp("voc")
    save_voc(folder / "VOCdevkit", SIZES * 6, SIZES * 2, np.random.default_rng(0))
    save_weights(folder / "weights.safetensors")
    return folder


def run(folder, run_folder, *options):
    """Runs the experiment on small parts of the photos; later options count."""
    sizes = ("--crop", 32, "--base-size", 40, "--evaluation-size", 40, "--batch-size", 4)
    paths = (
        "--data-dir",
        folder / "VOCdevkit",
        "--weights",
        folder / "weights.safetensors",
        "--run-folder",
        run_folder,
    )
    options = map(str, ("--network", NAME, *paths, *sizes, *options))
    fcnn.run_experiment("fcn_voc", EXPERIMENT["RECIPES"], EXPERIMENT["train"], list(options))


@pytest.fixture
def one_device(monkeypatch):
    monkeypatch.setattr(fcnn, "make_mesh", lambda: None)


@pytest.fixture
def trained_states(monkeypatch):
    """Nothing is evaluated and reported at the end of runs: their states are kept."""
    states = []

    def conclude(run_folder, state, evaluation, test, **options):
        states.append(jax.device_get(state))
        return fcnn.Result(dict.fromkeys(METRICS, 0.0), {})

    monkeypatch.setattr(fcnn, "conclude_run", conclude)
    return states


class Trained(NamedTuple):
    """A run that has ended."""

    folder: Path
    printed: str
    state: fcnn.TrainState
    evaluated: list[str]  # the splits that were evaluated, in order


@pytest.fixture(scope="module")
def trained(folder):
    states, evaluated = [], []
    conclude_run, batches = fcnn.conclude_run, fcnn.data.MaskEvaluation.batches

    def conclude(run_folder, state, *arguments, **options):
        states.append(jax.device_get(state))
        return conclude_run(run_folder, state, *arguments, **options)

    def watched(self, batch_size):
        evaluated.append(self.files.image_paths[0].name.split("_")[1])
        return batches(self, batch_size)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(fcnn, "make_mesh", lambda: None)
        patch.setattr(fcnn, "conclude_run", conclude)
        patch.setattr(fcnn.data.MaskEvaluation, "batches", watched)
        run(folder, folder / "run", *TRAINING)
    return Trained(folder / "run", printed.getvalue(), states[0], evaluated)


def test_it_learns_and_is_reported(trained):
    rows = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    # 16 photos are left to train on, 4 batches an epoch, and the rate is that of a batch of 4.
    steps = [4 * epoch for epoch in range(1, 11)]
    assert [row["step"] for row in rows] == steps
    rates = [0.5 * 4 / 32 * (1 - (step - 1) / 40) ** 0.9 for step in steps]
    np.testing.assert_allclose([row["learning_rate"] for row in rows], rates, rtol=1e-4)
    assert trained.evaluated == ["train"] * 10 + ["val"]
    results = json.loads((trained.folder / "test.json").read_text())["metrics"]
    assert results["mean_iou"] > 0.45  # where all is background it is less than 0.25
    names = ("pixel accuracy", "mean accuracy", "mean IoU", "frequency weighted IoU")
    reached = ", ".join(f"{name} {results[key]:.2%}" for name, key in zip(names, METRICS, strict=True))
    assert f"photos and labels resized to a shorter side of 40 pixels: {reached}\n" in trained.printed
    page = (trained.folder / "report.html").read_text()
    for text in (
        "fcn_resnet_tiny on voc2012_segmentation: finetune",
        "IoU of each class",
        "diningtable",
        "Worst images",
    ):
        assert text in page


@pytest.mark.usefixtures("one_device")
def test_a_run_that_is_interrupted_ends_as_one_that_is_not(
    folder, trained, trained_states, tmp_path, monkeypatch, capsys
):
    batches = fcnn.data.MaskLoader.batches

    def interrupted(self, epoch, start=0):
        for number, batch in enumerate(batches(self, epoch, start), start=start):
            if (epoch, number) == (3, 1):
                signal.raise_signal(signal.SIGTERM)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(fcnn.data.MaskLoader, "batches", interrupted)
        with pytest.raises(SystemExit) as stop:
            run(folder, tmp_path / "run", *TRAINING)
    assert stop.value.code == 130
    assert "continue with --resume" in capsys.readouterr().err
    assert not trained_states
    run(folder, tmp_path / "run", *TRAINING, "--resume")
    (state,) = trained_states
    assert state.step == 40
    for field in ("params", "batch_stats", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(state, field), getattr(trained.state, field))


def test_weights_are_evaluated_in_one_command(folder, trained, tmp_path, capsys):
    """Those of the run reach what the run has reached."""
    weights = save_weights(tmp_path / "trained.safetensors", trained.state.variables)
    run(folder, tmp_path / "run", "--mode", "evaluate", "--weights", weights)
    results, before = (
        json.loads((each / "test.json").read_text())["metrics"] for each in (tmp_path / "run", trained.folder)
    )
    assert results == pytest.approx(before, rel=1e-4)
    assert "resized to a shorter side of 40 pixels: pixel accuracy" in capsys.readouterr().out
    assert "Worst images" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_other_classes_get_a_new_head_and_frozen_norms_stay(folder, trained_states, tmp_path, capsys):
    save_pairs(tmp_path / "mine", [(40, 50)] * 10)
    options = (
        "--data",
        f"folder:{tmp_path / 'mine'}",
        "--data-dir",
        "None",
        "--epochs",
        1,
        "--validation",
        0,
        "--batch-size",
        8,
    )
    run(folder, tmp_path / "run", *options, "--freeze-norms")
    assert "the weights have 21 classes, the data 3: the head is a new one" in capsys.readouterr().out
    start, end = fcnn.load_pretrained(NAME, folder / "weights.safetensors"), trained_states[0].variables
    assert end["params"]["classifier_4"]["bias"].shape == (3,)
    jax.tree.map(np.testing.assert_array_equal, end["batch_stats"], start["batch_stats"])
    assert not np.array_equal(end["params"]["classifier_0"]["kernel"], start["params"]["classifier_0"]["kernel"])


def test_it_starts_from_a_classification_network(tmp_path):
    weights = save_weights(tmp_path / "weights.safetensors", name="resnet_tiny", classes=5)
    config = EXPERIMENT["Config"](network=NAME, weights=weights, mode="classifier")
    model, variables = EXPERIMENT["start"](config, 3, jax.random.key(0), (1, 32, 32, 3), None)
    assert model.num_classes == 3
    found = variables["params"]["backbone"]["layer4_0"]
    expected = fcnn.load_pretrained("resnet_tiny", weights)["params"]["layer4_0"]
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_auxiliary_head_learns_at_ten_times_the_rate():
    config = EXPERIMENT["Config"](batch_size=8)
    tx, schedule = EXPERIMENT["optimizer"](config, fcnn.create_model(NAME), steps=100)
    params = {name: {"bias": jnp.ones(2)} for name in ("classifier_4", "aux_classifier_4")}
    updates, _ = tx.update(params, tx.init(params), params)
    assert float(schedule(0)) == pytest.approx(0.005)
    np.testing.assert_allclose(updates["classifier_4"]["bias"], -0.005, rtol=1e-6)
    np.testing.assert_allclose(updates["aux_classifier_4"]["bias"], -0.05, rtol=1e-6)


def missing_photo(root):
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_val_0\nnowhere\n")


def colours(root):
    Image.new("RGB", (80, 60)).save(root / "SegmentationClass" / "2007_train_0.png")


def other_size(root):
    save_mask(root / "SegmentationClass" / "2007_train_0.png", np.zeros((60, 81)))


def label_out_of_range(root):
    save_mask(root / "SegmentationClass" / "2007_train_0.png", np.full((60, 80), 21))


BAD = {
    "a missing photo": (missing_photo, (), "val.txt: names nowhere, whose photo is not in"),
    "a mask of colours": (colours, (), "2007_train_0.png: has the pixel format RGB, expected class numbers"),
    "a mask of another size": (other_size, (), "expected a mask of its image's size, 80x60 pixels, found 81x60"),
    "a label out of range": (label_out_of_range, (), "2007_train_0.png: has the label 21, expected one of 21 classes"),
    "weights of other classes": (None, ("--mode", "evaluate"), "the weights have 5 classes, the data 21: take"),
    "weights of another network": (None, ("--network", "fcn_resnet50"), "the weights do not fit fcn_resnet50"),
    "an unknown network": (None, ("--network", "fcn_resnet5"), "unknown network 'fcn_resnet5': did you mean"),
    "a network of labels an image": (
        None,
        ("--network", "resnet_tiny", "--mode", "scratch", "--batch-size", "8"),
        "the network must give logits [batch, height, width, 21] for this task",
    ),
    "no photos to validate on": (None, ("--validation", "1.5"), "1.5"),
    "a batch larger than the set": (None, ("--batch-size", "32"), "batch size must be from 1 to"),
    "a negative rate": (None, ("--rate-per-32", "-1"), "learning rate must not be negative"),
    "no epochs": (None, ("--epochs", "0"), "at least 1 epoch"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, folder, tmp_path, capsys):
    spoil, options, expected = BAD[case]
    shutil.copytree(folder / "VOCdevkit", tmp_path / "VOCdevkit")
    if case == "weights of other classes":
        save_weights(tmp_path / "weights.safetensors", classes=5)
    else:
        shutil.copy(folder / "weights.safetensors", tmp_path)
    if spoil:
        spoil(tmp_path / "VOCdevkit" / "VOC2012")
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, tmp_path / "run", *TRAINING, *options)
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert expected in complaint
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1
    assert not (tmp_path / "run").exists()
