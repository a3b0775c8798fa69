"""Sums over a set: integers are added up exactly, however large, in evaluation, in training, across interruptions."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from states import new_state
from tasks.stopping import StopsAfter, assert_same, assert_same_rows

import fcnn
from fcnn.tasks import Task
from fcnn.training import InterruptedRun, add_sums, finish, formats_of, shown

# The smallest number that float32 does not hold; more than 128 of them are no int32.
ODD = 2**24 + 1
STEPS = 160
TX = fcnn.make_optimizer("sgd", 0.1)


class Scale(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        return nn.Dense(2, name="output")(images.reshape(len(images), -1))


MODEL = Scale()
EXAMPLES = {"image": np.linspace(0, 1, 2 * STEPS, dtype=np.float32).reshape(-1, 1, 1, 1)}


def begin():
    return new_state(MODEL, TX, input_shape=(1, 1, 1, 1))


def counting_task():
    """A task that counts ODD things a batch, and as many in the first of two cells."""
    return Task(
        losses=lambda outputs, batch: {"loss": jnp.square(outputs - 1).sum(axis=-1)},
        measure=lambda outputs, batch: {"things": jnp.int32(ODD), "cells": jnp.array([ODD, 1])},
        metrics=lambda totals: {"things": totals["things"], "cell": totals["cells"][0], "other": totals["cells"][1]},
        best="things",
    )


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int16, np.bool_])
def test_integers_are_added_as_integers(dtype):
    largest = 1 if dtype == np.bool_ else np.iinfo(dtype).max
    totals = add_sums([{"cells": np.array([largest, 1], dtype)}] * 5)
    assert totals["cells"].dtype == np.int64
    assert totals["cells"].tolist() == [5 * largest, 5]


def test_all_else_is_added_in_float64():
    totals = add_sums([{"loss": np.float32(2**24)}, {"loss": np.float32(1)}, {"loss": jnp.bfloat16(0.5)}])
    assert totals["loss"] == 2**24 + 1.5


@pytest.mark.parametrize("batches", [3, STEPS])
def test_an_evaluation_counts_exactly(batches):
    def evaluate_batch(state, batch):
        return {"things": jnp.int32(ODD), "count": (batch["mask"] != 0).sum()}

    examples = {"image": EXAMPLES["image"][:batches]}
    assert fcnn.evaluate(begin(), evaluate_batch, examples, batch_size=1) == {"things": ODD}
    found = fcnn.evaluate(begin(), fcnn.make_eval_step(MODEL, task=counting_task()), examples, batch_size=1)
    assert [found[name] for name in ("things", "cell", "other")] == [batches * ODD, batches * ODD, batches]


def test_pixels_are_counted_exactly():
    """In 65 images of 512 x 512 pixels, of which one is wrong."""

    class Brightness:
        def apply(self, variables, images, *, train):
            return jnp.concatenate([0.5 - images, images - 0.5], axis=-1)

    images, labels = np.zeros((65, 512, 512, 1), np.uint8), np.zeros((65, 512, 512), np.uint8)
    labels[40, 3, 2] = 1
    step = fcnn.make_eval_step(Brightness(), task=fcnn.tasks.segmentation(2))
    found = fcnn.evaluate(begin(), step, (images, labels), batch_size=13)
    assert labels.size > 2**24
    assert found["pixel_accuracy"] == (labels.size - 1) / labels.size < 1
    assert found["mean_iou"] == (labels.size - 1) / labels.size / 2


@pytest.mark.parametrize("options", [{}, {"resident_bytes": 0}, {"steps_per_call": 40}])
def test_an_epoch_counts_exactly(options):
    step = fcnn.make_train_step(MODEL, TX, task=counting_task())
    _, (row,) = fcnn.fit(begin(), step, fcnn.Loader(EXAMPLES, 2), epochs=1, **options)
    assert STEPS * ODD > 2**31
    assert [row[f"train_{name}"] for name in ("things", "cell", "other")] == [STEPS * ODD, STEPS * ODD, STEPS]


def test_counts_are_exact_across_an_interruption(tmp_path):
    step, loader = fcnn.make_train_step(MODEL, TX, task=counting_task()), fcnn.Loader(EXAMPLES, 2)
    options = {"epochs": 2, "steps_per_call": 150, "validation": EXAMPLES}
    whole, expected = fcnn.fit(begin(), step, loader, **options)
    with pytest.raises(InterruptedRun, match="after step 240 of 320"):
        fcnn.fit(begin(), step, StopsAfter(loader, 1), run_folder=tmp_path, **options)
    sums = json.loads((tmp_path / "checkpoints" / "240" / "progress" / "metadata").read_text())["sums"]
    for name, value in (("things", 80 * ODD), ("count", 160), ("cells", [80 * ODD, 80])):
        assert sums[name] == value
        assert all(isinstance(number, int) for number in np.ravel(sums[name]).tolist())
    resumed, rows = fcnn.fit(begin(), step, loader, run_folder=tmp_path, **options)
    assert_same(resumed, whole)
    assert_same_rows(rows, expected)
    assert rows[1]["train_things"] == STEPS * ODD


def test_accumulated_parts_add_up_as_integers():
    step = fcnn.make_train_step(MODEL, TX, task=counting_task(), accumulate=4)
    _, metrics = step(begin(), {"image": EXAMPLES["image"][:8]})
    assert metrics["things"] == 4 * ODD
    assert jnp.issubdtype(metrics["things"].dtype, jnp.integer)
    assert metrics["cells"].tolist() == [4 * ODD, 4]


def test_a_metric_that_is_an_array_is_refused():
    task = counting_task()._replace(metrics=lambda totals: {"cells": totals["cells"]})
    for faulty in (task, task._replace(metrics=None)):
        with pytest.raises(fcnn.InputError, match=r"'cells' must be a number, got an array \[2\]: give one number"):
            fcnn.evaluate(begin(), fcnn.make_eval_step(MODEL, task=faulty), EXAMPLES, batch_size=100)
    with pytest.raises(fcnn.InputError, match="'cells' must be a number, got 'many'"):
        finish(task._replace(metrics=lambda totals: {"cells": "many"}), {"count": 1})


def test_sums_without_a_count_are_refused():
    with pytest.raises(fcnn.InputError, match='must have the "count" of examples, got loss'):
        fcnn.evaluate(begin(), lambda state, batch: {"loss": np.float32(1)}, EXAMPLES, batch_size=100)


def test_losses_are_means_over_sizes_and_all_else_over_examples():
    totals = {"count": 4, "size": 10, "loss": 5.0, "loss_a": 2.0, "right": 3}
    task = counting_task()._replace(metrics=None)
    assert finish(task, totals) == {"loss": 0.5, "loss_a": 0.2, "right": 0.75}
    assert finish(task, {"count": 0, "loss": 0.0}) == {"loss": 0.0}


def test_what_is_shown():
    metrics = {"loss": 0.12345, "loss_a": 1.0, "angle_error": 12.3456, "right": 0.75}
    task = counting_task()._replace(best="-angle_error")
    assert shown(task, metrics) == "loss 0.1235 angle_error 12.35"
    assert shown(task._replace(best="-loss"), metrics, loss="{:.1f}") == "loss 0.1"
    assert shown(task._replace(shown={"right": "right {:.0%}", "absent": "{}"}), metrics) == "loss 0.1235 right 75%"
    assert shown(None, metrics) == "loss 0.1235 angle_error 12.35 right 0.75"
    assert formats_of(None, metrics) == {"angle_error": "angle_error {:.4g}", "right": "right {:.4g}"}


@pytest.mark.parametrize("devices", [1, 8])
def test_devices_add_up_as_integers(devices):
    mesh = fcnn.make_mesh(jax.devices()[:devices])
    task = counting_task()._replace(
        measure=lambda outputs, batch: {"things": jnp.where(batch["mask"] != 0, 2**21 + 1, 0).sum()},
        metrics=lambda totals: {"things": totals["things"]},
    )
    step = fcnn.make_eval_step(MODEL, task=task, mesh=mesh)
    examples = {"image": EXAMPLES["image"][:77]}
    found = fcnn.evaluate(fcnn.parallel.replicate(mesh, begin()), step, examples, batch_size=16)
    assert found["things"] == 77 * (2**21 + 1)
