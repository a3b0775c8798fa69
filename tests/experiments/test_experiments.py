"""The experiments as their users run them: from the command line to the report, killed and resumed, and mistyped."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import fcnn

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def load(name):
    """Returns an experiment as a module."""
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


def write_idx(path, array):
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


@pytest.fixture(scope="session")
def few_digits(mnist, tmp_path_factory):
    """A folder in the form of MNIST with 1,280 and 200 digits."""
    folder = tmp_path_factory.mktemp("few_digits")
    for stem, split, size in (("train", mnist.train, 1280), ("t10k", mnist.test, 200)):
        write_idx(folder / f"{stem}-images-idx3-ubyte", split.images[:size, ..., 0])
        write_idx(folder / f"{stem}-labels-idx1-ubyte", split.labels[:size].astype(np.uint8))
    return folder


def command(folder, few_digits, *options):
    script = [sys.executable, str(EXPERIMENTS / "lenet_mnist.py"), "--run-folder", str(folder)]
    few = ["--data-dir", str(few_digits), "--validation", "128", "--batch-size", "64"]
    return [*script, *few, "--dropout-rate", "0.1", *options]


def run(arguments, timeout=300, **environment):
    environment = os.environ | {"XLA_FLAGS": ""} | environment
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, env=environment)


def restore(folder):
    model, tx = fcnn.create_model("lenet", dropout_rate=0.1), fcnn.make_optimizer("adamw", lambda step: 0.0)
    state = fcnn.create_state(model, tx, key=jax.random.key(0), input_shape=(1, 32, 32, 1), ema=True)
    return jax.device_get(fcnn.load_checkpoint(folder, state, "last"))


def test_a_run_from_the_command_line_that_is_killed_twice_ends_as_one_that_is_not(few_digits, tmp_path):
    """Programs that are compiled anew and those of an earlier run compute the same."""
    options = ("--epochs", "4", "--ema-decay", "0.9")
    cache = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    whole = run(command(tmp_path / "whole", few_digits, *options), **cache)
    assert whole.returncode == 0, whole.stderr
    assert re.search(r"test images: loss \d\.\d+ top-1 \d\d\.\d\d%, report in ", whole.stdout)
    files = {path.name for path in (tmp_path / "whole").iterdir()}
    pictures = {f"{name}.png" for name in ("curves", "confusion", "kernels", "feature_maps", "mistakes")}
    assert files >= pictures | {"config.json", "metrics.jsonl", "checkpoints", "report.html", "test.json"}
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["config"]["epochs"] == 4

    # Killed once an epoch is written down, wherever it stands then, and once more soon after it went on.
    folder, epochs_seen = tmp_path / "killed", [1, 2]
    for seen in epochs_seen:
        process = subprocess.Popen(
            command(folder, few_digits, *options, "--resume"),
            env=os.environ | {"XLA_FLAGS": ""} | cache, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        metrics, deadline = folder / "metrics.jsonl", time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if metrics.exists() and len(metrics.read_text().splitlines()) >= seen:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.rglob("fcnn/compiled/jit_steps-*"))
    resumed = run(command(folder, few_digits, *options, "--resume"), **cache)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr == ""
    one, other = restore(tmp_path / "whole"), restore(folder)
    assert one.step == other.step == 72
    for tree in ("params", "ema", "opt_state"):
        jax.tree.map(np.testing.assert_array_equal, getattr(one, tree), getattr(other, tree))
    rows = [
        [json.loads(line)["validation_loss"] for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in (tmp_path / "whole", folder)
    ]
    assert rows[0] == rows[1]
    assert (tmp_path / "whole" / "test.json").read_text() == (folder / "test.json").read_text()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache folder, and JAX without a setting for its cache."""
    monkeypatch.setattr("fcnn.commands.experiment.cache_folder", lambda: tmp_path / "cache")
    names = "enable_compilation_cache", "compilation_cache_dir", "persistent_cache_min_compile_time_secs"
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    jax.config.update("jax_enable_compilation_cache", True)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def run_nothing(folder, *options):
    mlp = load("mlp_mnist")
    fcnn.run_experiment("mlp", mlp.RECIPES, lambda *_: 0.5, ["--run-folder", str(folder), *options])


def test_compiled_programs_are_kept_for_a_month(cache, tmp_path, capsys):
    folder = cache / "compiled"
    folder.mkdir(parents=True)
    for name, days in (("old-cache", 31), ("new-cache", 29), ("other", 31)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - days * 24 * 3600,) * 2)
    run_nothing(tmp_path / "run")
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert {path.name for path in folder.iterdir()} == {"new-cache", "other"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("options", [(), ("--no-compilation-cache",)])
def test_compiled_programs_are_not_kept_where_the_user_says_so(options, cache, tmp_path):
    chosen = None if options else str(tmp_path / "chosen")
    jax.config.update("jax_compilation_cache_dir", chosen)
    run_nothing(tmp_path / "run", *options)
    assert jax.config.jax_compilation_cache_dir == chosen
    assert not cache.exists()


def test_a_run_goes_on_where_compiled_programs_cannot_be_kept(cache, tmp_path, capsys):
    cache.touch()
    run_nothing(tmp_path / "run")
    assert jax.config.jax_compilation_cache_dir is None
    notice = capsys.readouterr().out
    assert "compiled programs are not kept" in notice
    assert notice.count("\n") == 1


def test_several_seeds_give_mean_and_deviation(few_digits, tmp_path, capsys):
    mlp = load("mlp_mnist")
    arguments = ["--epochs", "2", "--seeds", "2", "--run-folder", str(tmp_path / "mlp"), "--data-dir", str(few_digits)]
    arguments += ["--validation", "0.1"]
    fcnn.run_experiment("mlp_mnist", mlp.RECIPES, mlp.train, arguments)
    printed = capsys.readouterr().out
    accuracies = [float(found) for found in re.findall(r"test images: loss \S+ top-1 (\d+\.\d+)%,", printed)]
    mean, deviation = map(float, re.search(r"over 2 seeds: top-1 (\S+)% ± (\S+)%", printed).groups())
    assert mean == pytest.approx(np.mean(accuracies), abs=0.01)
    assert deviation == pytest.approx(np.std(accuracies, ddof=1), abs=0.02)
    for seed in (0, 1):
        assert json.loads((tmp_path / "mlp" / f"seed_{seed}" / "config.json").read_text())["config"]["seed"] == seed
        assert (tmp_path / "mlp" / f"seed_{seed}" / "report.html").exists()


def test_fifty_examples_are_learnt_by_heart(tmp_path, capsys):
    overfit = load("overfit")
    arguments = ["--run-folder", str(tmp_path / "overfit"), "--epochs", "4"]
    fcnn.run_experiment("overfit", overfit.RECIPES, overfit.train, arguments)
    assert "100% of 50 examples learnt by heart" in capsys.readouterr().out


def test_photos_of_a_folder_are_learnt_by_heart(random, tmp_path, capsys):
    for channel, name in enumerate(("ants", "bees")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            photo = random.integers(0, 120, (60 + i, 70, 3), np.uint8)
            photo[..., channel] += 120
            Image.fromarray(photo).save(tmp_path / "photos" / name / f"{i}.png")
    overfit = load("overfit")
    arguments = ["--data", f"folder:{tmp_path / 'photos'}", "--network", "mlp", "--size", "8", "--examples", "6"]
    arguments += ["--epochs", "2", "--learning-rate", "0.05", "--run-folder", str(tmp_path / "run")]
    fcnn.run_experiment("overfit", overfit.RECIPES, overfit.train, arguments)
    assert "100% of 6 examples learnt by heart" in capsys.readouterr().out


def test_what_to_check_is_said_where_they_are_not(tmp_path, capsys):
    overfit = load("overfit")
    arguments = ["--run-folder", str(tmp_path / "overfit"), "--learning-rate", "0", "--network", "mlp", "--epochs", "1"]
    with pytest.raises(SystemExit) as stop:
        fcnn.run_experiment("overfit", overfit.RECIPES, overfit.train, arguments)
    assert stop.value.code == 1
    assert "the learning rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("network", "images", "size"),
    [
        ("lenet", (28, 28, 1), 28),
        ("mlp", (28, 28, 1), 28),
        ("vgg_tiny", (28, 28, 1), 32),
        ("alexnet_tiny", (32, 32, 3), 64),
    ],
)
def test_overfitting_takes_the_smallest_size_that_the_network_takes(network, images, size):
    assert load("overfit").smallest_size(fcnn.create_model(network), images) == size


BAD = {
    "an unknown option": (["--epoch", "3"], "unknown option '--epoch': did you mean --epochs"),
    "an unknown recipe": (["--recipe", "accurrate"], "unknown recipe 'accurrate': did you mean accurate"),
    "a word for a number": (["--epochs", "many"], "--epochs"),
    "an unknown data set": (["--data", "mnits"], "unknown data set 'mnits': did you mean mnist"),
    "a missing folder": (["--data-dir", "/nowhere"], "/nowhere"),
    "a batch larger than the set": (["--batch-size", "60001"], "batch size must be from 1 to 55000"),
    "a negative learning rate": (["--learning-rate", "-1"], "learning rate must not be negative"),
    "a negative rotation": (["--rotation", "-1"], "rotation must not be negative"),
    "a dropout rate of 1": (["--dropout-rate", "1"], "dropout_rate must be at least 0 and less than 1"),
    "an unknown activation": (["--activation", "rleu"], "unknown activation 'rleu': did you mean relu"),
    "all images for validation": (["--validation", "60000"], "validation"),
    "no epochs": (["--epochs", "0"], "at least 1 epoch"),
    "no seeds": (["--seeds", "0"], "--seeds must be at least 1"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "processes without an address": (["--processes", "2"], "need the address host:port"),
    "both resume and overwrite": (["--resume", "--overwrite"], "exclude each other"),
    "a folder that cannot be written": (["--run-folder", "/dev/null/run"], "cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, tmp_path, capsys):
    lenet = load("lenet_mnist")
    options, expected = BAD[case]
    arguments = ["--run-folder", str(tmp_path / "run"), *options]
    with pytest.raises(SystemExit) as stop:
        fcnn.run_experiment("lenet_mnist", lenet.RECIPES, lenet.train, arguments)
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert expected in complaint
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_outlives_a_mistyped_command_to_overwrite_it(tmp_path, capsys):
    lenet = load("lenet_mnist")
    folder = fcnn.open_run(tmp_path / "run", lenet.Config())
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit):
        fcnn.run_experiment(
            "lenet_mnist", lenet.RECIPES, lenet.train, ["--run-folder", str(folder), "--overwrite", "--data", "mnits"]
        )
    assert "did you mean mnist" in capsys.readouterr().err
    assert (folder / "metrics.jsonl").read_text() == "{}\n"


def test_another_config_is_not_resumed(tmp_path, capsys):
    lenet = load("lenet_mnist")
    fcnn.open_run(tmp_path / "run", lenet.Config())
    with pytest.raises(SystemExit):
        fcnn.run_experiment(
            "lenet_mnist",
            lenet.RECIPES,
            lenet.train,
            ["--run-folder", str(tmp_path / "run"), "--resume", "--seed", "7"],
        )
    assert "seed was 0, now 7" in capsys.readouterr().err
