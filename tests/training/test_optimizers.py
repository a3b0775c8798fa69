import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fcnn

PARAMS = {"c1": {"kernel": jnp.full((3, 2), 2.0), "bias": jnp.ones(2)}, "norm": {"scale": jnp.ones(2)}}
ZERO = jax.tree.map(jnp.zeros_like, PARAMS)


def updated(tx, gradients, steps=1):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_kernels_decay(name):
    after = updated(fcnn.make_optimizer(name, 0.1, weight_decay=0.5), ZERO)
    np.testing.assert_allclose(after["c1"]["kernel"], 2.0 * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(after["c1"]["bias"], 1.0)
    np.testing.assert_array_equal(after["norm"]["scale"], 1.0)


def test_momentum_is_that_of_pytorch():
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    after = updated(fcnn.make_optimizer("sgd", 0.1, momentum=0.9), gradients, steps=3)
    velocity, expected = 0.0, 1.0
    for _ in range(3):
        velocity = 0.9 * velocity + 1
        expected -= 0.1 * velocity
    np.testing.assert_allclose(after["c1"]["bias"], expected, rtol=1e-6)


def test_the_gradient_of_all_parameters_together_is_clipped():
    gradients = jax.tree.map(lambda p: jnp.full_like(p, 3.0), PARAMS)
    norm = 3 * np.sqrt(10)
    after = updated(fcnn.make_optimizer("sgd", 1.0, momentum=0.0, clip_norm=1.0), gradients)
    np.testing.assert_allclose(after["c1"]["bias"], 1 - 3 / norm, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_other_rates_by_path(name):
    gradients = jax.tree.map(lambda p: jnp.full_like(p, 3.0), PARAMS)
    options = {"weight_decay": 0.0 if name == "adam" else 0.1, "clip_norm": 1.0}
    rates = {"norm": 0.02, ".*/bias": lambda step: 0.03}
    after = updated(fcnn.make_optimizer(name, 0.01, rates=rates, **options), gradients, steps=2)
    for layer, leaf, rate in (("c1", "kernel", 0.01), ("norm", "scale", 0.02), ("c1", "bias", 0.03)):
        expected = updated(fcnn.make_optimizer(name, rate, **options), gradients, steps=2)
        np.testing.assert_allclose(after[layer][leaf], expected[layer][leaf], rtol=1e-6)


def test_the_schedule_rises_and_falls():
    schedule = fcnn.warmup_cosine(0.4, steps=100, warmup=10)
    rates = [float(schedule(step)) for step in range(101)]
    assert 0 < rates[0] < 0.1
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(0.4)
    assert rates[55] == pytest.approx(0.2, rel=1e-3)
    assert rates[100] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(("warmup", "first"), [(0, 0.4), (2, 0.04)])
def test_the_schedule_falls_at_some_steps(warmup, first):
    schedule = fcnn.step_decay(0.4, (5, 8), factor=0.5, warmup=warmup)
    rates = [float(schedule(step)) for step in range(10)]
    assert rates == pytest.approx([first] * 2 + [0.4] * 3 + [0.2] * 3 + [0.1] * 2)


@pytest.mark.parametrize("options", [{}, {"power": 2.0}])
def test_the_schedule_falls_as_a_power_of_the_steps_left(options):
    schedule = fcnn.poly_decay(0.02, 40, **options)
    power = options.get("power", 0.9)
    expected = [0.02 * (1 - step / 40) ** power for step in range(41)]
    np.testing.assert_allclose([float(schedule(step)) for step in range(41)], expected, rtol=1e-5, atol=1e-9)
    assert float(schedule(41)) == 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: fcnn.make_optimizer("sdg", 0.1), "did you mean sgd"),
        (lambda: fcnn.make_optimizer("sgd", -0.1), "learning rate must not be negative, got -0.1"),
        (lambda: fcnn.make_optimizer("sgd", float("nan")), "learning rate"),
        (lambda: fcnn.make_optimizer("sgd", 0.1, rates={"c1": -1.0}), "learning rate must not be negative, got -1.0"),
        (lambda: fcnn.make_optimizer("sgd", 0.1, rates={"c2": 1.0}).init(PARAMS), "'c2' matches no parameter"),
        (lambda: fcnn.make_optimizer("sgd", 0.1, weight_decay=-1), "weight decay must not be negative"),
        (lambda: fcnn.make_optimizer("sgd", 0.1, momentum=1.0), "momentum"),
        (lambda: fcnn.make_optimizer("sgd", 0.1, clip_norm=0.0), "clip norm must be positive"),
        (lambda: fcnn.make_optimizer("adam", 0.1, weight_decay=0.1), "adamw"),
        (lambda: fcnn.warmup_cosine(-1.0, 10), "learning rate must not be negative"),
        (lambda: fcnn.warmup_cosine(1.0, 10, warmup=10), "warm-up of 10 steps does not fit 10"),
        (lambda: fcnn.poly_decay(-1.0, 10), "learning rate must not be negative"),
        (lambda: fcnn.poly_decay(1.0, 0), "at least 1 step, got 0"),
        (lambda: fcnn.poly_decay(1.0, 10, power=0.0), "power of a schedule must be positive, got 0.0"),
        (lambda: fcnn.step_decay(-1.0, (5,)), "learning rate must not be negative"),
        (lambda: fcnn.step_decay(1.0, (5,), factor=1.5), "factor between 0 and 1, got 1.5"),
        (lambda: fcnn.step_decay(1.0, (5, 5)), r"fall at steps that ascend, .*got \[5, 5\]"),
        (lambda: fcnn.step_decay(1.0, (5, 8), warmup=5), "after the warm-up of 5"),
    ],
)
def test_bad_numbers_are_refused(make, expected):
    with pytest.raises(fcnn.InputError, match=expected):
        make()
