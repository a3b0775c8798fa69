"""A network for other classes: its head replaced, and what its head is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn

NAMES = ("alexnet_tiny", "googlenet_tiny", "lenet", "resnet_tiny", "vgg_tiny")


def network(name, num_classes):
    model = fcnn.create_model(name, num_classes=num_classes)
    shape = (1, 32, 32, 1) if name == "lenet" else (1, 64, 64, 3)
    return model, shape


def variables_of(model, shape):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), train=False))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.uniform(0.5, 1.5, leaf.shape).astype(np.float32) / 8, shapes)


@pytest.mark.parametrize("name", NAMES)
def test_all_but_the_head_stays(name, key):
    old_model, shape = network(name, 7)
    old = variables_of(old_model, shape)
    model, _ = network(name, 3)
    new = fcnn.replace_head(model, old, key, shape)
    expected = jax.eval_shape(lambda: model.init(key, jnp.zeros(shape), train=False))
    assert jax.tree.map(jnp.shape, new["params"]) == jax.tree.map(jnp.shape, expected["params"])
    for path, array in jax.tree.leaves_with_path(new):
        names = [entry.key for entry in path]
        if "/".join(names[1:-1]) in model.heads:
            assert array.shape[-1] == 3
            assert (np.std(array) > 0) == (names[-1] == "kernel")
        else:
            source = old
            for part in names:
                source = source[part]
            np.testing.assert_array_equal(array, source)


def test_other_keys_give_other_heads(key):
    model, shape = network("resnet_tiny", 3)
    old = variables_of(model, shape)
    one, same, other = (fcnn.replace_head(model, old, k)["params"]["fc"] for k in (key, key, jax.random.key(1)))
    np.testing.assert_array_equal(one["kernel"], same["kernel"])
    assert (one["kernel"] != other["kernel"]).any()


def test_variables_of_another_network_are_refused(key):
    old = variables_of(*network("resnet_tiny", 7))
    del old["params"]["layer2_0"]["conv1"]
    old["params"]["conv1"]["kernel"] = old["params"]["conv1"]["kernel"][:5]
    with pytest.raises(
        fcnn.InputError, match="not those of this ResNet: params/conv1/kernel, params/layer2_0/conv1/kernel differ"
    ):
        fcnn.replace_head(network("resnet_tiny", 3)[0], old, key)


@pytest.mark.parametrize("name", NAMES)
def test_the_head_on_the_body_gives_the_logits(name, random):
    model, shape = network(name, 3)
    variables = variables_of(model, shape)
    images = jnp.asarray(random.random((2, *shape[1:])), jnp.float32)

    @jax.jit
    def both(images):
        features = fcnn.Body(model).apply(variables, images, train=False)
        logits = fcnn.Head(model).apply(variables, features, train=False)
        return logits, model.apply(variables, images, train=False)

    logits, expected = both(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4)


def test_a_head_is_trained_within_its_network(random):
    model, shape = network("resnet_tiny", 3)
    variables = variables_of(model, shape)
    tx = fcnn.freeze(fcnn.make_optimizer("sgd", 0.1), fcnn.body_layers(model, variables["params"]))
    head = fcnn.Head(model)
    state = fcnn.create_state(head, tx, key=jax.random.key(0), input_shape=(1, 1, 1, 64), variables=variables)
    batch = {"image": random.random((6, 1, 1, 64), np.float32), "label": np.arange(6, dtype=np.int32) % 3}
    step, losses = fcnn.make_train_step(head, tx), []
    for _ in range(5):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]
    same = jax.tree.map(np.array_equal, state.variables, variables)
    assert not any(jax.tree.leaves(same["params"].pop("fc")))
    assert all(jax.tree.leaves(same))


def test_the_body_is_all_but_the_heads():
    model, shape = network("googlenet_tiny", 3)
    params = variables_of(model, shape)["params"]
    assert set(params) - set(fcnn.body_layers(model, params)) == {"fc", "aux1", "aux2"}
