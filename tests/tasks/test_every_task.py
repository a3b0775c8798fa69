"""What a step can do, it does for every task: auxiliary heads, penalties, averages, parts, frozen layers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from states import new_state
from tasks.pixels import SIZE, labelled

import fcnn
from fcnn.models import AuxiliaryLogits

INPUT = (1, *SIZE, 3)
RATE = 0.1
SGD = fcnn.make_optimizer("sgd", RATE)


class Tower(nn.Module):
    """A convolution, an output and an auxiliary head, of each pixel or of the image."""

    outputs: int
    of_pixels: bool = False
    weight: float | None = None

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Conv(4, (3, 3), name="hidden")(images))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        if not self.of_pixels:
            x = x.mean(axis=(1, 2))
        outputs, auxiliary = (nn.Dense(self.outputs, name=name)(x) for name in ("output", "auxiliary"))
        if self.weight is None or not train:
            return outputs
        return AuxiliaryLogits(outputs, (auxiliary,), (self.weight,))


class Case(NamedTuple):
    """A task, a network for it and a batch.

    Attributes:
        task: `(**entries) -> task`.
        model: the network, without weight of its auxiliary head.
        batch: the batch.
        mean_loss: `(outputs, batch) -> mean loss`, in plain jax.numpy.
        terms: names of the losses.
    """

    task: Callable[..., fcnn.tasks.Task]
    model: Tower
    batch: Mapping[str, Any]
    mean_loss: Callable[[Any, Mapping[str, Any]], Any]
    terms: tuple[str, ...] = ("main",)


def of_classes(logits, batch):
    return -jax.nn.log_softmax(logits)[jnp.arange(len(logits)), batch["label"]].mean()


def of_pixels(logits, batch):
    counted, label = batch["label"] != 255, jnp.where(batch["label"] == 255, 0, batch["label"])
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), label[..., None].astype(jnp.int32), -1)[..., 0]
    return -jnp.where(counted, chosen, 0).sum() / counted.sum()


def of_points(outputs, batch):
    return jnp.square(outputs - batch["point"]).sum() / 8 + 0.5 * jnp.abs(outputs).sum() / 8


def points(**entries):
    """A guest with two losses, one of which has a weight."""

    def losses(outputs, batch):
        return {"distance": jnp.square(outputs - batch["point"]).sum(axis=-1), "length": jnp.abs(outputs).sum(axis=-1)}

    return fcnn.tasks.Task(losses=losses, weights={"length": 0.5}, name="points", **entries)


def cases():
    random = np.random.default_rng(3)
    pixels = labelled(random)
    images = {"image": pixels["image"]}
    return {
        "classification": Case(
            lambda **entries: fcnn.tasks.classification()._replace(**entries), Tower(3),
            images | {"label": random.integers(0, 3, 8)}, of_classes,
        ),
        "segmentation": Case(
            lambda **entries: fcnn.tasks.segmentation(4)._replace(**{"auxiliary_weight": None} | entries),
            Tower(4, of_pixels=True), pixels, of_pixels,
        ),
        "points": Case(
            points, Tower(2), images | {"point": random.random((8, 2), dtype=np.float32)}, of_points,
            ("distance", "length"),
        ),
    }  # fmt: skip


CASES = cases()


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


def begin(case, tx=SGD, **options):
    return new_state(case.model, tx, input_shape=INPUT, **options)


def expected_step(case, weight=0.0, l1=0.0, l2=0.0):
    """The losses of both heads, and the parameters after one update, from plain gradients."""
    state, heads = begin(case), case.model.clone(weight=1.0)
    variables = {"batch_stats": state.batch_stats}

    def losses(params):
        outputs, _ = heads.apply(variables | {"params": params}, case.batch["image"], train=True, mutable="batch_stats")
        return case.mean_loss(outputs.logits, case.batch), case.mean_loss(outputs.auxiliary[0], case.batch)

    def loss(params):
        main, auxiliary = losses(params)
        kernels = [params[name]["kernel"] for name in ("hidden", "output", "auxiliary")]
        penalty = sum(l1 * jnp.abs(kernel).sum() + l2 / 2 * jnp.square(kernel).sum() for kernel in kernels)
        return main + weight * auxiliary + penalty, (main, auxiliary)

    gradient, (main, auxiliary) = jax.jit(jax.grad(loss, has_aux=True))(state.params)
    return main, auxiliary, jax.tree.map(lambda parameter, slope: parameter - RATE * slope, state.params, gradient)


def assert_close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)


def mean(metrics, name):
    return float(metrics[name]) / float(metrics.get("size", metrics["count"]))


@pytest.mark.parametrize(("of_network", "of_task"), [(0.3, None), (0.3, 0.7)])
def test_auxiliary_heads(case, of_network, of_task):
    weight = of_network if of_task is None else of_task
    step = fcnn.make_train_step(case.model.clone(weight=of_network), SGD, task=case.task(auxiliary_weight=of_task))
    main, auxiliary, params = expected_step(case, weight)
    state, metrics = step(begin(case), case.batch)
    assert_close(state.params, params)
    assert mean(metrics, "loss") == pytest.approx(float(main + weight * auxiliary), rel=1e-5)
    assert mean(metrics, "loss_auxiliary_1") == pytest.approx(float(auxiliary), rel=1e-5)
    assert {name for name in metrics if name.startswith("loss_")} == {
        f"loss_{name}" for name in (*case.terms, "auxiliary_1")
    }
    # In evaluation the head is not there.
    names = {name for name in step.evaluation(begin(case), case.batch) if name.startswith("loss_")}
    assert names == ({f"loss_{name}" for name in case.terms} if len(case.terms) > 1 else set())


def test_the_terms_of_an_epoch_are_logged(case):
    step = fcnn.make_train_step(case.model.clone(weight=0.3), SGD, task=case.task())
    main, auxiliary, _ = expected_step(case, 0.3)
    _, (row,) = fcnn.fit(begin(case), step, fcnn.Loader(case.batch, 8), epochs=1, validation=case.batch)
    assert row["train_loss"] == pytest.approx(float(main + 0.3 * auxiliary), rel=1e-5)
    assert row["train_loss_auxiliary_1"] == pytest.approx(float(auxiliary), rel=1e-5)
    assert "validation_loss" in row
    assert "validation_loss_auxiliary_1" not in row


def test_masked_examples_have_no_auxiliary_loss(case):
    model = fcnn.FrozenNorms(case.model.clone(weight=0.3), ("norm",))  # BatchNorm would see black images
    step = fcnn.make_train_step(model, SGD, task=case.task())
    garbage = {
        name: np.full_like(array, np.nan if array.dtype.kind == "f" else 99) for name, array in case.batch.items()
    }
    padded = {name: np.concatenate([garbage[name], array]) for name, array in case.batch.items()}
    state, metrics = step(begin(case), padded | {"mask": np.repeat(np.float32([0, 1]), 8)})
    without, expected = step(begin(case), case.batch)
    assert_close(state.params, without.params)
    assert_close(metrics, expected)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties(case, penalty):
    step = fcnn.make_train_step(case.model.clone(weight=0.3), SGD, task=case.task(), **{penalty: 0.05})
    _, _, params = expected_step(case, 0.3, **{penalty: 0.05})
    assert_close(step(begin(case), case.batch)[0].params, params)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts(case, parts):
    model = fcnn.FrozenNorms(case.model.clone(weight=0.3), ("norm",))  # BatchNorm sees each part by itself
    whole, metrics = fcnn.make_train_step(model, SGD, task=case.task())(begin(case), case.batch)
    step = fcnn.make_train_step(model, SGD, task=case.task(), accumulate=parts)
    state, same = step(begin(case), case.batch)
    assert_close(state.params, whole.params)
    assert_close(same, metrics)


def test_averages_are_evaluated(case):
    step = fcnn.make_train_step(case.model, SGD, task=case.task(), ema_decay=0.5)
    state, seen = begin(case, ema=True), []
    for _ in range(3):
        state, _ = step(state, case.batch)
        seen.append(jax.device_get(state.variables))
    weights = np.array([1, 2, 4]) / 7
    average = jax.tree.map(lambda *leaves: np.tensordot(weights, np.stack(leaves), 1), *seen)
    assert_close(state.ema, average)
    outputs = case.model.apply(average, case.batch["image"], train=False)
    found = fcnn.evaluate(state, step.evaluation, case.batch, batch_size=3)
    assert found["loss"] == pytest.approx(float(case.mean_loss(outputs, case.batch)), rel=1e-4)
    assert (
        abs(found["loss"] - fcnn.evaluate(state._replace(ema=None), step.evaluation, case.batch, batch_size=3)["loss"])
        > 1e-5
    )


def test_frozen_layers_stay_to_the_last_bit(case):
    tx = fcnn.freeze(SGD, ["hidden", "output/bias"])
    step = fcnn.make_train_step(case.model.clone(weight=0.3), tx, task=case.task(), l2=0.1)
    before = jax.device_get(begin(case, tx).params)
    state = begin(case, tx)
    for _ in range(2):
        state, _ = step(state, case.batch)
    np.testing.assert_array_equal(state.params["hidden"]["kernel"], before["hidden"]["kernel"])
    np.testing.assert_array_equal(state.params["hidden"]["bias"], before["hidden"]["bias"])
    np.testing.assert_array_equal(state.params["output"]["bias"], before["output"]["bias"])
    for moved in ("output", "auxiliary"):
        assert np.abs(state.params[moved]["kernel"] - before[moved]["kernel"]).max() > 1e-5


def test_several_devices_are_one(case):
    mesh = fcnn.make_mesh()
    whole, metrics = fcnn.make_train_step(case.model.clone(weight=0.3), SGD, task=case.task())(begin(case), case.batch)
    step = fcnn.make_train_step(case.model.clone(weight=0.3), SGD, task=case.task(), mesh=mesh)
    state, same = step(fcnn.parallel.replicate(mesh, begin(case)), fcnn.parallel.shard_batch(mesh, case.batch))
    assert_close(state.params, whole.params)
    assert_close(same, metrics)
