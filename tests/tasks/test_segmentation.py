"""Segmentation: the loss of the labelled pixels, and the metrics of one confusion matrix, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tasks.pixels import Pixels, begin, labelled, mean_loss, pixel_losses

import fcnn
from fcnn.tasks.segmentation import class_ious, confusion_matrix, confusion_metrics

METRICS = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
MODEL = Pixels()
TX = fcnn.make_optimizer("sgd", 0.5)
TASK = fcnn.tasks.segmentation(4)
STEP = fcnn.make_train_step(MODEL, TX, task=TASK)
LOGITS = jax.jit(lambda variables, images: MODEL.apply(variables, images, train=False))


@pytest.fixture
def batch(random):
    return labelled(random)


def state_of(tx=TX):
    return begin(MODEL, tx)


def logits_of(state, batch):
    return np.asarray(LOGITS(state.variables, batch["image"]), np.float64)


def assert_close(one, other, **tolerance):
    tolerance = {"rtol": 1e-5, "atol": 1e-7} | tolerance
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


def counted(labels, predictions, num_classes, ignore=255):
    """The confusion matrix, pixel by pixel."""
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for label, prediction in zip(labels.reshape(-1).tolist(), predictions.reshape(-1).tolist(), strict=True):
        if label != ignore:
            matrix[label][prediction] += 1
    return matrix


def four_metrics(n):
    """Section 5 of the paper, class by class; a class that is neither labelled nor predicted has no IoU."""
    classes = range(len(n))
    t = [sum(n[i]) for i in classes]
    union = [t[i] + sum(n[j][i] for j in classes) - n[i][i] for i in classes]
    ious = [n[i][i] / union[i] for i in classes if union[i]]
    accuracies = [n[i][i] / t[i] for i in classes if t[i]]
    return {
        "pixel_accuracy": sum(n[i][i] for i in classes) / sum(t),
        "mean_accuracy": sum(accuracies) / len(accuracies),
        "mean_iou": sum(ious) / len(ious),
        "frequency_weighted_iou": sum(t[i] * n[i][i] / union[i] for i in classes if union[i]) / sum(t),
    }


@pytest.mark.parametrize("labelled_classes", [(0, 1, 2, 3, 4, 5), (0, 2, 5), (3,)])
def test_the_metrics_of_the_paper(random, labelled_classes):
    labels = random.choice([*labelled_classes, 255], (5, 7, 9)).astype(np.uint8)
    predictions = random.integers(0, 4, (5, 7, 9))
    matrix = confusion_matrix(jnp.asarray(labels, jnp.int32), jnp.asarray(predictions), 6)
    assert matrix.tolist() == counted(labels, predictions, 6)
    assert jnp.issubdtype(matrix.dtype, jnp.integer)
    assert confusion_metrics(matrix) == pytest.approx(four_metrics(matrix.tolist()), rel=1e-12)


def test_classes_that_do_not_occur():
    # Class 1 is predicted only, class 3 is neither labelled nor predicted.
    matrix = np.array([[6, 2, 0, 0], [0, 0, 0, 0], [1, 0, 3, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(class_ious(matrix), [6 / 9, 0, 3 / 4, np.nan])
    assert confusion_metrics(matrix) == pytest.approx({
        "pixel_accuracy": 9 / 12, "mean_accuracy": (6 / 8 + 3 / 4) / 2, "mean_iou": (6 / 9 + 0 + 3 / 4) / 3,
        "frequency_weighted_iou": (8 * 6 / 9 + 4 * 3 / 4) / 12,
    })  # fmt: skip


def test_nothing_labelled_at_all():
    found = confusion_metrics(np.zeros((3, 3), np.int64))
    assert list(found) == list(METRICS)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("devices", [None, 8])
@pytest.mark.parametrize("batch_size", [1, 3, 16, 50])
def test_evaluates_exactly(random, batch_size, devices):
    mesh = None if devices is None else fcnn.make_mesh(jax.devices()[:devices])
    examples = labelled(random, count=21)
    state = state_of()
    expected = mean_loss(logits_of(state, examples), examples["label"])
    matrix = counted(examples["label"], logits_of(state, examples).argmax(-1), 4)
    evaluate_batch = fcnn.make_eval_step(MODEL, task=TASK, mesh=mesh)
    state = state if mesh is None else fcnn.parallel.replicate(mesh, state)
    found = fcnn.evaluate(state, evaluate_batch, examples, batch_size=batch_size)
    assert found == pytest.approx({"loss": expected, **four_metrics(matrix)}, rel=1e-5)


def numerical_step(batch, weights=None):
    """The update by the mean over all labelled pixels, from the gradient of plain jax.numpy."""
    state, label = state_of(), jnp.asarray(batch["label"], jnp.int32)

    def loss(params):
        log_probabilities = jax.nn.log_softmax(MODEL.apply({"params": params}, batch["image"], train=False))
        chosen = jnp.take_along_axis(log_probabilities, jnp.where(label == 255, 0, label)[..., None], -1)[..., 0]
        return -jnp.sum(jnp.where(label == 255, 0, chosen)) / jnp.sum(label != 255)

    gradient = jax.jit(jax.grad(loss))(state.params)
    return jax.tree.map(lambda parameter, slope: parameter - 0.5 * slope, state.params, gradient)


@pytest.mark.parametrize(("accumulate", "devices"), [(1, None), (2, None), (4, None), (1, 8), (2, 4)])
def test_the_mean_is_over_all_labelled_pixels_of_the_batch(batch, accumulate, devices):
    mesh = None if devices is None else fcnn.make_mesh(jax.devices()[:devices])
    step = fcnn.make_train_step(MODEL, TX, task=TASK, accumulate=accumulate, mesh=mesh)
    state, placed = state_of(), batch
    if mesh is not None:
        state, placed = fcnn.parallel.replicate(mesh, state), fcnn.parallel.shard_batch(mesh, batch)
    expected = mean_loss(logits_of(state_of(), batch), batch["label"])
    matrix = counted(batch["label"], logits_of(state_of(), batch).argmax(-1), 4)
    state, metrics = step(state, placed)
    assert metrics["loss"] / metrics["size"] == pytest.approx(expected, rel=1e-5)
    assert metrics["size"] == (batch["label"] != 255).sum()
    assert metrics["count"] == 8
    assert metrics["confusion"].tolist() == matrix
    assert_close(state.params, numerical_step(batch))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_masked_examples_add_nothing_whatever_they_hold(batch, accumulate):
    order = np.array([0, 8, 1, 9, 2, 3, 10, 4, 5, 11, 6, 7])
    garbage = {"image": np.full((4, 6, 5, 3), np.nan, np.float32), "label": np.full((4, 6, 5), 77, np.uint8)}
    padded = {name: np.concatenate([batch[name], garbage[name]])[order] for name in batch}
    padded["mask"] = (order < 8).astype(np.float32)
    step = fcnn.make_train_step(MODEL, TX, task=TASK, accumulate=accumulate)
    state, metrics = step(state_of(), padded)
    assert_close(state.params, numerical_step(batch))
    assert metrics["size"] == (batch["label"] != 255).sum()
    assert metrics["confusion"].tolist() == counted(batch["label"], logits_of(state_of(), batch).argmax(-1), 4)
    evaluated = fcnn.evaluate(state_of(), STEP.evaluation, padded, batch_size=5)
    assert evaluated == pytest.approx(fcnn.evaluate(state_of(), STEP.evaluation, batch, batch_size=8), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "sum"}])
def test_a_batch_that_is_only_ignored(batch, options):
    task = fcnn.tasks.segmentation(4, **options)
    nothing = batch | {"label": np.full_like(batch["label"], 255)}
    state, metrics = fcnn.make_train_step(MODEL, TX, task=task)(state_of(), nothing)
    assert metrics["loss"] == 0
    assert metrics["confusion"].sum() == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, state_of().params)
    found = fcnn.evaluate(state_of(), fcnn.make_eval_step(MODEL, task=task), nothing, batch_size=3)
    assert found.pop("loss") == 0
    assert np.isnan([found[name] for name in METRICS]).all()


def test_the_sum_over_pixels_is_averaged_over_images(batch):
    task = fcnn.tasks.segmentation(4, reduction="sum")
    losses = pixel_losses(logits_of(state_of(), batch), batch["label"])
    # The paper's rates go with gradients that are sums over tens of thousands of pixels.
    tx = fcnn.make_optimizer("sgd", 0.5 / ((batch["label"] != 255).sum() / 8))
    state, metrics = fcnn.make_train_step(MODEL, tx, task=task)(state_of(), batch)
    assert metrics["loss"] / metrics["count"] == pytest.approx(losses.sum() / 8, rel=1e-5)
    assert_close(state.params, numerical_step(batch))
    found = fcnn.evaluate(state_of(), fcnn.make_eval_step(MODEL, task=task), batch, batch_size=3)
    assert found["loss"] == pytest.approx(losses.sum(axis=(1, 2)).mean(), rel=1e-5)


def test_smoothing_is_in_training_only(batch):
    task = fcnn.tasks.segmentation(4, label_smoothing=0.2)
    step = fcnn.make_train_step(MODEL, TX, task=task)
    logits, labels = logits_of(state_of(), batch), batch["label"]
    uniform = np.mean([pixel_losses(logits, np.where(labels == 255, 255, number)) for number in range(4)], axis=0)
    expected = (0.8 * pixel_losses(logits, labels) + 0.2 * uniform).sum()
    assert step(state_of(), batch)[1]["loss"] == pytest.approx(expected, rel=1e-5)
    evaluated = step.evaluation(state_of(), batch)["loss"]
    assert evaluated == pytest.approx(pixel_losses(logits, labels).sum(), rel=1e-5)


@pytest.mark.parametrize("ignore", [-1, 7])
def test_another_label_is_ignored(batch, ignore):
    labels = np.where(batch["label"] == 255, ignore, batch["label"].astype(np.int32))
    task = fcnn.tasks.segmentation(4, ignore=ignore)
    state, metrics = fcnn.make_train_step(MODEL, TX, task=task)(state_of(), batch | {"label": labels})
    assert_close(state.params, numerical_step(batch))
    assert metrics["size"] == (batch["label"] != 255).sum()


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("label", [4, 254])
def test_a_label_that_is_no_class_is_refused_by_the_steps(batch, label, kind):
    batch["label"][3, 2, 1] = label
    wrong = batch | {"label": kind(batch["label"])}
    message = f"from 0 to 3, or 255 .*: example 3 has {label} at row 2, column 1; give the num_classes or ignore"
    for call in (STEP, STEP.evaluation):
        with pytest.raises(fcnn.InputError, match=message) as refused:
            call(state_of(), wrong)
        assert "\n" not in str(refused.value)


def test_a_label_that_is_no_class_is_refused_by_evaluation_and_fit(batch, tmp_path):
    wrong = {"image": batch["image"], "label": batch["label"].copy()}
    wrong["label"][3, 2, 1] = 9
    mesh = fcnn.make_mesh()
    for evaluate_batch in (STEP.evaluation, fcnn.make_eval_step(MODEL, task=TASK, mesh=mesh)):
        with pytest.raises(fcnn.InputError, match="example 3 has 9 at row 2, column 1"):
            fcnn.evaluate(state_of(), evaluate_batch, wrong, batch_size=8)
    for train, validation, resident_bytes in ((wrong, batch, 2**30), (wrong, batch, 0), (batch, wrong, 2**30)):
        with pytest.raises(fcnn.InputError, match="has 9 at row 2, column 1"):
            fcnn.fit(
                state_of(), STEP, fcnn.Loader(train, 8), epochs=1, validation=validation, validation_batch_size=4,
                resident_bytes=resident_bytes, run_folder=tmp_path,
            )  # fmt: skip
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_where_the_host_cannot_look_a_label_that_is_no_class_is_no_small_loss(batch):
    batch["label"][3, 2, 1] = 9
    _, metrics = jax.jit(STEP)(state_of(), batch)
    assert np.isnan(metrics["loss"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((8, 5, 6), np.uint8), r"integers \[8, 6, 5\], one for each pixel, got uint8 \[8, 5, 6\]"),
        (np.zeros((8, 6, 5, 1), np.uint8), r"integers \[8, 6, 5\], one for each pixel, got uint8 \[8, 6, 5, 1\]"),
        (np.full((8, 6, 5, 1), 9, np.uint8), r"integers \[8, 6, 5\], one for each pixel, got uint8 \[8, 6, 5, 1\]"),
        (np.zeros((8, 6, 5), np.float32), r"integers \[8, 6, 5\], one for each pixel, got float32 \[8, 6, 5\]"),
        (np.zeros(8, np.uint8), r"integers \[8, 6, 5\], one for each pixel, got uint8 \[8\]"),
        (np.full(8, 9, np.uint8), r"integers \[8, 6, 5\], one for each pixel, got uint8 \[8\]"),
    ],
)
def test_labels_that_are_no_map_of_the_image_are_refused(batch, labels, message):
    for call in (STEP, STEP.evaluation):
        with pytest.raises(fcnn.InputError, match=message):
            call(state_of(), batch | {"label": labels})


def test_a_network_for_other_classes_is_refused(batch):
    task = fcnn.tasks.segmentation(5)
    with pytest.raises(fcnn.InputError, match=r"logits \[batch, height, width, 5\].*got \[8, 6, 5, 4\].*num_classes=5"):
        fcnn.make_train_step(MODEL, TX, task=task)(state_of(), batch)
    classifier = fcnn.create_model("mlp", num_classes=4)
    state = fcnn.create_state(classifier, TX, key=jax.random.key(0), input_shape=(1, 6, 5, 3))
    with pytest.raises(fcnn.InputError, match=r"logits \[batch, height, width, 4\].*got \[8, 4\]"):
        fcnn.make_train_step(classifier, TX, task=TASK)(state, batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "at least two classes.*got 1"),
        ({"num_classes": 300}, "none of the classes 0 to 299, got 255"),
        ({"num_classes": 4, "ignore": 0}, "none of the classes 0 to 3, got 0"),
        ({"num_classes": 4, "auxiliary_weight": -1.0}, "must not be negative, got -1"),
        ({"num_classes": 4, "label_smoothing": 1.0}, "label smoothing.*got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(fcnn.InputError, match=message):
        fcnn.tasks.segmentation(**options)
