"""The GPU benchmark from end to end, tiny and on a CPU; its networks; its processes and its time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import fcnn

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The benchmarks' modules, as they find each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(*options):
    environment = os.environ | {"XLA_FLAGS": "", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--platform", "cpu", "--quick", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_it_measures_all_on_a_cpu_and_writes_a_file_and_a_page(tmp_path):
    options = ("--precisions", "float32 highest", "--rounds", "2", "--round-seconds", "0.05", "--minutes", "3")
    done = run(*options, "--torch-python", "/nowhere/python", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "left out: PyTorch: /nowhere/python cannot import it" in done.stdout
    found = json.loads((tmp_path / "gpu.json").read_text())
    (case,) = found["training"]
    assert (case["network"], case["precision"], case["batch_size"]) == ("lenet", "float32 highest", 8)
    assert case["measured"].keys() == {"fcnn", "stock flax.linen"}
    for row in case["measured"].values():
        assert len(row["images_per_second"]) == 2
        assert row["median"] == pytest.approx(sum(row["images_per_second"]) / 2)
        assert 0 < row["create_state_seconds"] < 60
        assert 0 < row["first_step_seconds"] < 60
        assert row["peak_mib"] > 100
    assert found["goldens"]["resnet18"].keys() == {"float32", "float32 highest"}
    assert max(found["goldens"]["resnet18"].values()) < 1e-5
    times = found["input"]["lenet"]
    assert min(times[name] for name in ("compute", "input", "streamed", "resident")) > 0
    assert 0 <= times["overlap"] <= 1
    assert found["left_out"] == ["PyTorch: /nowhere/python cannot import it"]
    assert found["facts"]["command"].endswith(str(tmp_path))
    page = (tmp_path / "gpu.html").read_text()
    for text in (found["facts"]["commit"], f"jax</th><td>{jax.__version__}", 'id="speed"', 'id="start"', 'id="memory"'):
        assert text in page


def test_what_there_is_no_time_for_is_named(tmp_path):
    done = run("--minutes", "0.2", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    left_out = json.loads((tmp_path / "gpu.json").read_text())["left_out"]
    assert left_out[1:] == [
        f"{name}: no time left" for name in ("goldens of resnet18", "input of lenet", "lenet, bfloat16")
    ]


@pytest.mark.parametrize(
    ("network", "size", "channels"),
    [("lenet", 32, 1), ("resnet20", 32, 3), ("resnet18", 64, 3), ("resnet50", 64, 3), ("vgg16_bn", 64, 3)],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stock_networks_have_the_parameters_of_ours(network, size, channels, dtype):
    from stock_networks import NETWORKS

    images, key = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32), jax.random.key(0)
    sizes, logits = [], []
    for model in (NETWORKS[network](10, dtype=dtype), fcnn.create_model(network, num_classes=10)):

        def begin(key, images, model=model):
            return model.init_with_output({"params": key, "dropout": key}, images, train=True)

        out, variables = jax.eval_shape(begin, key, images)
        sizes.append(sorted(leaf.shape for leaf in jax.tree.leaves(variables["params"])))
        logits.append(out)
    assert sizes[0] == sizes[1]
    assert logits[0] == logits[1]


def test_as_many_images_as_the_card_has_memory_for():
    from gpu_cases import make_case

    def batch(network, precision, memory):
        return make_case(network, precision, "gpu", memory, quick=False).batch_size

    assert [batch("resnet50", "bfloat16", memory) for memory in (None, 140, 80, 40, 16)] == [256, 256, 256, 128, 32]
    assert batch("resnet50", "float32", 140) == 128
    assert batch("resnet50", "float32 highest", 40) == 128
    assert batch("lenet", "float32", 140) == 512


def test_a_process_that_ends_says_its_last_line_and_one_that_hangs_is_ended():
    from turns import StoppedError, take_turns

    echo = "import sys\nfor line in sys.stdin: print('noise'); print('{' + line, end='', flush=True)"
    fail = "import sys; sys.exit('out of memory')"
    commands = {name: [sys.executable, "-c", script] for name, script in (("echo", echo), ("fail", fail))}
    commands["hang"] = [sys.executable, "-c", "import time; time.sleep(1000)"]
    start = time.monotonic()
    with take_turns(commands, keep_errors=True) as workers:
        assert workers["echo"].ask("one", 20, start="{") == "{one\n"
        assert workers["echo"].ask("two", 20, start="{") == "{two\n"
        with pytest.raises(StoppedError, match="stopped: out of memory"):
            workers["fail"].ask("one", 20)
        with pytest.raises(StoppedError, match="out of time"):
            workers["hang"].ask("one", 0.1)
    assert time.monotonic() - start < 60
