"""The train step: its numbers, its randomness, its promises about tracing and donation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from states import new_state

import fcnn
from fcnn.training.compiling import compile_ahead

LENET_INPUT = (1, 32, 32, 1)


def small_model(**options):
    return fcnn.create_model("mlp", hidden=(16,), activation="relu", **options)


def assert_trees_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_trees_close(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


@pytest.fixture
def sgd():
    return fcnn.make_optimizer("sgd", 0.1)


def test_update_is_gradient_descent_on_the_mean_loss(batch):
    model, tx = small_model(), optax.sgd(0.1)
    state = new_state(model, tx)
    params = jax.device_get(state.params)

    def mean_loss(params):
        logits = model.apply({"params": params}, jnp.asarray(batch["image"]) / 255, train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()

    loss, gradient = jax.jit(jax.value_and_grad(mean_loss))(params)
    after, metrics = fcnn.make_train_step(model, tx)(state, batch)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
    assert_trees_close(after.params, expected, rtol=1e-4, atol=1e-6)
    assert metrics["loss"] / metrics["count"] == pytest.approx(float(loss), rel=1e-5)
    assert metrics["count"] == 32
    assert after.step == 1


def test_top1_counts_correct_examples_before_the_update(batch, sgd):
    model = small_model()
    state = new_state(model, sgd)
    logits = model.apply(state.variables, jnp.asarray(batch["image"]) / 255, train=False)
    expected = int((logits.argmax(-1) == batch["label"]).sum())
    _, metrics = fcnn.make_train_step(model, sgd)(state, batch)
    assert metrics["top1"] == expected


def test_uint8_and_unit_floats_are_the_same(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd)
    one, _ = step(new_state(model, sgd), batch)
    other, _ = step(new_state(model, sgd), batch | {"image": batch["image"].astype(np.float32) / 255})
    assert_trees_close(one.params, other.params, rtol=1e-6, atol=1e-7)


def test_other_pixel_types_are_refused(batch, sgd):
    model = small_model()
    with pytest.raises(fcnn.InputError, match="uint8.*int32"):
        fcnn.make_train_step(model, sgd)(new_state(model, sgd), batch | {"image": batch["image"].astype(np.int32)})


def test_masked_examples_change_nothing(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd)
    half = {name: x[:16] for name, x in batch.items()}
    mask = np.repeat(np.float32([1, 0]), 16)
    masked_state, masked = step(new_state(model, sgd), batch | {"mask": mask})
    state, metrics = step(new_state(model, sgd), half)
    assert_trees_close(masked_state.params, state.params, rtol=1e-5, atol=1e-7)
    assert masked["count"] == 16
    np.testing.assert_allclose(masked["loss"], metrics["loss"], rtol=1e-5)


def test_label_smoothing_spreads_over_all_classes(batch, sgd):
    model = small_model()
    state = new_state(model, sgd)
    log_probabilities = jax.nn.log_softmax(model.apply(state.variables, jnp.asarray(batch["image"]) / 255, train=False))
    right = -log_probabilities[jnp.arange(32), batch["label"]]
    expected = float((0.8 * right - 0.2 * log_probabilities.mean(-1)).sum())
    _, metrics = fcnn.make_train_step(model, sgd, label_smoothing=0.2)(state, batch)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_another_loss_can_be_given(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd, loss=lambda logits, targets: jnp.abs(logits - targets).sum(-1))
    state = new_state(model, sgd)
    logits = model.apply(state.variables, jnp.asarray(batch["image"]) / 255, train=False)
    expected = float(jnp.abs(logits - jax.nn.one_hot(batch["label"], 10)).sum())
    assert step(state, batch)[1]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_pull_on_kernels_only(penalty, batch):
    model, tx = small_model(), optax.sgd(1.0)
    state = new_state(model, tx)
    before = jax.device_get(state.params)
    plain, _ = fcnn.make_train_step(model, tx)(new_state(model, tx), batch)
    penalised, _ = fcnn.make_train_step(model, tx, **{penalty: 0.01})(state, batch)
    pull = {"l1": np.sign, "l2": lambda kernel: kernel}[penalty]
    for layer in ("hidden1", "output"):
        expected = plain.params[layer]["kernel"] - 0.01 * pull(before[layer]["kernel"])
        np.testing.assert_allclose(penalised.params[layer]["kernel"], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(penalised.params[layer]["bias"], plain.params[layer]["bias"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_equals_the_whole_batch(parts, batch, sgd):
    model = small_model()
    mask = (np.arange(32) % 5 > 0).astype(np.float32)
    whole, metrics = fcnn.make_train_step(model, sgd, l2=0.01)(new_state(model, sgd), batch | {"mask": mask})
    step = fcnn.make_train_step(model, sgd, l2=0.01, accumulate=parts)
    accumulated, accumulated_metrics = step(new_state(model, sgd), batch | {"mask": mask})
    assert_trees_close(accumulated.params, whole.params, rtol=1e-4, atol=1e-6)
    assert_trees_close(accumulated_metrics, metrics, rtol=1e-5)


def test_accumulation_refuses_unequal_parts(batch, sgd):
    model = small_model()
    with pytest.raises(fcnn.InputError, match="batch of 32.*3 equal parts"):
        fcnn.make_train_step(model, sgd, accumulate=3)(new_state(model, sgd), batch)


def test_moving_average_is_right_from_the_first_step_on(batch, sgd):
    model, decay = small_model(), 0.9
    step = fcnn.make_train_step(model, sgd, ema_decay=decay)
    state = new_state(model, sgd, ema=True)
    seen = []
    for _ in range(4):
        state, _ = step(state, batch)
        seen.append(jax.device_get(state.params["output"]["kernel"]))
    weights = decay ** np.arange(3, -1, -1)
    expected = np.tensordot(weights / weights.sum(), np.stack(seen), 1)
    np.testing.assert_allclose(state.ema["params"]["output"]["kernel"], expected, rtol=1e-4, atol=1e-6)


def test_moving_average_covers_the_statistics_and_is_evaluated(batch, sgd):
    model = fcnn.create_model("lenet", batch_norm=True)
    step = fcnn.make_train_step(model, sgd, ema_decay=0.5)
    state = new_state(model, sgd, ema=True, input_shape=LENET_INPUT)
    for _ in range(2):
        state, _ = step(state, batch)
    average, last = state.ema["batch_stats"]["c1_norm"]["mean"], state.batch_stats["c1_norm"]["mean"]
    assert np.abs(average - last).max() > 1e-4
    evaluate_batch = fcnn.make_eval_step(model)
    of_average = evaluate_batch(state, batch)["loss"]
    by_hand = evaluate_batch(
        state._replace(ema=None, params=state.ema["params"], batch_stats=state.ema["batch_stats"]), batch
    )["loss"]
    assert of_average == pytest.approx(float(by_hand), rel=1e-6)
    assert abs(of_average - evaluate_batch(state._replace(ema=None), batch)["loss"]) > 1e-4


def test_average_and_state_go_together(batch, sgd):
    model = small_model()
    with pytest.raises(fcnn.InputError, match="ema"):
        fcnn.make_train_step(model, sgd, ema_decay=0.9)(new_state(model, sgd), batch)
    with pytest.raises(fcnn.InputError, match="ema"):
        fcnn.make_train_step(model, sgd)(new_state(model, sgd, ema=True), batch)


def test_dropout_differs_by_step_and_not_by_run(batch):
    model, tx = small_model(dropout_rate=0.5), optax.sgd(0.0)
    step = fcnn.make_train_step(model, tx)

    def losses():
        state = new_state(model, tx)
        for _ in range(3):
            state, metrics = step(state, batch)
            yield float(metrics["loss"])

    first = list(losses())
    assert len(set(first)) == 3
    assert first == list(losses())


def test_dropout_is_off_in_evaluation(batch, sgd):
    model = small_model(dropout_rate=0.5)
    state = new_state(model, sgd)
    logits = fcnn.make_predict_step(model)(state, batch)
    without = fcnn.make_predict_step(small_model())(state, batch)
    np.testing.assert_array_equal(logits, without)


def test_augmentation_differs_by_step_and_is_off_in_evaluation(batch):
    model, tx = small_model(), optax.sgd(0.0)
    step = fcnn.make_train_step(model, tx, augment=fcnn.augment.random_affine(rotation=30.0))
    state, first = step(new_state(model, tx), batch)
    state, second = step(state, batch)
    assert first["loss"] != second["loss"]
    plain = fcnn.make_train_step(model, tx)(new_state(model, tx), batch)[1]
    assert plain["loss"] != first["loss"]
    assert plain["loss"] == pytest.approx(float(fcnn.make_eval_step(model)(state, batch)["loss"]), rel=1e-6)


def test_statistics_move_in_training_only(batch, sgd):
    model = fcnn.create_model("lenet", batch_norm=True)
    state = new_state(model, sgd, input_shape=LENET_INPUT)
    before = jax.device_get(state.batch_stats)
    fcnn.make_eval_step(model)(state, batch)
    assert_trees_equal(state.batch_stats, before)
    images = np.pad(batch["image"], ((0, 0), (2, 2), (2, 2), (0, 0))) / np.float32(255)
    c1 = jax.jit(lambda variables, images: fcnn.capture(model, variables, images, ("c1",))["c1"])(
        state.variables, images
    )
    after, _ = fcnn.make_train_step(model, sgd)(state, batch)
    np.testing.assert_allclose(after.batch_stats["c1_norm"]["mean"], 0.1 * c1.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.batch_stats["c1_norm"]["var"], 0.9 + 0.1 * c1.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "dropout_rate": 0.2}, {"pooling": "average"}])
def test_every_parameter_receives_a_gradient(options, batch):
    model, tx = fcnn.create_model("lenet", **options), optax.sgd(1.0)
    state = new_state(model, tx, input_shape=LENET_INPUT)
    before = jax.device_get(state.params)
    after, _ = fcnn.make_train_step(model, tx)(state, batch)
    moved = jax.tree.map(lambda old, new: float(np.abs(old - new).max()), before, after.params)
    # A bias before batch normalisation is taken off again by it.
    idle = {("c1", "bias"), ("c3", "bias"), ("c5", "bias")} if options.get("batch_norm") else set()
    for path, change in jax.tree.leaves_with_path(moved):
        assert change > 1e-8 or tuple(key.key for key in path) in idle, f"{path} did not move"


def test_no_second_trace_on_a_second_batch(batch, sgd):
    model = small_model()
    traces = []

    def prepare(images):
        traces.append(images.shape)
        return images

    step, evaluate_batch = (
        fcnn.make_train_step(model, sgd, prepare=prepare),
        fcnn.make_eval_step(model, prepare=prepare),
    )
    state = new_state(model, sgd)
    for _ in range(3):
        state, _ = step(state, batch)
    assert len(traces) == 1
    for _ in range(3):
        evaluate_batch(state, batch | {"mask": np.ones(32, np.float32)})
    assert len(traces) == 3  # for the network, and for the task, which may read the images too
    # A prediction takes what evaluation has compiled.
    fcnn.predict(state, evaluate_batch.predict, (batch["image"], batch["label"]), batch_size=32)
    assert len(traces) == 3


def test_donated_equals_undonated(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd)
    undonated = jax.jit(step.__wrapped__)
    state, kept = new_state(model, sgd), new_state(model, sgd)
    for _ in range(3):
        donated_leaf = state.params["output"]["kernel"]
        state, metrics = step(state, batch)
        assert donated_leaf.is_deleted()
        kept_before = kept
        kept, kept_metrics = undonated(kept, batch)
        assert not kept_before.params["output"]["kernel"].is_deleted()
    assert_trees_equal(state.params, kept.params)
    assert_trees_equal(metrics, kept_metrics)


@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_scan_equals_the_loop(network, digits, sgd):
    model = fcnn.create_model(network)
    step = fcnn.make_train_step(model, sgd, augment=fcnn.augment.random_affine(rotation=10.0), ema_decay=0.9)
    shape = {"mlp": (1, 28, 28, 1), "lenet": LENET_INPUT}[network]
    indices = fcnn.Loader(digits, 32, seed=3).indices(0)[:5]
    looped, losses = new_state(model, sgd, ema=True, input_shape=shape), []
    for rows in indices:
        looped, metrics = step(looped, {"image": digits.images[rows], "label": digits.labels[rows]})
        losses.append(float(metrics["loss"]))
    examples = {"image": jnp.asarray(digits.images), "label": jnp.asarray(digits.labels)}
    scanned, metrics = fcnn.scan_steps(step)(new_state(model, sgd, ema=True, input_shape=shape), examples, indices)
    assert scanned.step == 5
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-5)
    assert_trees_close(scanned.ema, looped.ema, rtol=1e-4, atol=1e-6)


def test_a_single_step_is_compiled_without_a_loop(digits):
    # There XLA on CPU computes convolutions many times slower.
    model, tx = fcnn.create_model("lenet", pooling="average"), optax.sgd(0.1)
    state = new_state(model, tx, input_shape=LENET_INPUT)
    steps = fcnn.scan_steps(fcnn.make_train_step(model, tx))
    examples = {"image": digits.images, "label": digits.labels}
    lowered = {count: steps.lower(state, examples, np.zeros((count, 8), np.int32)).as_text() for count in (1, 2)}
    assert lowered[2].count("stablehlo.while") == 1
    assert lowered[1].count("stablehlo.while") == 0


def test_auxiliary_logits_enter_the_loss_with_their_weights(batch, sgd):
    from typing import NamedTuple

    class Outputs(NamedTuple):
        logits: jax.Array
        auxiliary: tuple
        weights: tuple

    class WithAuxiliary:
        def __init__(self, model):
            self.model = model

        def apply(self, variables, images, *, train, **options):
            logits, updates = self.model.apply(variables, images, train=train, **options)
            return Outputs(logits, (2 * logits, -logits), (0.3, 0.5)), updates

    model = small_model()
    state = new_state(model, sgd)
    logits = model.apply(state.variables, jnp.asarray(batch["image"]) / 255, train=False)
    losses = [
        optax.softmax_cross_entropy_with_integer_labels(each, batch["label"]).sum()
        for each in (logits, 2 * logits, -logits)
    ]
    _, metrics = fcnn.make_train_step(WithAuxiliary(model), sgd)(state, batch)
    expected = float(losses[0] + 0.3 * losses[1] + 0.5 * losses[2])
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"label_smoothing": -0.1}, {"label_smoothing": 1.0}, {"l1": -1.0}, {"l2": -1.0}, {"ema_decay": 1.0},
                {"accumulate": 0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options, sgd):
    with pytest.raises(fcnn.InputError, match=next(iter(options)).replace("_", " ")):
        fcnn.make_train_step(small_model(), sgd, **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_labels_of_any_integer_type(batch, sgd, dtype):
    model = small_model(num_classes=300)
    step = fcnn.make_train_step(model, sgd)
    one, metrics = step(new_state(model, sgd), batch)
    other, same = step(new_state(model, sgd), batch | {"label": batch["label"].astype(dtype)})
    assert metrics["loss"] == same["loss"]
    assert_trees_equal(one.params, other.params)


@pytest.mark.parametrize("label", [-1, 10, 99])
def test_a_label_that_is_no_class_is_no_small_loss(batch, sgd, label):
    model = small_model()
    wrong = batch | {"label": np.append(batch["label"][1:], label)}
    assert np.isnan(fcnn.make_train_step(model, sgd)(new_state(model, sgd), wrong)[1]["loss"])
    split = (wrong["image"], wrong["label"])
    assert np.isnan(fcnn.evaluate(new_state(model, sgd), fcnn.make_eval_step(model), split, batch_size=7)["loss"])


def test_a_masked_example_may_hold_anything(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd)
    images = batch["image"].astype(np.float32) / 255
    alone, metrics = step(new_state(model, sgd), {"image": images, "label": batch["label"]})
    padded = {
        "image": np.concatenate([images, np.full_like(images, np.nan)]),
        "label": np.concatenate([batch["label"], np.full(32, -1)]),
        "mask": np.repeat(np.uint8([255, 0]), 32),
    }
    masked, masked_metrics = step(new_state(model, sgd), padded)
    assert_trees_close(masked.params, alone.params, rtol=1e-5, atol=1e-7)
    assert masked_metrics["count"] == 32
    assert masked_metrics["loss"] == pytest.approx(float(metrics["loss"]), rel=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": np.zeros((32, 1), np.int32)}, r"labels must be integers \[batch\].*, got int32 \[32, 1\]"),
        ({"label": np.zeros(32, np.float32)}, r"labels must be integers \[batch\].*, got float32 \[32\]"),
        ({"label": np.zeros(31, np.int32)}, r"the same number of examples, got image \[32, 28, 28, 1\], label \[31\]"),
    ],
)
def test_a_batch_that_is_none(batch, sgd, changed, message):
    model = small_model()
    with pytest.raises(fcnn.InputError, match=message):
        fcnn.make_train_step(model, sgd)(new_state(model, sgd), batch | changed)


def test_a_loss_of_no_single_example_is_refused(batch, sgd):
    model = small_model()
    step = fcnn.make_train_step(model, sgd, loss=lambda logits, targets: (logits - targets) ** 2)
    with pytest.raises(fcnn.InputError, match=r"a number for each example, shape \[32\], got \[32, 10\]"):
        step(new_state(model, sgd), batch)


def test_compiled_ahead_a_call_compiles_nothing(caplog):
    function, x = jax.jit(lambda x: jnp.sin(x) * 3.25), jnp.ones(7)

    def compilations():
        return sum("Finished XLA compilation" in record.message for record in caplog.records)

    with jax.log_compiles():
        compile_ahead(function, x)
        assert compilations() == 1
        function(x)
        assert compilations() == 1


def test_what_is_not_jitted_is_not_compiled_ahead():
    compile_ahead(lambda x: x, 1)
