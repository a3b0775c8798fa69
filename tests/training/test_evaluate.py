import jax
import numpy as np
import optax
import pytest

import fcnn


@pytest.fixture(scope="module")
def model():
    return fcnn.create_model("mlp")


@pytest.fixture(scope="module")
def state(model):
    return fcnn.create_state(model, optax.sgd(0.1), key=jax.random.key(0), input_shape=(1, 28, 28, 1))


@pytest.fixture(scope="module")
def expected(model, state, mnist):
    """The means over 103 examples, in float64."""
    images = mnist.test.images[:103].astype(np.float32) / 255
    logits = np.asarray(jax.jit(lambda x: model.apply(state.variables, x, train=False))(images), np.float64)
    labels = mnist.test.labels[:103]
    log_sum = np.log(np.exp(logits).sum(-1))
    ranks = (logits > logits[np.arange(103), labels][:, None]).sum(-1)
    return {
        "loss": np.mean(log_sum - logits[np.arange(103), labels]),
        "top1": np.mean(logits.argmax(-1) == labels),
        "top5": np.mean(ranks < 5),
    }


@pytest.mark.parametrize("devices", [None, 1, 8])
@pytest.mark.parametrize("batch_size", [1, 10, 64, 103, 500])
def test_counts_each_example_once(model, state, mnist, expected, batch_size, devices):
    mesh = None if devices is None else fcnn.make_mesh(jax.devices()[:devices])
    split = fcnn.Split(mnist.test.images[:103], mnist.test.labels[:103])
    found = fcnn.evaluate(
        state if mesh is None else fcnn.parallel.replicate(mesh, state),
        fcnn.make_eval_step(model, mesh=mesh),
        split,
        batch_size=batch_size,
        mesh=mesh,
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_on_a_cpu_one_batch_at_a_time_takes_memory(state, mnist, monkeypatch):
    order, fetch_from_device = [], jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda results: order.append("fetched") or fetch_from_device(results))

    def evaluate_batch(state, batch):
        order.append("called")
        return {"loss": batch["mask"].sum(), "count": batch["mask"].sum()}

    split = fcnn.Split(mnist.test.images[:7], mnist.test.labels[:7])
    assert fcnn.evaluate(state, evaluate_batch, split, batch_size=3) == {"loss": 1.0}
    assert order == ["called", "fetched"] * 3


def test_padding_that_gives_no_number_does_not_count(state, mnist):
    class Divides:
        """Gives no finite logits for a black image, as padding is."""

        def apply(self, variables, images, *, train):
            return images.reshape(len(images), -1)[:, :10] * 0 + 1 / images.sum(axis=(1, 2, 3))[:, None]

    split = fcnn.Split(mnist.test.images[:5], mnist.test.labels[:5])
    found = fcnn.evaluate(state, fcnn.make_eval_step(Divides()), split, batch_size=4)
    assert found["loss"] == pytest.approx(np.log(10), rel=1e-5)


def test_equal_logits_count_as_the_first_class_as_argmax_does(state):
    class Constant:
        def apply(self, variables, images, *, train):
            return 0 * images.reshape(len(images), -1)[:, :10]

    split = fcnn.Split(np.zeros((10, 28, 28, 1), np.uint8), np.arange(10, dtype=np.int32))
    found = fcnn.evaluate(state, fcnn.make_eval_step(Constant()), split, batch_size=10)
    assert found["top1"] == pytest.approx(0.1)
    assert found["top5"] == pytest.approx(0.5)


def test_logits_of_every_example_in_order(model, state, mnist):
    split = fcnn.Split(mnist.test.images[:23], mnist.test.labels[:23])
    predict_batch = fcnn.make_predict_step(model)
    logits = fcnn.predict(state, predict_batch, split, batch_size=10)
    at_once = predict_batch(state, {"image": split.images, "label": split.labels})
    np.testing.assert_allclose(logits, at_once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "labels", "batch_size"), [(0, 0, 10), (5, 4, 10), (5, 5, 0)], ids=["empty", "unequal", "no batch"]
)
def test_bad_sets_are_refused(model, state, mnist, images, labels, batch_size):
    split = (mnist.test.images[:images], mnist.test.labels[:labels])
    with pytest.raises(fcnn.InputError):
        fcnn.evaluate(state, fcnn.make_eval_step(model), split, batch_size=batch_size)
