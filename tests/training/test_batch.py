"""Batches: entries that nothing reads, entries that are missing, and masked examples, in every step."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from states import new_state

import fcnn
from fcnn.tasks import Task, apply_to_images, masked_sum

INPUT = (1, 4, 4, 1)
TX = fcnn.make_optimizer("sgd", 0.1)
NOT_ASKED = "neither the task nor the augmentation asks for: {}; leave them out"


class Network(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        return nn.Dense(3, name="output")(images.reshape(len(images), -1))


MODEL = Network()


def regression(**entries):
    """A task with the target "label" [batch, 3]."""

    def losses(outputs, batch):
        return {"loss": jnp.square(outputs - batch["label"]).sum(axis=-1)}

    return Task(**{"losses": losses, "name": "regression", **entries})


@pytest.fixture
def batch(random):
    return {
        "image": random.random((16, 4, 4, 1), dtype=np.float32),
        "label": random.random((16, 3), dtype=np.float32),
    }


def begin():
    return new_state(MODEL, TX, input_shape=INPUT)


def calls(task, examples, augment=None):
    """Yields the name of everything that takes examples, and a call of it."""
    step = fcnn.make_train_step(MODEL, TX, task=task, augment=augment)
    loader = fcnn.Loader(examples, 8)
    yield "step", lambda: step(begin(), examples)
    yield "fit, resident", lambda: fcnn.fit(begin(), step, loader, epochs=1)
    yield "fit, streaming", lambda: fcnn.fit(begin(), step, loader, epochs=1, resident_bytes=0)
    if augment is None:
        yield "evaluation step", lambda: step.evaluation(begin(), examples)
        yield "evaluate", lambda: fcnn.evaluate(begin(), step.evaluation, examples, batch_size=7)


def test_an_entry_that_nothing_reads_is_refused_by_name(batch):
    more = batch | {"weight": np.ones(16, np.float32), "id": np.arange(16)}
    for name, call in calls(regression(), more):
        with pytest.raises(fcnn.InputError, match=NOT_ASKED.format("'id', 'weight'")) as refused:
            call()
        assert "\n" not in str(refused.value), name


def test_an_entry_without_numbers_is_refused_by_name(batch):
    for _, call in calls(regression(), batch | {"file": np.array(["a.png"] * 16)}):
        with pytest.raises(
            fcnn.InputError, match="the entry 'file' of the batch must hold numbers, got <U5"
        ) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_it_is_refused_in_accumulated_parts_and_on_a_mesh(batch):
    more = batch | {"weight": np.ones(16, np.float32)}
    mesh = fcnn.make_mesh()
    for options in ({"accumulate": 2}, {"mesh": mesh}):
        step = fcnn.make_train_step(MODEL, TX, task=regression(), **options)
        with pytest.raises(fcnn.InputError, match=NOT_ASKED.format("'weight'")):
            step(begin(), more)
    with pytest.raises(fcnn.InputError, match=NOT_ASKED.format("'weight'")):
        fcnn.evaluate(begin(), fcnn.make_eval_step(MODEL, task=regression(), mesh=mesh), more, batch_size=8)


def test_it_is_refused_every_time(batch):
    step = fcnn.make_train_step(MODEL, TX, task=regression())
    step(begin(), batch)
    step.evaluation(begin(), batch)
    for _ in range(2):
        for call in (step, step.evaluation):
            with pytest.raises(fcnn.InputError, match=NOT_ASKED.format("'weight'")):
                call(begin(), batch | {"weight": np.ones(16, np.float32)})


@pytest.mark.parametrize("missing", ["label", "image"])
def test_a_missing_entry_is_named(batch, missing):
    left = {name: array for name, array in batch.items() if name != missing}
    for name, call in calls(regression(), left):
        with pytest.raises(fcnn.InputError, match=f"the batch has no '{missing}', which is asked for") as refused:
            call()
        assert "\n" not in str(refused.value), name


@pytest.mark.parametrize("reader", ["losses", "measure", "size", "record", "apply"])
def test_any_function_of_the_task_may_be_the_one_that_reads_an_entry(batch, reader):
    def losses(outputs, batch):
        return {"loss": jnp.square(outputs - batch["label"]).sum(axis=-1) * batch["weight"]}

    def apply(model, variables, batch, **options):
        return apply_to_images(
            model, variables, {"image": batch["image"] + batch["weight"][:, None, None, None]}, **options
        )

    task = regression(
        **{
            "losses": {"losses": losses},
            "measure": {"measure": lambda outputs, batch: {"weight": masked_sum(batch["weight"], batch)}},
            "size": {"size": lambda batch: batch["weight"]},
            "record": {
                "record": lambda outputs, batch: {"weight": batch["weight"]},
                "metrics": lambda totals, records: {"weight": records["weight"].mean()},
            },
            "apply": {"apply": apply},
        }[reader]
    )
    weighted = batch | {"weight": np.full(16, 2, np.float32)}
    for _, call in calls(task, weighted):
        call()
    if reader in ("measure", "record"):
        found = fcnn.evaluate(begin(), fcnn.make_eval_step(MODEL, task=task), weighted, batch_size=7)
        assert found["weight"] == 2


def test_an_entry_may_be_for_the_augmentation_alone(batch):
    def brighten(key, batch):
        return {**batch, "image": batch["image"] * batch["gain"][:, None, None, None]}

    def of_everything(key, batch):
        return {name: array * 2 if name != "mask" else array for name, array in batch.items()}

    def dropped(key, batch):
        return {name: batch[name] for name in ("image", "label")}

    more = batch | {"gain": np.full(16, 2, np.float32)}
    brighter = {"image": 2 * batch["image"], "label": batch["label"]}
    _, expected = fcnn.make_train_step(MODEL, TX, task=regression())(begin(), brighter)
    _, metrics = fcnn.make_train_step(MODEL, TX, task=regression(), augment=brighten)(begin(), more)
    assert metrics["loss"] == pytest.approx(float(expected["loss"]), rel=1e-6)
    for augment in (brighten, dropped):
        for _, call in calls(regression(), more, augment):
            call()
    # What it changed and no one reads is read by it.
    fcnn.make_train_step(MODEL, TX, task=regression(), augment=of_everything)(begin(), more)


def test_an_entry_that_an_augmentation_makes_is_asked_for_too(batch):
    def noisy(key, batch):
        return {**batch, "image": batch["image"] + 1, "noise": batch["image"]}

    for _, call in calls(regression(), batch, noisy):
        with pytest.raises(fcnn.InputError, match=NOT_ASKED.format("'noise'")):
            call()


def test_an_augmentation_may_be_written_for_one_example(batch):
    def one(key, example):
        return example | {"image": example["image"] * jax.random.uniform(key)}

    def augment(key, batch):
        return jax.vmap(one)(jax.random.split(key, len(batch["image"])), batch)

    for _, call in calls(regression(), batch, augment):
        call()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_mask_outlives_an_augmentation_that_does_not_know_it(batch, accumulate):
    def augment(key, batch):
        return {"image": batch["image"] * 2, "label": batch["label"]}

    step = fcnn.make_train_step(MODEL, TX, task=regression(), augment=augment, accumulate=accumulate)
    masked, metrics = step(begin(), batch | {"mask": np.repeat(np.float32([1, 0]), 8)})
    half, expected = step(begin(), {name: array[:8] for name, array in batch.items()})
    assert metrics["count"] == 8
    assert metrics["loss"] == pytest.approx(float(expected["loss"]), rel=1e-6)
    np.testing.assert_allclose(masked.params["output"]["kernel"], half.params["output"]["kernel"], rtol=1e-5, atol=1e-7)


def test_a_masked_example_adds_nothing_where_zeros_have_no_loss(batch):
    """A cosine between an output and a target of length 0 is 0 / 0, and so is its gradient."""

    def losses(outputs, batch):
        lengths = jnp.linalg.norm(outputs, axis=-1) * jnp.linalg.norm(batch["label"], axis=-1)
        return {"loss": 1 - (outputs * batch["label"]).sum(axis=-1) / lengths}

    step = fcnn.make_train_step(MODEL, TX, task=regression(losses=losses))
    masked, metrics = step(begin(), batch | {"mask": np.repeat(np.float32([1, 0]), 8)})
    half, expected = step(begin(), {name: array[:8] for name, array in batch.items()})
    assert metrics["loss"] == pytest.approx(float(expected["loss"]), rel=1e-6)
    np.testing.assert_allclose(masked.params["output"]["kernel"], half.params["output"]["kernel"], rtol=1e-5, atol=1e-7)
    found = fcnn.evaluate(begin(), step.evaluation, {name: array[:5] for name, array in batch.items()}, batch_size=4)
    assert np.isfinite(found["loss"])


def test_a_task_that_hands_on_a_copy_sees_what_the_network_sees(batch):
    """In training and in evaluation alike the images are prepared."""

    def losses(outputs, batch):
        copied = {**batch, "label": batch["label"]}
        return {"loss": jnp.square(outputs.mean(axis=-1) - copied["image"].mean(axis=(1, 2, 3)))}

    stored = {"image": np.full((16, 4, 4, 1), 51, np.uint8), "label": batch["label"]}
    step = fcnn.make_train_step(MODEL, TX, task=regression(losses=losses), prepare=lambda images: images - 1)
    logits = MODEL.apply(begin().variables, jnp.full((1, 4, 4, 1), 0.2 - 1), train=False)
    expected = 16 * (float(logits.mean()) + 0.8) ** 2
    assert step.evaluation(begin(), stored)["loss"] == pytest.approx(expected, rel=1e-5)
    assert step(begin(), stored)[1]["loss"] == pytest.approx(expected, rel=1e-5)


def test_sizes_below_one_are_sizes_too(batch):
    """Weights of examples, whose sum may be less than 1."""

    def losses(outputs, batch):
        return {"loss": jnp.square(outputs - batch["label"]).sum(axis=-1) * batch["weight"]}

    task = regression(losses=losses, size=lambda batch: batch["weight"])
    light, heavy = (batch | {"weight": np.full(16, weight, np.float32)} for weight in (1e-3, 5.0))
    step = fcnn.make_train_step(MODEL, TX, task=task)
    for name, leaf in step(begin(), light)[0].params["output"].items():
        np.testing.assert_allclose(leaf, step(begin(), heavy)[0].params["output"][name], rtol=1e-5, atol=1e-7)
    found, expected = (fcnn.evaluate(begin(), step.evaluation, each, batch_size=5)["loss"] for each in (light, heavy))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"weights": {"los": 2.0}}, "'regression' has weights for 'los', its losses are 'loss'"),
        ({"measure": lambda outputs, batch: {"loss_a": outputs.sum()}}, "'regression' measures 'loss_a', a name that"),
        ({"losses": lambda outputs, batch: {}}, "'regression' has no losses in training"),
        (
            {"losses": lambda outputs, batch: {"loss": outputs}},
            r"'loss' must give a number for each.*\[16\], got \[16, 3\]",
        ),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(batch, entries, message):
    entries = {
        "apply": lambda model, variables, batch, **options: (batch["label"] * batch["image"].mean(), {})
    } | entries
    with pytest.raises(fcnn.InputError, match=message) as refused:
        fcnn.make_train_step(MODEL, TX, task=regression(**entries))(begin(), batch)
    assert "\n" not in str(refused.value)


def test_a_task_may_measure_what_the_step_does_too(batch):
    task = regression(measure=lambda outputs, batch: {"loss": jnp.float32(-1), "count": batch["mask"].sum()})
    step = fcnn.make_train_step(MODEL, TX, task=task)
    _, metrics = step(begin(), batch)
    _, expected = fcnn.make_train_step(MODEL, TX, task=regression())(begin(), batch)
    assert (metrics["loss"], metrics["count"]) == (expected["loss"], expected["count"])


def test_a_best_metric_that_is_not_measured_is_refused(batch, tmp_path):
    step = fcnn.make_train_step(MODEL, TX, task=regression(best="-angle_eror"))
    with pytest.raises(fcnn.InputError, match="'regression' chooses the best checkpoint by 'angle_eror', .*: loss"):
        fcnn.fit(begin(), step, fcnn.Loader(batch, 8), epochs=1, validation=batch, run_folder=tmp_path)


def test_a_score_that_is_nan_is_never_the_best(batch, tmp_path):
    scores = iter([np.nan, 0.5, np.nan, 0.25])

    def metrics(totals):
        # Asked once for every call of training too.
        return {"score": next(scores) if totals["count"] == 15 else 0.0}

    task = regression(metrics=metrics, best="score")
    step = fcnn.make_train_step(MODEL, TX, task=task)
    validation = {name: array[:15] for name, array in batch.items()}
    fcnn.fit(begin(), step, fcnn.Loader(batch, 8), epochs=4, validation=validation, run_folder=tmp_path)
    assert fcnn.load_checkpoint(tmp_path, begin()).step == 4


def test_a_task_checks_values_before_anything_is_computed(batch):
    """It is given what is stored, on the host, with a mask; its "example" is that of the set."""
    seen = []

    def check(batch):
        seen.append(type(batch["label"]))
        wrong = (batch["label"] > 1).any(axis=-1) & (batch["mask"] != 0)
        if wrong.any():
            raise fcnn.InputError(f"example {np.argmax(wrong)} is too far away")

    bad = {name: array.copy() for name, array in batch.items()}
    bad["label"][5] = 2
    for name, call in calls(regression(check=check), bad):
        with pytest.raises(fcnn.InputError, match="example [0-7] is too far away") as refused:
            call()
        assert "example 5" in str(refused.value) or name == "fit, streaming"
    masked = bad | {"mask": (np.arange(16) != 5).astype(np.float32)}
    for _, call in calls(regression(check=check), masked):
        call()
    assert set(seen) == {np.ndarray}


def test_a_batch_of_unequal_arrays_is_refused_by_the_step_not_by_the_check(batch):
    probabilities = np.full((15, 3), 1 / 3, np.float32)
    step = fcnn.make_train_step(MODEL, TX)
    for call in (step, step.evaluation):
        with pytest.raises(
            fcnn.InputError, match=r"same number of examples, got image \[16, 4, 4, 1\], label \[15, 3\]"
        ):
            call(begin(), {"image": batch["image"], "label": probabilities})
