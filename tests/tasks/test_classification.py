"""Classification: targets as class numbers and as probabilities, and those that are neither."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from states import new_state

import fcnn
from fcnn.training.state import AUGMENTATION

MODEL = fcnn.create_model("mlp", hidden=(16,), activation="relu")
TX = fcnn.make_optimizer("sgd", 0.1)
STEP = fcnn.make_train_step(MODEL, TX)
EVALUATE_BATCH = fcnn.make_eval_step(MODEL)
ONE_HOT = np.eye(10, dtype=np.float32)


def assert_close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_probabilities_are_as_good_as_class_numbers(batch, smoothing, dtype):
    step = fcnn.make_train_step(MODEL, TX, task=fcnn.tasks.classification(label_smoothing=smoothing))
    by_number, metrics = step(new_state(MODEL, TX), batch)
    targets = ONE_HOT.astype(dtype)[batch["label"]]
    by_probability, same = step(new_state(MODEL, TX), batch | {"label": targets})
    assert_close(by_probability.params, by_number.params)
    assert_close(same, metrics)


def test_probabilities_in_evaluation_are_not_smoothed(batch):
    task = fcnn.tasks.classification(label_smoothing=0.3)
    state = new_state(MODEL, TX)
    smoothed, plain = fcnn.make_eval_step(MODEL, task=task), EVALUATE_BATCH
    for label in (batch["label"], ONE_HOT[batch["label"]]):
        assert smoothed(state, batch | {"label": label})["loss"] == plain(state, batch)["loss"]


def test_the_loss_of_probabilities_is_the_cross_entropy(batch, random):
    targets = random.dirichlet(np.ones(10), 32).astype(np.float32)
    state = new_state(MODEL, TX)
    logits = np.asarray(fcnn.make_predict_step(MODEL)(state, batch), np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = fcnn.evaluate(state, EVALUATE_BATCH, (batch["image"], targets), batch_size=7)
    assert found["loss"] == pytest.approx(-(targets * log_probabilities).sum(-1).mean(), rel=1e-5)
    assert found["top1"] == np.mean(logits.argmax(-1) == targets.argmax(-1))
    five_best = np.argsort(-logits, axis=-1)[:, :5]
    assert found["top5"] == np.mean((five_best == targets.argmax(-1)[:, None]).any(-1))


def wrong_targets(batch, fault):
    targets = ONE_HOT[batch["label"]].copy()
    targets[5] = {"sum": np.full(10, 0.2), "negative": ONE_HOT[0] * 2 - ONE_HOT[1], "nan": np.full(10, np.nan)}[fault]
    return targets


@pytest.mark.parametrize("fault", ["sum", "negative", "nan"])
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_targets_that_are_no_probabilities_are_refused_by_the_steps(batch, fault, kind):
    wrong = batch | {"label": kind(wrong_targets(batch, fault))}
    for call in (STEP, EVALUATE_BATCH):
        with pytest.raises(fcnn.InputError, match=r"sum to 1 for each example, those of example 5 are \[") as refused:
            call(new_state(MODEL, TX), wrong)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("devices", [None, 8])
def test_targets_that_are_no_probabilities_are_refused_by_evaluation(batch, devices):
    mesh = None if devices is None else fcnn.make_mesh(jax.devices()[:devices])
    state = new_state(MODEL, TX)
    evaluate_batch = fcnn.make_eval_step(MODEL, mesh=mesh)
    with pytest.raises(fcnn.InputError, match="example 5 are .* with the sum 2.000: normalise them"):
        fcnn.evaluate(
            state if mesh is None else fcnn.parallel.replicate(mesh, state), evaluate_batch,
            (batch["image"], wrong_targets(batch, "sum")), batch_size=8,
        )  # fmt: skip


@pytest.mark.parametrize("resident_bytes", [0, 2**30])
@pytest.mark.parametrize("where", ["training", "validation"])
def test_targets_that_are_no_probabilities_are_refused_by_fit(batch, where, resident_bytes, tmp_path):
    right, wrong = ((batch["image"], labels) for labels in (batch["label"], wrong_targets(batch, "sum")))
    with pytest.raises(fcnn.InputError, match=r"sum to 1 for each example.*with the sum 2\.000") as refused:
        fcnn.fit(
            new_state(MODEL, TX), STEP, fcnn.Loader(wrong if where == "training" else right, 16), epochs=1,
            validation=wrong if where == "validation" else right, resident_bytes=resident_bytes, run_folder=tmp_path,
        )  # fmt: skip
    # In a batch that streams, it is the example of the batch.
    assert "example 5 " in str(refused.value) or (where == "training" and not resident_bytes)
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_masked_targets_may_be_anything(batch):
    mask = (np.arange(32) != 5).astype(np.float32)
    for fault in ("sum", "nan"):
        state, metrics = STEP(new_state(MODEL, TX), batch | {"label": wrong_targets(batch, fault), "mask": mask})
        without, expected = STEP(new_state(MODEL, TX), {name: np.delete(x, 5, axis=0) for name, x in batch.items()})
        assert_close(state.params, without.params)
        assert_close(metrics, expected)


@pytest.mark.parametrize("mixture", [fcnn.augment.mixup, fcnn.augment.cutmix])
def test_mixtures_train_on_mixed_targets(batch, mixture):
    augment = mixture(1.0, 10)
    step = fcnn.make_train_step(MODEL, TX, augment=augment)
    state = new_state(MODEL, TX)
    key = jax.random.fold_in(jax.random.fold_in(state.key, AUGMENTATION), state.step)
    mixed = augment(key, {"image": jnp.asarray(batch["image"]) / 255, "label": jnp.asarray(batch["label"])})
    targets = np.asarray(mixed["label"], np.float64)
    assert 0.01 < np.sort(targets, axis=-1)[:, -2].max() < 0.5
    logits = np.asarray(MODEL.apply(state.variables, mixed["image"], train=False), np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    _, metrics = step(state, batch)
    assert metrics["loss"] == pytest.approx(-(targets * log_probabilities).sum(), rel=1e-5)
    # What training counts as right is the class that has the larger share of the picture.
    assert metrics["top1"] == (logits.argmax(-1) == targets.argmax(-1)).sum()


def test_an_augmentation_may_make_the_labels(batch):
    """Which way up an image is, as in Gidaris et al. 2018: there is no label before the augmentation."""

    def quarter_turns(key, batch):
        turns = jax.random.randint(key, (len(batch["image"]),), 0, 4)
        turned = jnp.stack([jnp.rot90(batch["image"], number, axes=(1, 2)) for number in range(4)])
        return {"image": turned[turns, jnp.arange(len(turns))], "label": turns}

    step = fcnn.make_train_step(MODEL, TX, augment=quarter_turns)
    _, metrics = step(new_state(MODEL, TX), {"image": batch["image"]})
    assert metrics["count"] == 32
    assert 32 < metrics["loss"] < 32 * 5
    mask = np.repeat(np.float32([1, 0]), 16)
    _, metrics = step(new_state(MODEL, TX), {"image": batch["image"], "mask": mask})
    assert metrics["count"] == 16


def test_a_batch_without_labels_is_refused(batch):
    for call in (STEP, EVALUATE_BATCH):
        with pytest.raises(fcnn.InputError, match="the batch has no 'label', which is asked for: it has image, mask"):
            call(new_state(MODEL, TX), {"image": batch["image"]})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(10, dtype=np.int32), r"or probabilities \[batch, 10\], got int32 \[10, 10\]"),
        (np.full((10, 9), 1 / 9, np.float32), r"or probabilities \[batch, 10\], got float32 \[10, 9\]"),
    ],
)
def test_labels_that_are_neither_are_refused(batch, labels, message):
    with pytest.raises(fcnn.InputError, match=message):
        STEP(new_state(MODEL, TX), {"image": batch["image"][:10], "label": labels})
