"""Freezing and learning rates by parameter path."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fcnn
from fcnn.training import label_parameters


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (1, 1), use_bias=False, name="conv")(x)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name="bn")(x))


class Network(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Conv(4, (1, 1), use_bias=False, name="conv1")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="bn1")(x)
        for stage in (1, 2, 3):
            x = Block(name=f"layer{stage}_0")(x, train)
        return nn.Dense(3, name="fc")(x.mean(axis=(1, 2)))


MODEL = Network()
SHAPE = (1, 3, 3, 3)
BODY = ("conv1", "bn1", "layer[12]_.*")


@pytest.fixture(scope="module")
def variables():
    """Returns variables some of which are -0 in a frozen layer, as published weights may be."""
    variables = jax.jit(lambda: MODEL.init(jax.random.key(0), jnp.zeros(SHAPE), train=False))()
    kernel = variables["params"]["conv1"]["kernel"]
    variables["params"]["conv1"]["kernel"] = kernel.at[:, :, 0].set(-0.0)
    return variables


@pytest.fixture
def batch(random):
    return {
        "image": jnp.asarray(random.standard_normal((6, *SHAPE[1:])) * 3 + 1, jnp.float32),
        "label": jnp.array([0, 1, 2, 0, 1, 2]),
    }


def state_of(tx, variables, **options):
    variables = jax.tree.map(jnp.copy, variables)
    return fcnn.create_state(MODEL, tx, key=jax.random.key(1), input_shape=SHAPE, variables=variables, **options)


def bits(tree):
    flat = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
    return {path: array.view(np.uint32) for path, array in flat.items()}


def changed(before, after):
    before, after = bits(before), bits(after)
    return {path for path in before if (before[path] != after[path]).any()}


def test_the_frozen_part_stays_bit_for_bit_and_the_rest_moves(variables, batch):
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", 0.1, weight_decay=0.1, clip_norm=10.0), BODY)
    step = fcnn.make_train_step(fcnn.FrozenNorms(MODEL, BODY), tx, ema_decay=0.9, l2=0.1)
    state = state_of(tx, variables, ema=True)
    for _ in range(3):
        state, _ = step(state, batch)
    trained = {path for path in bits(variables) if "layer3" in path or "fc" in path}
    assert changed(variables, state.variables) == trained
    for name in ("conv1", "layer1_0"):
        jax.tree.map(np.testing.assert_array_equal, state.ema["params"][name], variables["params"][name])


def test_a_frozen_part_normalises_as_in_evaluation(variables, batch):
    frozen = fcnn.FrozenNorms(MODEL, (".*",))
    logits, updates = jax.jit(lambda v, x: frozen.apply(v, x, train=True, mutable=["batch_stats"]))(
        variables, batch["image"]
    )
    np.testing.assert_allclose(logits, MODEL.apply(variables, batch["image"], train=False), rtol=1e-4, atol=1e-5)
    assert not changed(variables["batch_stats"], updates["batch_stats"])
    live = MODEL.apply(variables, batch["image"], train=True, mutable=["batch_stats"])[0]
    assert np.abs(np.asarray(logits) - live).max() > 0.1


def test_statistics_move_where_it_is_asked_for(variables, batch):
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", 0.1), BODY)
    state, _ = fcnn.make_train_step(MODEL, tx)(state_of(tx, variables), batch)
    assert changed(variables["batch_stats"], state.batch_stats) == bits(variables["batch_stats"]).keys()
    assert all("layer3" in path or "fc" in path for path in changed(variables["params"], state.params))


def test_norms_of_a_part_alone(variables, batch):
    """Only whole names match: bn1 is that of the network, not those of the blocks."""
    tx = fcnn.make_optimizer("sgd", 0.1)
    step = fcnn.make_train_step(fcnn.FrozenNorms(MODEL, ("bn1", "layer2_0/bn")), tx)
    state, _ = step(state_of(tx, variables), batch)
    kept = bits(variables["batch_stats"]).keys() - changed(variables["batch_stats"], state.batch_stats)
    assert kept == {f"['bn1']['{leaf}']" for leaf in ("mean", "var")} | {
        f"['layer2_0']['bn']['{leaf}']" for leaf in ("mean", "var")
    }


def test_frozen_norms_are_those_of_the_network_in_evaluation_and_initialisation(variables, batch):
    frozen = fcnn.FrozenNorms(MODEL, (".*",))
    same = frozen.apply(variables, batch["image"], train=False)
    np.testing.assert_array_equal(same, MODEL.apply(variables, batch["image"], train=False))
    key = jax.random.key(3)
    one, other = (m.init(key, jnp.zeros(SHAPE), train=True) for m in (frozen, MODEL))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_rates_by_path_are_those_of_separate_optimizers(variables, batch):
    tx = fcnn.by_path(
        {"fc": fcnn.make_optimizer("sgd", 0.5, momentum=0), "layer3_.*": fcnn.make_optimizer("sgd", 0.1, momentum=0)},
        otherwise=fcnn.make_optimizer("sgd", 0.01, momentum=0),
    )
    state, _ = fcnn.make_train_step(MODEL, tx)(state_of(tx, variables), batch)
    reference_tx = optax.sgd(1.0)
    reference, _ = fcnn.make_train_step(MODEL, reference_tx)(state_of(reference_tx, variables), batch)
    for name, old in variables["params"].items():
        rate = {"fc": 0.5, "layer3_0": 0.1}.get(name, 0.01)
        jax.tree.map(
            lambda old, new, whole, rate=rate: np.testing.assert_allclose(
                new - old, rate * (whole - old), rtol=1e-3, atol=2e-6
            ),
            old, state.params[name], reference.params[name],
        )  # fmt: skip


def test_a_run_with_frozen_parts_is_resumed(variables, random, tmp_path):
    split = fcnn.Split(random.integers(0, 256, (8, *SHAPE[1:]), np.uint8), np.arange(8, dtype=np.int32) % 3)
    tx = fcnn.freeze(fcnn.make_optimizer("adam", 0.1), ("layer1_0/conv", "conv1|bn1"))
    step = fcnn.make_train_step(MODEL, tx)
    loader = fcnn.Loader(split, 4)
    whole, _ = fcnn.fit(state_of(tx, variables), step, loader, epochs=2)
    fcnn.fit(state_of(tx, variables), step, loader, epochs=1, run_folder=tmp_path)
    resumed, _ = fcnn.fit(state_of(tx, variables), step, loader, epochs=2, run_folder=tmp_path)
    assert not changed(whole.params, resumed.params)


def test_patterns_match_whole_paths_of_layers_and_parameters(variables):
    params = variables["params"]
    assert fcnn.match_parameters(params, ["fc", "conv1", ".*/bias"]) == {
        "fc": ("fc/bias", "fc/kernel"),
        "conv1": ("conv1/kernel",),
        ".*/bias": ("bn1/bias", "layer1_0/bn/bias", "layer2_0/bn/bias", "layer3_0/bn/bias"),
    }
    labels = label_parameters(params, ["fc"], "rest")
    assert jax.tree.structure(labels) == jax.tree.structure(params)
    assert labels["fc"] == {"bias": "fc", "kernel": "fc"}
    assert labels["conv1"] == {"kernel": "rest"}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("layer1_0/con", "'layer1_0/con' matches no parameter; the nearest paths are layer1_0/conv"),
        ("conv", "'conv' matches no parameter; the nearest paths are conv1"),
        ("layer(1", r"'layer\(1' is no regular expression"),
        ("", "'' matches no parameter"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(variables, pattern, message):
    with pytest.raises(fcnn.InputError, match=message):
        fcnn.match_parameters(variables["params"], ["fc", pattern])
    with pytest.raises(fcnn.InputError, match=message):
        state_of(fcnn.freeze(fcnn.make_optimizer("sgd", 0.1), [pattern]), variables)
    for train in (False, True):
        with pytest.raises(fcnn.InputError, match=message):
            fcnn.FrozenNorms(MODEL, ("fc", pattern)).apply(variables, jnp.zeros(SHAPE), train=train)


def test_norms_are_frozen_by_patterns_of_their_parameters_too(variables, batch):
    tx = fcnn.make_optimizer("sgd", 0.1)
    step = fcnn.make_train_step(fcnn.FrozenNorms(MODEL, ("bn1/.*", ".*/bn/bias")), tx)
    state, _ = step(state_of(tx, variables), batch)
    kept = bits(variables["batch_stats"]).keys() - changed(variables["batch_stats"], state.batch_stats)
    assert kept == {f"['bn1']['{leaf}']" for leaf in ("mean", "var")}
