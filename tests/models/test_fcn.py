"""Fully convolutional networks: their layout, training, and what is fixed in them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fcnn
from fcnn.errors import InputError
from fcnn.models import AuxiliaryLogits, create_model, layer_table

PARAMETERS = {
    "fcn_resnet50": 35_322_218,
    "fcn_resnet101": 54_314_346,
    "fcn8s_vgg16": 134_489_759,
    # The scores of pools of 512 and 256 channels, and the enlargements of 21 x 21 channels, apart from those of 8s.
    "fcn16s_vgg16": 134_489_759 - 257 * 21 + 441 * (32**2 - 16**2 - 4**2),
    "fcn32s_vgg16": 134_489_759 - 257 * 21 - 513 * 21 + 441 * (64**2 - 16**2 - 2 * 4**2),
}
SMALL = ("fcn_resnet_tiny", "fcn8s_vgg_digits", "fcn4s_vgg_digits", "fcn2s_vgg_digits")


def initialised(model, shape=(1, 32, 32, 3)):
    return jax.jit(lambda key: model.init(key, jnp.zeros(shape), train=False))(jax.random.key(0))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_ones(name):
    model = create_model(name)
    assert sum(row.parameters for row in layer_table(model, (1, *model.input_shape))) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "published"), [("fcn_resnet50", 152.717), ("fcn_resnet101", 232.738)])
def test_multiply_adds_are_the_published_ones(name, published):
    rows = layer_table(create_model(name), (1, 520, 520, 3))
    # torchvision counts the auxiliary head, which evaluation does not compute.
    head = 65 * 65 * (9 * 1024 * 256 + 256 * 21)
    assert round((sum(row.multiply_adds for row in rows) + head) / 1e9, 3) == pytest.approx(published, abs=0.002)
    assert {row.multiply_adds for row in rows if row.name.startswith("aux_classifier")} == {0}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (224, {"pool1": 211, "pool2": 106, "pool3": 53, "pool4": 27, "pool5": 14, "fc6": 8, "upscore2": 18}),
        (500, {"pool1": 349, "pool2": 175, "pool3": 88, "pool4": 44, "pool5": 22, "fc6": 16, "upscore_pool4": 70}),
        (375, {"pool1": 287, "pool2": 144, "pool3": 72, "pool4": 36, "pool5": 18, "fc6": 12, "upscore_pool4": 54}),
    ],
)
def test_maps_have_the_sizes_of_the_published_network(size, expected):
    rows = {row.name: row.output_shape for row in layer_table(create_model("fcn8s_vgg16"), (1, size, size, 3))}
    assert {name: rows[name][1] for name in expected} == expected
    assert rows["upscore8"] == (1, size, size, 21)


@pytest.mark.parametrize("name", ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", *SMALL])
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 31)])
def test_logits_have_the_size_of_the_image(name, size):
    model = create_model(name, num_classes=5)

    def logits_of(images):
        return model.apply(model.init(jax.random.key(0), images, train=False), images, train=False)

    logits = jax.eval_shape(logits_of, jax.ShapeDtypeStruct((2, *size, 3), jnp.float32))
    assert (logits.shape, logits.dtype) == ((2, *size, 5), jnp.float32)


def test_offsets_are_those_of_caffe():
    # crop layers of the published voc-fcn32s, voc-fcn16s and voc-fcn8s
    offsets = {name: create_model(f"{name}_vgg16")._offsets() for name in ("fcn32s", "fcn16s", "fcn8s")}
    assert offsets == {"fcn32s": ([], 19), "fcn16s": ([5], 27), "fcn8s": ([5, 9], 31)}


@pytest.mark.parametrize("stride", [8, 4, 2])
def test_scores_lie_over_the_pixels_that_they_are_of(stride):
    """Kernels of ones keep the symmetry of a square in the middle, in each of the scores that are added."""
    model = create_model(f"fcn{stride}s_vgg_digits", num_classes=1, batch_norm=False, dropout_rate=0.0)
    images = jnp.zeros((1, 48, 48, 1)).at[0, 20:28, 20:28].set(1)
    params = initialised(model, images.shape)["params"]
    logits_of = jax.jit(lambda params: model.apply({"params": params}, images, train=False))

    def ones(path, leaf, score):
        layer, leaf_name = path[0].key, path[-1].key
        if leaf_name == "fixed_kernel":
            return leaf
        return jnp.full_like(leaf, leaf_name == "kernel" and (layer == score or not layer.startswith("score")))

    for score in [name for name in params if name.startswith("score")]:
        logits = logits_of(jax.tree.map_with_path(partial(ones, score=score), params))[0, :, :, 0]
        assert np.argmax(logits) // 48 in range(18, 30)
        for mirrored in (logits[::-1], logits[:, ::-1], logits.T):
            np.testing.assert_allclose(logits, mirrored, rtol=1e-5, err_msg=score)


@pytest.mark.parametrize("name", SMALL)
def test_small_network_trains(name, random):
    model = create_model(name, num_classes=3)
    images = jnp.asarray(random.standard_normal((2, 40, 36, 3)), jnp.float32)
    labels = random.integers(0, 3, (2, 40, 36))
    variables = initialised(model)
    # Scores that start at zero would let no gradient pass in the first step.
    scores = {name: params for name, params in variables["params"].items() if name.startswith("score")}
    for params in scores.values():
        params["kernel"] = random.standard_normal(params["kernel"].shape).astype(np.float32) / 8

    def loss_of(params, batch_stats):
        outputs, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        heads = [(outputs, 1.0)]
        if isinstance(outputs, AuxiliaryLogits):
            heads = [(outputs.logits, 1.0), *zip(outputs.auxiliary, outputs.weights, strict=True)]
        losses = [w * optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean() for logits, w in heads]
        return sum(losses), updates["batch_stats"]

    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    (loss, moved), gradients = step(variables["params"], variables["batch_stats"])
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.any(gradient) == (path[-1].key != "fixed_kernel"), path
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), variables["batch_stats"], moved)))
    downhill = jax.tree.map(lambda p, g: p - 1e-3 * g, variables["params"], gradients)
    assert step(downhill, variables["batch_stats"])[0][0] < loss


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_step_with_weight_decay_leaves_fixed_kernels_to_the_last_bit(name, random):
    model = create_model("fcn2s_vgg_digits", num_classes=3, batch_norm=False, dropout_rate=0.0)
    images = jnp.asarray(random.standard_normal((1, 16, 16, 1)), jnp.float32)
    params = initialised(model, images.shape)["params"]
    tx = fcnn.make_optimizer(name, 0.1, weight_decay=0.1)

    def loss_of(params):
        penalty = fcnn.training.kernel_penalty(params, l1=0.1, l2=0.1)
        return (model.apply({"params": params}, images, train=True) ** 2).mean() + penalty

    @jax.jit
    def step(params):
        updates, _ = tx.update(jax.grad(loss_of)(params), tx.init(params), params)
        return optax.apply_updates(params, updates)

    moved = step(step(params))
    fixed = {name for name, layer in params.items() if "fixed_kernel" in layer}
    assert fixed == {"upscore2", "upscore_pool2", "upscore"}
    for name, layer in params.items():
        for leaf, array in layer.items():
            if leaf in ("kernel", "fixed_kernel") and np.any(array):
                assert np.array_equal(moved[name][leaf], array) == (leaf == "fixed_kernel"), name


def test_scores_start_at_zero():
    params = initialised(create_model("fcn2s_vgg_digits"))["params"]
    scores = [params[name]["kernel"] for name in ("score_fr", "score_pool2", "score_pool1")]
    assert not any(map(np.any, scores))
    assert np.any(params["fc7"]["kernel"])


def test_bilinear_kernel_is_that_of_the_published_code():
    kernel = initialised(create_model("fcn8s_vgg_digits", num_classes=3))["params"]["upscore"]["fixed_kernel"]
    line = 1 - np.abs(np.arange(16) - 7.5) / 8
    expected = np.einsum("i,j,kl->ijkl", line, line, np.eye(3))
    np.testing.assert_allclose(kernel, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 3}, "stride must be one of 8, 4, 2 with 3 stages, got 3"),
        ({"stride": 16}, "stride must be one of 8, 4, 2 with 3 stages, got 16"),
        ({"first_padding": 8}, "first_padding must be at least 9 with 3 stages and a grid of 4"),
        ({"grid": 3}, "grid must be at least 4 with 2 skips, got 3"),
    ],
)
def test_what_would_leave_pixels_without_scores_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        layer_table(create_model("fcn2s_vgg_digits", **options), (1, 32, 32, 1))


def test_smallest_padding_covers_images_of_all_sizes():
    model = create_model("fcn2s_vgg_digits", first_padding=9)
    for size in range(1, 18):
        assert layer_table(model, (1, size, 20, 1))[-1].output_shape == (1, size, 20, 21)


def test_dilation_keeps_an_eighth_of_the_size():
    rows = {row.name: row for row in layer_table(create_model("fcn_resnet50"), (1, 240, 240, 3))}
    assert [rows[f"backbone/layer{i}_0/conv3"].output_shape[1] for i in (1, 2, 3, 4)] == [60, 30, 30, 30]
    assert rows["classifier_4"].output_shape == (1, 30, 30, 21)


@pytest.mark.parametrize("name", SMALL)
def test_a_new_head_for_other_classes(name):
    old, new = (create_model(name, num_classes=n) for n in (7, 3))
    variables = initialised(old)
    replaced = fcnn.replace_head(new, variables, jax.random.key(1), (1, 32, 32, 3))
    expected = jax.eval_shape(lambda: new.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    assert jax.tree.map(jnp.shape, replaced) == jax.tree.map(jnp.shape, expected)
    for layer in set(variables["params"]) - set(new.heads):
        jax.tree.map(np.testing.assert_array_equal, replaced["params"][layer], variables["params"][layer])
    for layer in new.heads:
        if "fixed_kernel" in replaced["params"][layer]:
            assert np.any(replaced["params"][layer]["fixed_kernel"])
