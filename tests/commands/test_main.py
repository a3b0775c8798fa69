"""The command line, from its arguments to its output and exit code."""

import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from fcnn.commands.main import main
from fcnn.models import create_model, list_models
from fcnn.pretrained import export_torchvision

NAME = "resnet_tiny"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder with weights that see class 2 in any image, and photos."""
    folder = tmp_path_factory.mktemp("photos")
    model = create_model(NAME, num_classes=6)
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.uniform(0.5, 1.5, leaf.shape).astype(np.float32) / 8, shapes)
    head = variables["params"]["fc"]
    variables["params"]["fc"] = {"kernel": 0 * head["kernel"], "bias": np.array([0, 1, 20, 0, 2, 0], np.float32)}
    safetensors.numpy.save_file(export_torchvision(NAME, variables), folder / "weights.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "one.jpg")
    Image.fromarray(pixels[..., 0]).save(folder / "two.png")
    (folder / "broken.jpg").write_bytes((folder / "one.jpg").read_bytes()[:300])
    (folder / "names.txt").write_text("ant\nbee\ncat\n$dog$\nelk\nfox\n")
    return folder


def _predict(folder, *arguments):
    return main(["predict", NAME, "--weights", str(folder / "weights.safetensors"), *map(str, arguments)])


def test_predict(folder, tmp_path, capsys):
    output = tmp_path / "picture.png"
    photos = [folder / "one.jpg", folder / "two.png"]
    assert _predict(folder, *photos, "--output", output, "--class-names", folder / "names.txt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(photos[0])
    assert lines[1] == "  100.0%  cat"
    assert lines[6] == str(photos[1])
    assert lines[-1] == str(output)
    assert len(lines) == 13
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").getdata())) > 100
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: cannot be read as an image: No such file"),
        (["broken.jpg"], "broken.jpg: cannot be read as an image: damaged"),
        (["names.txt"], "names.txt: cannot be read as an image: damaged, or of an unknown format"),
        (["."], ": cannot be read as an image: Is a directory"),
        ([], "expected from 1 to 64 photos, found 0"),
        (["one.jpg", "--output", "picture.jpg"], "expected a name that ends in .png"),
        (["one.jpg", "--output", "no/folder/picture.png"], "cannot be written: No such file"),
        (["one.jpg", "--class-names", "none.txt"], "none.txt: cannot be read"),
        (["one.jpg", "--class-names", "one.jpg"], "one.jpg: cannot be read"),
        (["one.jpg", "--weights", "none.pth"], "none.pth: does not exist"),
        (["one.jpg", "--weights", "one.jpg"], "one.jpg: is neither safetensors nor"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert _predict(folder, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(folder.iterdir()) == before


def test_other_networks(folder, capsys):
    photo, weights = str(folder / "one.jpg"), str(folder / "weights.safetensors")
    assert main(["predict", "vgg_tiny", "--weights", weights, photo]) == 2
    assert "the weights do not fit vgg_tiny" in capsys.readouterr().err
    assert main(["predict", "resnet", "--weights", weights, photo]) == 2
    assert "unknown network 'resnet': did you mean" in capsys.readouterr().err
    assert main(["predict", NAME, photo]) == 2
    assert "no weights are published for 'resnet_tiny'" in capsys.readouterr().err


def test_weights_for_grey_images(folder, tmp_path, capsys):
    state_dict = safetensors.numpy.load_file(folder / "weights.safetensors")
    state_dict["conv1.weight"] = np.ascontiguousarray(state_dict["conv1.weight"][:, :1])
    safetensors.numpy.save_file(state_dict, tmp_path / "grey.safetensors")
    output = tmp_path / "picture.png"
    options = ["--weights", str(tmp_path / "grey.safetensors"), "--output", str(output)]
    assert main(["predict", NAME, *options, str(folder / "one.jpg")]) == 2
    error = capsys.readouterr().err
    assert "these weights of resnet_tiny do not take images of 3 channels" in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:]} == set(list_models())
    (line,) = [line for line in lines if "resnet50-0676ba61.pth" in line]
    assert line.split() == ["resnet50", "V1", "top-1", "76.13%,", "top-5", "92.86%", "resnet50-0676ba61.pth"]
    (line,) = [line for line in lines if "fcn_resnet50_coco" in line]
    assert re.split("  +", line) == [
        "fcn_resnet50", "V1", "mean IoU 60.50%, pixel accuracy 91.40%", "fcn_resnet50_coco-1167a1af.pth"
    ]  # fmt: skip


def test_summary(capsys):
    assert main(["summary", "lenet", "--input-shape", "32", "32", "1"]) == 0
    assert "61,706" in capsys.readouterr().out
    assert main(["summary", "alexnet"]) == 0
    assert "61,100,840" in capsys.readouterr().out
    assert main(["summary", "fcn_resnet50"]) == 0
    assert "35,322,218" in capsys.readouterr().out
    assert main(["summary", "alexnett"]) == 2
    assert "did you mean alexnet" in capsys.readouterr().err


def test_as_a_program(folder):
    command = [sys.executable, "-m", "fcnn"]
    wrong = subprocess.run([*command, "predict", NAME, "none.jpg"], capture_output=True, text=True, cwd=folder)
    assert wrong.returncode == 2
    assert wrong.stderr == "error: none.jpg: cannot be read as an image: No such file or directory\n"
    assert wrong.stdout == ""
    with pytest.raises(SystemExit) as caught:
        main(["draw"])
    assert caught.value.code == 2


def test_plan_prints_a_line_for_each_choice(capsys):
    assert main(["plan", "lenet", "--batch-size", "4"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "input", "computes", "as", "why"]
    assert lines[0].startswith("c1      4 x 32 x 32 x 1")
    assert "product of windows, 4" in lines[0]
    assert [line.split()[0] for line in lines] == ["c1", "c3", "c5", "f6", "output"]


def test_plan_measures_what_it_could_choose(capsys):
    arguments = ["plan", "resnet_cifar_tiny", "--input-shape", "8", "8", "3", "--batch-size", "2", "--measure"]
    assert main(arguments) == 0
    measured = [line for line in capsys.readouterr().out.splitlines() if "milliseconds" in line]
    assert len(measured) == 7
    assert all(re.search(r"direct \d+\.\d\d, .*in training \d+\.\d\d, xla in training", line) for line in measured)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "resnet_tiny", "--batch-size", "0"], r"each at least 1, got \(0, "),
        (["plan", "resnet_tinny"], "unknown network 'resnet_tinny'"),
    ],
)
def test_plan_refuses_what_is_none(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
