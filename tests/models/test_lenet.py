from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn


def variables_of(model, key):
    return jax.jit(lambda key: model.init({"params": key, "dropout": key}, jnp.zeros((1, 32, 32, 1)), train=True))(key)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameters_of_each_layer(key):
    params = variables_of(fcnn.create_model("lenet"), key)["params"]
    assert {name: count(layer) for name, layer in params.items()} == {
        "c1": 156,
        "c3": 2416,
        "c5": 48120,
        "f6": 10164,
        "output": 850,
    }


def test_output_shapes_of_the_paper(key):
    rows = {row.name: row for row in fcnn.layer_table(fcnn.create_model("lenet"), (2, 32, 32, 1))}
    shapes = {name: row.output_shape for name, row in rows.items()}
    assert shapes["c1"] == (2, 28, 28, 6)
    assert shapes["s2"] == (2, 14, 14, 6)
    assert shapes["c3"] == (2, 10, 10, 16)
    assert shapes["s4"] == (2, 5, 5, 16)
    assert shapes["c5"] == (2, 1, 1, 120)
    assert shapes["f6"] == (2, 84)
    assert shapes["output"] == (2, 10)
    assert rows["c3"].multiply_adds == 2 * 10 * 10 * 16 * 25 * 6


def test_summary_prints_the_totals(capsys):
    fcnn.summary(fcnn.create_model("lenet"), (1, 32, 32, 1))
    printed = capsys.readouterr().out
    assert "61,706" in printed
    assert "416,520" in printed
    assert "1 x 10 x 10 x 16" in printed


def test_mlp_has_the_parameters_of_the_course():
    rows = fcnn.layer_table(fcnn.create_model("mlp"), (1, 28, 28, 1))
    assert [row.parameters for row in rows if row.parameters] == [23550, 310]


def test_mlp_takes_any_hidden_sizes(key):
    model = fcnn.create_model("mlp", hidden=(100, 50), activation="relu", num_classes=7)
    variables = jax.eval_shape(lambda: model.init(key, jnp.zeros((1, 12, 9, 3)), train=False))
    assert variables["params"]["hidden1"]["kernel"].shape == (12 * 9 * 3, 100)
    logits = jax.eval_shape(partial(model.apply, train=False), variables, jnp.zeros((4, 12, 9, 3)))
    assert logits.shape == (4, 7)


def test_28_is_padded_to_32(key, random):
    model = fcnn.create_model("lenet")
    variables = variables_of(model, key)
    images = jnp.asarray(random.random((3, 28, 28, 1)), jnp.float32)
    padded = jnp.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    apply = jax.jit(partial(model.apply, train=False))
    np.testing.assert_array_equal(apply(variables, images), apply(variables, padded))


def test_another_size_is_refused(key):
    with pytest.raises(fcnn.InputError, match="32x32.*24x32"):
        fcnn.create_model("lenet").init(key, jnp.zeros((1, 24, 32, 1)), train=False)


def test_options_change_what_is_computed(key, random):
    images = jnp.asarray(random.random((2, 32, 32, 1)), jnp.float32)
    outputs = []
    for options in ({}, {"pooling": "average"}, {"activation": "tanh"}, {"activation": "sigmoid"}):
        model = fcnn.create_model("lenet", **options)
        outputs.append(np.asarray(jax.jit(partial(model.apply, train=False))(variables_of(model, key), images)))
    for i, one in enumerate(outputs):
        for other in outputs[:i]:
            assert np.abs(one - other).max() > 1e-3


def test_batch_norm_follows_each_convolution(key):
    variables = variables_of(fcnn.create_model("lenet", batch_norm=True), key)
    assert {name: leaf["mean"].size for name, leaf in variables["batch_stats"].items()} == {
        "c1_norm": 6,
        "c3_norm": 16,
        "c5_norm": 120,
    }


def test_initialisation_has_the_variance_of_he(key):
    kernel = variables_of(fcnn.create_model("lenet"), key)["params"]["c5"]["kernel"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)


@pytest.mark.filterwarnings("ignore:bfloat16 is slower")
def test_logits_are_float32_in_bfloat16(key):
    model = fcnn.create_model("lenet", dtype=jnp.bfloat16)
    variables = variables_of(model, key)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    logits = jax.eval_shape(partial(model.apply, train=False), variables, jnp.zeros((1, 32, 32, 1)))
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("lenett", {}, "unknown network 'lenett': did you mean .*lenet"),
        ("lenet", {"droput_rate": 0.1}, "unknown option of lenet 'droput_rate': did you mean dropout_rate"),
        ("lenet", {"dropout_rate": -0.1}, "dropout_rate must be at least 0 and less than 1, got -0.1"),
        ("lenet", {"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(name, options, expected):
    with pytest.raises(fcnn.InputError, match=expected):
        fcnn.create_model(name, **options)


@pytest.mark.parametrize("options", [{"pooling": "maximum"}, {"activation": "rely"}])
def test_bad_choice_names_the_nearest(options, key):
    with pytest.raises(fcnn.InputError, match="did you mean (max|relu)"):
        variables_of(fcnn.create_model("lenet", **options), key)
