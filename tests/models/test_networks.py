"""The networks of ImageNet and CIFAR-10: sizes, training, options, sizes of images."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fcnn.errors import InputError
from fcnn.models import AuxiliaryLogits, capture, create_model, layer_table, list_models

PARAMETERS = {
    "alexnet": 61_100_840,
    "googlenet": 13_004_888,
    "inception_v3": 27_161_264,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
}
# As torchvision publishes them, in units of 10^9.
MULTIPLY_ADDS = {
    "alexnet": 0.71,
    "googlenet": 1.50,
    "inception_v3": 5.71,
    "resnet18": 1.81,
    "resnet34": 3.66,
    "resnet50": 4.09,
    "resnet101": 7.80,
    "resnet152": 11.51,
    "vgg11": 7.61,
    "vgg13": 11.31,
    "vgg16": 15.47,
    "vgg19": 19.63,
}
TINY = (
    "alexnet_tiny",
    "googlenet_tiny",
    "inception_tiny",
    "resnet_tiny",
    "resnet_cifar_tiny",
    "vgg_digits",
    "vgg_small",
    "vgg_tiny",
)


def random_variables(model, images):
    """Variables as He et al. initialise them, drawn by NumPy: nothing to compile."""
    rng = np.random.default_rng(0)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}

    def draw(path, leaf):
        if len(leaf.shape) < 2:
            return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)
        values = rng.standard_normal(leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return values.astype(np.float32)

    shapes = jax.eval_shape(lambda images: model.init(keys, images, train=True), images)
    return {"batch_stats": {}} | jax.tree.map_with_path(draw, shapes)


def captured(model, images, names):
    """Named features of a network as it is initialised; the layers after them are never compiled."""

    def compute(images):
        return capture(model, model.init(jax.random.key(0), images, train=False), images, names)

    return jax.jit(compute)(images)


def evaluated_shape(model, image_shape):
    """The shape of the logits in evaluation, with nothing computed."""

    def evaluate(images):
        return model.apply(model.init(jax.random.key(0), images, train=False), images, train=False)

    return jax.eval_shape(evaluate, jax.ShapeDtypeStruct(image_shape, jnp.float32)).shape


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_multiply_adds_are_the_published_ones(name):
    model = create_model(name)
    rows = layer_table(model, (1, *model.input_shape))
    assert sum(row.parameters for row in rows) == PARAMETERS[name]
    if name in MULTIPLY_ADDS:
        assert round(sum(row.multiply_adds for row in rows) / 1e9, 2) == MULTIPLY_ADDS[name]


def test_every_network_is_tested_here():
    elsewhere = {name for name in list_models() if name.startswith("fcn")} | {"lenet", "mlp"}
    assert set(list_models()) == {*PARAMETERS, *TINY, *elsewhere}


@pytest.mark.parametrize("name", TINY)
def test_tiny_variant_trains(name):
    size = 64 if name == "alexnet_tiny" else 32
    model = create_model(name, num_classes=4)
    images = jax.random.normal(jax.random.key(0), (4, size, size, 3))
    labels = jnp.arange(4)
    variables = random_variables(model, images)

    def loss_of(params, batch_stats):
        output, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        heads = [(output, 1.0)]
        if isinstance(output, AuxiliaryLogits):
            heads = [(output.logits, 1.0), *zip(output.auxiliary, output.weights, strict=True)]
        losses = [w * optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean() for logits, w in heads]
        return sum(losses), updates.get("batch_stats", {})

    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    statistics = variables["batch_stats"]
    (loss, moved), gradients = jax.device_get(step(variables["params"], statistics))

    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient), f"no gradient reaches {jax.tree_util.keystr(path)}"
    for path, moving in jax.tree.leaves_with_path(jax.tree.map(lambda a, b: np.any(a != b), statistics, moved)):
        assert moving, path
    downhill = jax.tree.map(lambda p, g: p - 1e-3 * g, variables["params"], gradients)
    assert step(downhill, statistics)[0][0] < loss


@pytest.mark.filterwarnings("ignore:bfloat16 is slower")
@pytest.mark.parametrize("name", TINY)
def test_parameters_do_not_depend_on_training_and_stay_float32(name):
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    model = create_model(name, num_classes=5, dtype=jnp.bfloat16)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    trained, evaluated = (
        jax.eval_shape(lambda images, train=train: model.init_with_output(keys, images, train=train), images)
        for train in (True, False)
    )
    assert trained[1] == evaluated[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(trained[1])} == {jnp.dtype(jnp.float32)}
    logits = [leaf for leaf in jax.tree.leaves((trained[0], evaluated[0])) if leaf.ndim == 2]
    assert {(leaf.shape, leaf.dtype) for leaf in logits} == {((2, 5), jnp.dtype(jnp.float32))}


@pytest.mark.parametrize(("name", "weights"), [("googlenet_tiny", (0.3, 0.3)), ("inception_tiny", (0.4,))])
def test_auxiliary_logits(name, weights):
    model = create_model(name, num_classes=7)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    outputs = []

    def initialise(images):
        output, variables = model.init_with_output(keys, images, train=True)
        outputs.append(output)
        return variables

    variables = jax.eval_shape(initialise, images)
    assert [head.shape for head in outputs[0].auxiliary] == [(2, 7)] * len(weights)
    assert outputs[0].weights == weights
    assert all(head.split("/")[0] in variables["params"] for head in model.heads)

    without = model.clone(auxiliary_heads=False)
    bare = jax.eval_shape(lambda images: without.init_with_output(keys, images, train=True), images)
    assert bare[0].shape == (2, 7)
    assert set(variables["params"]) - set(bare[1]["params"]) == {head.split("/")[0] for head in model.heads[1:]}


def test_googlenet_without_heads_has_the_published_parameters():
    rows = layer_table(create_model("googlenet", auxiliary_heads=False), (1, 224, 224, 3))
    assert sum(row.parameters for row in rows) == 6_624_904


@pytest.mark.parametrize("paper_kernels", [False, True])
def test_kernel_of_googlenets_third_branch(paper_kernels):
    rows = layer_table(create_model("googlenet_tiny", paper_kernels=paper_kernels), (1, 32, 32, 3))
    kernels = {row.variables["kernel"][:2] for row in rows if row.name.endswith("branch3_1/conv")}
    assert kernels == {(5, 5) if paper_kernels else (3, 3)}


def test_alexnet_in_two_towers_has_the_parameters_of_2012():
    # Caffe's reference network has that layout: 60,965,224 parameters.
    model = create_model("alexnet", two_towers=True, local_response_normalisation=True)
    rows = layer_table(model, (1, 227, 227, 3))
    assert sum(row.parameters for row in rows) == 60_965_224
    assert [row.output_shape[-1] for row in rows if row.kind == "Conv"] == [96, 256, 384, 384, 256]


def test_local_response_normalisation_divides_by_the_energy_of_five_channels():
    model = create_model("alexnet_tiny", num_classes=2, local_response_normalisation=True)
    images = 30 * jax.random.normal(jax.random.key(0), (1, 63, 63, 3))
    outputs = captured(model, images, ("features_1", "features_2"))
    a = np.asarray(outputs["features_1"])[0, :3, :3]
    normalised = np.empty_like(a)
    for i in range(a.shape[-1]):
        energy = (a[..., max(0, i - 2) : i + 3] ** 2).sum(axis=-1)
        normalised[..., i] = a[..., i] / (2 + 1e-4 * energy) ** 0.75
    assert energy.max() > 1e3
    np.testing.assert_allclose(outputs["features_2"][0, 0, 0], normalised.max(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("alexnet_tiny", "Dropout Dense ReLU Dropout Dense ReLU Dense"),
        ("vgg_tiny", "Dense ReLU Dropout Dense ReLU Dropout Dense"),
    ],
)
def test_dropout_stands_where_torchvision_has_it(name, order):
    rows = layer_table(create_model(name), (1, 64, 64, 3))
    classifier = [row for row in rows if row.name.startswith("classifier")]
    assert [row.name for row in classifier] == [f"classifier_{i}" for i in range(7)]
    assert " ".join(row.kind for row in classifier) == order


@pytest.mark.parametrize(("name", "first"), [("googlenet_tiny", "conv1"), ("inception_tiny", "Conv2d_1a_3x3")])
def test_transform_input_restores_the_range_of_the_published_weights(name, first):
    pixels = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    normalised = (pixels - jnp.array([0.485, 0.456, 0.406])) / jnp.array([0.229, 0.224, 0.225])
    expected = captured(create_model(name), (pixels - 0.5) / 0.5, (first,))
    found = captured(create_model(name, transform_input=True), normalised, (first,))
    np.testing.assert_allclose(found[first], expected[first], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "before"), [("resnet_tiny", "maxpool"), ("resnet_cifar_tiny", "relu")])
def test_residual_block_starts_as_the_identity_if_asked(name, before):
    images = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))
    for zero in (True, False):
        model = create_model(name, zero_init_residual=zero)
        outputs = captured(model, images, (before, "layer1_0"))
        assert np.array_equal(outputs[before], outputs["layer1_0"]) == zero


def test_cifar_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros():
    images = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))
    model = create_model("resnet_cifar_tiny", zero_init_residual=True)
    outputs = captured(model, images, ("layer1_0", "layer2_0"))
    np.testing.assert_array_equal(outputs["layer2_0"][..., :8], outputs["layer1_0"][:, ::2, ::2])
    assert outputs["layer2_0"].shape == (1, 8, 8, 16)
    assert not np.any(outputs["layer2_0"][..., 8:])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("alexnet", (96, 96)),
        ("alexnet", (63, 300)),
        ("googlenet_tiny", (15, 70)),
        ("inception_tiny", (1, 40)),
        ("resnet18", (97, 65)),
        ("resnet20", (33, 17)),
        ("vgg11", (64, 64)),
        ("vgg11", (32, 100)),
    ],
)
def test_other_sizes_of_images(name, size):
    assert evaluated_shape(create_model(name, num_classes=5), (2, *size, 3)) == (2, 5)


@pytest.mark.parametrize(
    ("name", "smallest"), [("alexnet", 63), ("googlenet", 15), ("inception_v3", 75), ("vgg11", 32), ("vgg16_bn", 32)]
)
def test_too_small_an_image_is_refused(name, smallest):
    found = f"{smallest + 9}x{smallest - 1}"
    with pytest.raises(InputError, match=rf"at least {smallest}x{smallest} pixels, got {re.escape(found)}"):
        evaluated_shape(create_model(name), (1, smallest + 9, smallest - 1, 3))


def test_inception_trains_its_head_on_the_published_size_and_below():
    model = create_model("inception_tiny", padding=0)
    assert evaluated_shape(model, (1, 75, 80, 3)) == (1, 1000)
    for size, pooled in [(299, (1, 5, 5, 96)), (224, (1, 5, 5, 96)), (331, (1, 5, 5, 96))]:
        rows = {row.name: row.output_shape for row in layer_table(model, (1, size, size, 3))}
        head = next(shape for name, shape in rows.items() if name.startswith("AuxLogits/") and "pool" in name.lower())
        assert head == pooled
