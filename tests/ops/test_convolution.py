from functools import partial
from unittest import mock

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

import fcnn
from fcnn import ops
from fcnn.machine import compilation
from fcnn.ops import machine
from fcnn.ops.cpu import kernel_convolution, plan


def stock(x, kernel, strides, padding):
    if not isinstance(padding, str):
        # XLA's own gradients, in JAX 0.10, are wrong or abort the process for some paddings: none for it.
        x, padding = jnp.pad(x, ((0, 0), *padding, (0, 0))), "VALID"
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def relative_error(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)


def assert_equals_stock(x_shape, kernel_shape, strides, padding, *, with_onednn=False):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal(x_shape), jnp.float32)
    kernel = jnp.asarray(random.standard_normal(kernel_shape), jnp.float32)
    shape = jax.eval_shape(lambda: stock(x, kernel, strides, padding)).shape
    cotangent = jnp.asarray(random.standard_normal(shape), jnp.float32)

    @fcnn.jit
    def forward_and_backward(x, kernel, cotangent):
        ours, back = jax.vjp(lambda x, k: ops.conv2d(x, k, strides, padding), x, kernel)
        theirs, stock_back = jax.vjp(lambda x, k: stock(x, k, strides, padding), x, kernel)
        return (ours, *back(cotangent)), (theirs, *stock_back(cotangent))

    with mock.patch.object(compilation, "has_onednn", return_value=with_onednn):
        both = forward_and_backward(x, kernel, cotangent)
    for found, expected in zip(*both, strict=True):
        assert found.shape == expected.shape
        assert relative_error(found, expected) <= 1e-5


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("size", "kernel"),
    [((32, 32, 1), (5, 5, 6)), ((14, 14, 6), (5, 5, 16)), ((5, 5, 16), (5, 5, 120)), ((16, 16, 3), (3, 3, 16))],
)
def test_shapes_of_lenet(batch, size, kernel):
    assert_equals_stock((batch, *size), (*kernel[:2], size[-1], kernel[-1]), (1, 1), "VALID")


@pytest.mark.parametrize("flags", [{"avx2"}, {"avx2", "avx512f"}, None])
@pytest.mark.parametrize("channels", [(14, 16), (16, 15), (16, 16)])
@pytest.mark.parametrize("width", [11, 12])
def test_shapes_that_xla_has_an_old_routine_for(width, channels, flags, monkeypatch):
    monkeypatch.setattr(machine, "cpu_flags", lambda *_: flags)
    assert_equals_stock((2, 9, width, channels[0]), (3, 5, *channels), (1, 1), "SAME")


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides", "padding"),
    [
        ((1, 1, 12, 20), (1, 7, 20, 20), (1, 1), ((3, 3), (3, 3))),
        ((3, 3, 1, 3), (2, 2, 3, 20), (2, 2), ((0, 1), (2, 0))),
        ((2, 5, 4, 24), (2, 3, 24, 20), (3, 3), ((4, 5), (0, 6))),
        ((2, 10, 3, 24), (2, 5, 24, 20), (2, 2), ((1, 1), (4, 4))),
    ],
)
@pytest.mark.parametrize("with_onednn", [False, True])
def test_padding_wider_than_the_kernel(x_shape, kernel_shape, strides, padding, with_onednn):
    # Where XLA's own gradient is wrong, or a convolution aborts the process.
    assert_equals_stock(x_shape, kernel_shape, strides, padding, with_onednn=with_onednn)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_shape(data):
    kernel = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 5), (7, 7), (11, 11), (3, 2), (1, 7)]))
    stride = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 2)]))
    padding = data.draw(st.sampled_from(["VALID", "SAME", ((1, 1), (1, 1)), ((0, 1), (2, 0)), ((3, 3), (3, 3))]))
    height, width = data.draw(st.integers(1, 16)), data.draw(st.integers(1, 16))
    if padding != "SAME":
        pads = ((0, 0), (0, 0)) if padding == "VALID" else padding
        assume(height + sum(pads[0]) >= kernel[0] and width + sum(pads[1]) >= kernel[1])
    in_channels = data.draw(st.sampled_from([1, 2, 3, 6, 16, 20]))
    out_channels = data.draw(st.sampled_from([1, 4, 6, 16, 20, 33]))
    x_shape = (data.draw(st.integers(1, 3)), height, width, in_channels)
    with_onednn = data.draw(st.booleans())
    kernel_shape = (*kernel, in_channels, out_channels)
    assert_equals_stock(x_shape, kernel_shape, stride, padding, with_onednn=with_onednn)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides"),
    [
        ((6, 40, 40, 24), (3, 3, 24, 24), (1, 1)),
        ((6, 64, 64, 16), (3, 3, 16, 32), (2, 2)),
        ((7, 48, 48, 40), (5, 3, 40, 24), (1, 1)),
    ],
)
@pytest.mark.parametrize("with_onednn", [False, True])
def test_kernel_gradients_that_go_through_a_batch_in_parts(x_shape, kernel_shape, strides, with_onednn):
    assert_equals_stock(x_shape, kernel_shape, strides, "SAME", with_onednn=with_onednn)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides"),
    [
        ((32, 16, 16, 16), (3, 3, 16, 16), (1, 1)),
        ((32, 17, 15, 6), (5, 5, 6, 16), (1, 1)),
        ((34, 21, 22, 3), (7, 7, 3, 40), (2, 2)),
        ((18, 32, 33, 3), (11, 11, 3, 24), (4, 4)),
        ((16, 9, 9, 20), (3, 3, 20, 36), (2, 1)),
        # The only output of a column sees nothing but padding.
        ((16, 5, 1, 4), (1, 2, 4, 8), (3, 3)),
        ((32, 33, 31, 20), (3, 3, 20, 20), (1, 1)),
    ],
)
def test_kernel_gradients_as_convolutions(x_shape, kernel_shape, strides):
    assert_equals_stock(x_shape, kernel_shape, strides, "SAME", with_onednn=True)

    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in (x_shape, kernel_shape))
    pads = [(window // 2, window // 2) for window in kernel_shape[:2]] if x_shape[2] > 1 else ((0, 0), (2, 0))
    cotangent = jnp.ones_like(stock(x, kernel, strides, pads)) * x[:, :1, :1, :1]

    @jax.jit
    def both(x, kernel, cotangent):
        options = {"kernel_shape": kernel_shape, "strides": strides, "pads": pads, "precision": None}
        found = [f(x, cotangent, **options) for f in (kernel_convolution.plain, kernel_convolution.in_rows)]
        return found, jax.vjp(lambda kernel: stock(x, kernel, strides, pads), kernel)[1](cotangent)[0]

    found, expected = both(x, kernel, cotangent)
    assert max(relative_error(gradient, expected) for gradient in found) < 1e-5


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "padding"),
    [
        ((2, 9, 12, 24), (3, 3, 24, 3), "SAME"),
        ((1, 11, 8, 3), (5, 5, 3, 40), ((2, 2), (1, 0))),
        ((3, 6, 7, 1), (2, 3, 1, 20), "VALID"),
        ((2, 5, 6, 20), (3, 2, 20, 2), ((4, 3), (0, 5))),
    ],
)
def test_few_channels_as_a_sum_over_places(x_shape, kernel_shape, padding, monkeypatch):
    # It is taken from JAX 0.12 on, and for fewer shapes, but right for all with stride 1.
    monkeypatch.setattr(plan, "_places_pay", lambda *_: True)
    assert_equals_stock(x_shape, kernel_shape, (1, 1), padding)


@pytest.mark.parametrize("with_onednn", [False, True])
@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides", "padding"),
    [
        ((3, 2, 2, 64), (3, 3, 64, 72), (1, 1), "SAME"),
        ((2, 4, 4, 64), (3, 3, 64, 64), (2, 2), ((1, 1), (1, 1))),
        ((2, 1, 1, 80), (3, 3, 80, 64), (1, 1), ((1, 1), (1, 1))),
        ((2, 3, 5, 64), (3, 3, 64, 64), (2, 3), ((1, 0), (1, 1))),
        ((1, 7, 9, 64), (5, 5, 64, 64), (2, 4), "VALID"),
        ((2, 6, 5, 128), (3, 3, 128, 130), (1, 1), "SAME"),
        ((3, 7, 8, 130), (3, 5, 130, 128), (2, 2), ((1, 1), (0, 2))),
        ((1, 3, 3, 512), (3, 3, 512, 512), (1, 1), "SAME"),
    ],
)
def test_outputs_of_few_pixels(x_shape, kernel_shape, strides, padding, with_onednn):
    assert_equals_stock(x_shape, kernel_shape, strides, padding, with_onednn=with_onednn)


def test_arrays_of_numpy_may_be_differentiated(random):
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in ((3, 48, 48, 24), (3, 3, 24, 24))]

    def gradients(conv):
        return jax.grad(lambda x, k: jnp.sum(conv(x, k, (1, 1), "SAME") ** 2), argnums=(0, 1))(*arrays)

    for found, expected in zip(gradients(ops.conv2d), gradients(stock), strict=True):
        assert relative_error(found, expected) <= 1e-5


def test_higher_derivatives_and_forward_mode(random):
    x = jnp.asarray(random.standard_normal((2, 8, 8, 2)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 3, 2, 4)), jnp.float32)

    def squares(conv):
        return lambda x, k: jnp.sum(jnp.tanh(conv(x, k, (1, 1), "SAME")))

    for transform in (jax.jacfwd, lambda f: jax.grad(lambda x, k: jnp.sum(jax.grad(f)(x, k) ** 2))):
        found, expected = (jax.jit(transform(squares(conv)))(x, kernel) for conv in (ops.conv2d, stock))
        assert relative_error(found, expected) <= 1e-5


def test_vmap_and_scan_give_the_same(random):
    x = jnp.asarray(random.standard_normal((3, 2, 32, 32, 1)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((5, 5, 1, 6)), jnp.float32)
    each = jnp.stack([ops.conv2d(one, kernel) for one in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda one: ops.conv2d(one, kernel)))(x), each, atol=1e-4)
    scanned = jax.lax.scan(lambda carry, one: (carry, ops.conv2d(one, kernel)), 0, x)[1]
    np.testing.assert_allclose(scanned, each, atol=1e-4)


def test_the_layer_is_a_drop_in(key, random):
    x = jnp.asarray(random.standard_normal((2, 15, 15, 4)), jnp.float32)
    for options in (
        {"features": 6, "kernel_size": (5, 5)},
        {"features": 6, "kernel_size": (3, 3), "strides": 2, "padding": 1, "use_bias": False},
        {"features": 8, "kernel_size": (3, 3), "feature_group_count": 2},
        {"features": 6, "kernel_size": (3, 3), "kernel_dilation": 2},
        {"features": 6, "kernel_size": (3, 3), "padding": "CIRCULAR"},
    ):
        expected, variables = jax.jit(nn.Conv(**options).init_with_output)(key, x)
        found, ours = jax.jit(fcnn.models.Conv(**options).init_with_output)(key, x)
        assert relative_error(found, expected) <= 1e-5
        # What is fused with the drawing of a kernel may decide its last bit.
        assert jax.tree.all(jax.tree.map(partial(np.allclose, rtol=1e-6), ours, variables))
    one_dimensional = {"features": 6, "kernel_size": (3,)}
    line = x[:, 0]
    expected = jax.jit(nn.Conv(**one_dimensional).init_with_output)(key, line)
    found = jax.jit(fcnn.models.Conv(**one_dimensional).init_with_output)(key, line)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides"),
    [
        ((16, 32, 32, 1), (5, 5, 1, 6), (1, 1)),
        ((16, 40, 40, 24), (3, 3, 24, 24), (1, 1)),
        ((16, 9, 9, 8), (3, 3, 8, 8), (2, 2)),
    ],
)
def test_the_whole_batch_is_split_over_devices(x_shape, kernel_shape, strides, random):
    mesh = fcnn.make_mesh()
    x, kernel = (random.standard_normal(shape).astype(np.float32) for shape in (x_shape, kernel_shape))
    gradients = jax.jit(jax.grad(lambda k, x: jnp.sum(ops.conv2d(x, k, strides) ** 2), argnums=(0, 1)))
    whole = gradients(kernel, x)
    split = gradients(kernel, fcnn.parallel.shard_batch(mesh, x))
    for found, expected in zip(split, whole, strict=True):
        assert relative_error(found, expected) <= 1e-5


SHAPES = [((2, 12, 12, 1), (5, 5, 1, 4), (1, 1)), ((2, 11, 11, 20), (3, 3, 20, 20), (2, 2))]


def loss_of(conv, strides):
    return lambda x, kernel: jnp.sum(jnp.tanh(conv(x, kernel, strides, "VALID")))


@pytest.mark.parametrize(("x_shape", "kernel_shape", "strides"), SHAPES)
def test_computed_again_instead_of_kept(x_shape, kernel_shape, strides, random):
    x, kernel = (random.standard_normal(shape).astype(np.float32) for shape in (x_shape, kernel_shape))
    found = jax.jit(jax.grad(jax.checkpoint(loss_of(ops.conv2d, strides)), argnums=(0, 1)))(x, kernel)
    expected = jax.jit(jax.grad(loss_of(stock, strides), argnums=(0, 1)))(x, kernel)
    assert relative_error(found[0], expected[0]) <= 1e-5
    assert relative_error(found[1], expected[1]) <= 1e-5


@pytest.mark.parametrize(("x_shape", "kernel_shape", "strides"), SHAPES)
def test_exported_for_cpu_and_gpu_with_its_gradient(x_shape, kernel_shape, strides, random):
    x, kernel = (random.standard_normal(shape).astype(np.float32) for shape in (x_shape, kernel_shape))
    program = jax.export.export(jax.jit(loss_of(ops.conv2d, strides)), platforms=("cpu", "cuda"))(x, kernel)
    np.testing.assert_allclose(program.call(x, kernel), loss_of(stock, strides)(x, kernel), rtol=1e-5)
    found = jax.grad(program.call, argnums=1)(x, kernel)
    assert relative_error(found, jax.grad(loss_of(stock, strides), argnums=1)(x, kernel)) <= 1e-5


@pytest.mark.parametrize("with_onednn", [False, True])
def test_lenet_learns_as_with_the_layers_of_flax(digits, with_onednn, monkeypatch):
    monkeypatch.setattr(compilation, "has_onednn", lambda: with_onednn)

    class Stock(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
            for name, features in (("c1", 6), ("c3", 16)):
                x = nn.relu(nn.Conv(features, (5, 5), padding="VALID", name=name)(x))
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.relu(nn.Conv(120, (5, 5), padding="VALID", name="c5")(x)).reshape(len(x), -1)
            return nn.Dense(10, name="output")(nn.relu(nn.Dense(84, name="f6")(x)))

    tx = fcnn.make_optimizer("sgd", 0.05)
    variables = jax.jit(fcnn.create_model("lenet").init, static_argnames="train")(
        jax.random.key(0), jnp.zeros((1, 28, 28, 1)), train=False
    )
    images = digits.images.astype(np.float32) / 255
    curves = []
    for model in (fcnn.create_model("lenet"), Stock()):
        state = fcnn.create_state(model, tx, key=jax.random.key(1), input_shape=(1, 28, 28, 1), variables=variables)
        step = fcnn.make_train_step(model, tx)
        losses = []
        for start in range(0, 640, 32):
            batch = {"image": images[start : start + 32], "label": digits.labels[start : start + 32]}
            state, metrics = step(state, batch)
            losses.append(float(metrics["loss"]) / 32)
        curves.append(losses)
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides"),
    [
        ((2, 3, 3, 3), (5, 5, 3, 20), (1, 1)),
        ((2, 2, 2, 1), (5, 5, 1, 4), (1, 1)),
        ((2, 4, 9, 20), (5, 5, 20, 20), (2, 2)),
    ],
)
def test_images_smaller_than_the_kernel_have_no_output(x_shape, kernel_shape, strides):
    x, kernel = jnp.ones(x_shape), jnp.ones(kernel_shape)
    assert ops.conv2d(x, kernel, strides).shape == stock(x, kernel, strides, "VALID").shape
    for gradient in jax.grad(lambda x, kernel: ops.conv2d(x, kernel, strides).sum(), (0, 1))(x, kernel):
        assert not gradient.any()


@pytest.mark.parametrize(
    "options",
    [
        {"preferred_element_type": jnp.float32},
        {"batch_group_count": 2},
        {"lhs_dilation": None, "rhs_dilation": (2, 1)},
        {"lhs_dilation": (1, 1), "dimension_numbers": ("NCHW", "OIHW", "NCHW")},
    ],
)
def test_stands_in_for_xlas_own(options, random):
    x = jnp.asarray(random.standard_normal((4, 8, 8, 8)), jnp.bfloat16)
    kernel = jnp.asarray(random.standard_normal((3, 3, 8, 8)), jnp.bfloat16)
    if "NCHW" in options.get("dimension_numbers", ()):
        kernel = kernel.transpose(3, 2, 0, 1)
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")} | options
    found, expected = (
        conv(x, kernel, (1, 1), "VALID", **options) for conv in (ops.conv_general_dilated, lax.conv_general_dilated)
    )
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape"),
    [((16, 9, 9, 8), (3, 3, 8, 24)), ((16, 9, 9, 8), (1, 1, 8, 24)), ((24, 48, 48, 24), (3, 3, 24, 24))],
)
def test_gradients_of_a_kernel_that_all_devices_hold(x_shape, kernel_shape, random):
    mesh, split = fcnn.make_mesh(), jax.sharding.PartitionSpec("data")
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in (x_shape, kernel_shape))

    def gradient(conv):
        mapped = jax.shard_map(
            lambda x, kernel: conv(x, kernel, (1, 1), "SAME"),
            mesh=mesh, in_specs=(split, jax.sharding.PartitionSpec()), out_specs=split,
        )  # fmt: skip
        return jax.jit(jax.grad(lambda kernel: (mapped(x, kernel) ** 2).sum()))(kernel)

    assert relative_error(gradient(ops.conv2d), gradient(stock)) <= 1e-5
