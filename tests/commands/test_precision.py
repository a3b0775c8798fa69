"""`--precision`: float32 on a GPU is TF32 unless it is asked for, as the programs that are lowered for one say."""

import json
import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest

import fcnn


@dataclass(frozen=True)
class Config:
    """An experiment."""

    network: str = "lenet"
    seed: int = 0


INPUT_SHAPES = {"lenet": (8, 32, 32, 1), "resnet20": (8, 32, 32, 3)}


def precisions_on_a_gpu(network):
    """Returns the precisions of all operands of products and convolutions of a training step."""
    model, tx = fcnn.create_model(network), fcnn.make_optimizer("sgd", 0.1)
    shape, key = INPUT_SHAPES[network], jax.random.key(0)
    state = jax.eval_shape(lambda key: fcnn.create_state(model, tx, key=key, input_shape=shape), key)
    batch = {"image": jax.ShapeDtypeStruct(shape, jnp.float32), "label": jax.ShapeDtypeStruct((8,), jnp.int32)}
    step = fcnn.make_train_step(model, tx, platform="gpu")
    lowered = step.trace(state, batch).lower(lowering_platforms=("cuda",))
    lines = re.findall(r".*stablehlo\.(?:convolution|dot_general).*", lowered.as_text())
    assert len(lines) >= 3 * len([path for path in jax.tree.leaves(state.params) if path.ndim > 1]) - 1
    return [re.findall(r"DEFAULT|HIGHEST|HIGH", line) for line in lines]


@pytest.mark.parametrize("network", INPUT_SHAPES)
@pytest.mark.parametrize(("options", "expected"), [((), "DEFAULT"), (("--precision", "highest"), "HIGHEST")])
def test_what_an_experiment_computes_on_a_gpu_has_the_precision_that_is_asked_for(network, options, expected, tmp_path):
    found = []

    def train(config, run_folder, console):
        found.extend(precisions_on_a_gpu(config.network))
        recorded = json.loads((run_folder / "config.json").read_text())["config"]
        assert recorded == {"network": network, "seed": 0, "precision": options[1] if options else None}
        return 0.5

    arguments = ["--network", network, "--run-folder", str(tmp_path / "run"), *options]
    fcnn.run_experiment("precision", {"default": Config()}, train, arguments)
    assert all(precisions == [expected] * 2 for precisions in found)
    # Only while the experiment runs.
    assert jax.config.jax_default_matmul_precision is None


def test_a_run_is_not_resumed_with_another_precision(tmp_path, capsys):
    folder = fcnn.open_run(tmp_path / "run", Config())
    (folder / "metrics.jsonl").write_text("{}\n")
    arguments = ["--run-folder", str(folder), "--resume"]
    fcnn.run_experiment("precision", {"default": Config()}, lambda *_: 0.5, arguments)
    with pytest.raises(SystemExit):
        fcnn.run_experiment("precision", {"default": Config()}, lambda *_: 0.5, [*arguments, "--precision", "highest"])
    assert "precision was None, now 'highest'" in capsys.readouterr().err
