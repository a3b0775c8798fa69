"""What is evaluated, and how a step may be compiled, with a task whose metrics are arrays."""

import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks.pixels import Pixels, begin, labelled, mean_loss

import fcnn
from fcnn.arrays import EvaluationBatches

MODEL = Pixels()
TX = fcnn.make_optimizer("sgd", 0.5)
TASK = fcnn.tasks.segmentation(4)
STEP = fcnn.make_train_step(MODEL, TX, task=TASK)


def state_of():
    return begin(MODEL, TX)


class TwoSizes:
    """Photos of two sizes, each with batches of its own, the last one of each filled up with what is no example."""

    def __init__(self, *sets):
        self.sets = sets

    def batches(self, batch_size):
        for examples in self.sets:
            for start in range(0, len(examples["image"]), batch_size):
                batch = {name: array[start : start + batch_size] for name, array in examples.items()}
                count = len(batch["image"])
                fill = np.resize(np.arange(count), batch_size)
                batch = {name: array[fill].copy() for name, array in batch.items()}
                batch["label"][count:] = 99
                yield batch | {"mask": (np.arange(batch_size) < count).astype(np.float32)}


def confusion(state, *sets):
    """The mean loss and the pixels of each pair of classes over several sets, in NumPy."""
    losses, sizes, matrix = [], [], np.zeros((4, 4), int)
    for examples in sets:
        logits, labels = np.asarray(MODEL.apply(state.variables, examples["image"], train=False)), examples["label"]
        losses.append(mean_loss(logits, labels))
        sizes.append((labels != 255).sum())
        np.add.at(matrix, (labels[labels != 255], logits.argmax(-1)[labels != 255]), 1)
    return np.average(losses, weights=sizes), matrix


@pytest.mark.parametrize("kind", ["split", "pair", "mapping", "mapping of JAX arrays", "with a mask"])
def test_a_set_may_come_in_several_kinds(random, kind):
    examples = labelled(random, count=11)
    given = {
        "split": fcnn.Split(examples["image"], examples["label"]),
        "pair": (examples["image"], examples["label"]),
        "mapping": examples,
        "mapping of JAX arrays": {name: jnp.asarray(array) for name, array in examples.items()},
        "with a mask": {
            name: np.concatenate([array, array[:3]]) for name, array in examples.items()
        } | {"mask": np.repeat(np.float32([1, 0]), [11, 3])},
    }[kind]  # fmt: skip
    loss, matrix = confusion(state_of(), examples)
    found = fcnn.evaluate(state_of(), STEP.evaluation, given, batch_size=4)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["pixel_accuracy"] == np.trace(matrix) / matrix.sum()


@pytest.mark.parametrize("devices", [None, 8])
def test_a_set_of_two_sizes_is_evaluated_exactly_by_two_compilations(random, devices, caplog):
    small, large = labelled(random, count=7), labelled(random, count=10, size=(9, 12))
    mesh = None if devices is None else fcnn.make_mesh(jax.devices()[:devices])
    examples = TwoSizes(small, large)
    assert isinstance(examples, EvaluationBatches)
    loss, matrix = confusion(state_of(), small, large)
    state = state_of() if mesh is None else fcnn.parallel.replicate(mesh, state_of())
    evaluate_batch = fcnn.make_eval_step(MODEL, task=TASK, mesh=mesh)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        found = fcnn.evaluate(state, evaluate_batch, examples, batch_size=3)
        fcnn.evaluate(state, evaluate_batch, examples, batch_size=3)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["pixel_accuracy"] == np.trace(matrix) / matrix.sum()
    for part in ("forward", "measure"):
        assert len(re.findall(rf"Finished XLA compilation of jit\({part}\)", caplog.text)) == 2


def test_a_set_of_two_sizes_validates_and_concludes_a_run(random, tmp_path):
    small, large = labelled(random, count=8), labelled(random, count=5, size=(9, 12))
    examples = TwoSizes(small, large)
    state, (row,) = fcnn.fit(
        state_of(), STEP, fcnn.Loader(small, 4), epochs=1, validation=examples, validation_batch_size=4,
        run_folder=tmp_path,
    )  # fmt: skip
    loss, matrix = confusion(state, small, large)
    result = fcnn.conclude_run(tmp_path, state, STEP.evaluation, examples, title="Two sizes", batch_size=2)
    for metrics in (result.metrics, {name.removeprefix("validation_"): value for name, value in row.items()}):
        assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
        assert metrics["pixel_accuracy"] == np.trace(matrix) / matrix.sum()
    assert fcnn.load_checkpoint(tmp_path, state_of()).step == 2
    assert "Two sizes" in (tmp_path / "report.html").read_text()


def test_a_set_may_begin_with_examples_that_do_not_count(random, tmp_path):
    examples = labelled(random, count=9)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": 1.0}\n')
    masked = examples | {"mask": (np.arange(9) >= 5).astype(np.float32)}
    result = fcnn.conclude_run(tmp_path, state_of(), STEP.evaluation, masked, title="", batch_size=2)
    loss, _ = confusion(state_of(), {name: array[5:] for name, array in examples.items()})
    assert result.metrics["loss"] == pytest.approx(loss, rel=1e-5)


def assert_close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, other)


@pytest.fixture
def expected(random):
    """A batch for each of two steps, the parameters after them and the sums of both."""
    batches, state, sums = [labelled(random), labelled(random)], state_of(), []
    for batch in batches:
        state, metrics = STEP(state, batch)
        sums.append(jax.device_get(metrics))
    assert sums[0]["confusion"].shape == (4, 4)
    assert sums[0]["confusion"].sum() == (batches[0]["label"] != 255).sum()
    return batches, jax.device_get(state.params), sums


def test_a_step_may_be_part_of_a_users_program(expected):
    batches, params, sums = expected
    in_jit = jax.jit(STEP)
    state = state_of()
    for batch, of_step in zip(batches, sums, strict=True):
        before = state
        state, metrics = in_jit(state, batch)
        assert not before.params["output"]["kernel"].is_deleted()
        assert_close(metrics, of_step)
    assert_close(state.params, params)
    evaluated = jax.jit(STEP.evaluation)(state_of(), batches[0])
    np.testing.assert_array_equal(evaluated["confusion"], sums[0]["confusion"])


def test_a_step_may_be_scanned(expected):
    batches, params, sums = expected
    stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
    state, metrics = jax.jit(lambda state, batches: jax.lax.scan(STEP, state, batches))(state_of(), stacked)
    assert_close(state.params, params)
    assert_close(metrics, jax.tree.map(lambda *values: np.stack(values), *sums))

    examples = jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)
    state, metrics = fcnn.scan_steps(STEP)(state_of(), examples, np.arange(16, dtype=np.int32).reshape(2, 8))
    assert_close(state.params, params)
    assert metrics["confusion"].shape == (2, 4, 4)
    np.testing.assert_array_equal(metrics["confusion"], [of_step["confusion"] for of_step in sums])


def test_a_step_donates_its_state_and_can_be_lowered(expected):
    batches, _, sums = expected
    state = state_of()
    kernel = state.params["output"]["kernel"]
    compiled = STEP.lower(state, batches[0]).compile()
    assert not kernel.is_deleted()
    after, metrics = compiled(state, batches[0])
    assert kernel.is_deleted()
    assert_close(jax.device_get(metrics), sums[0])
    assert after.step == 1


def test_what_measuring_does_not_read_is_not_computed_for_it(random):
    """The images are prepared for the task too, which may read them; this one does not."""
    step = fcnn.make_eval_step(MODEL, task=TASK, prepare=jnp.sinh)
    batch = labelled(random)
    outputs = step.outputs(state_of(), batch)
    assert "sinh" in step._forward.lower(state_of(), batch).as_text()
    assert "sinh" not in step._measure.lower(outputs, batch).as_text()
