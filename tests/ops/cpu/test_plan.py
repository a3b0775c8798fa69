"""What the plan chooses: by shapes and by what a CPU can do, whatever this machine is."""

import jax
import jax.numpy as jnp
import pytest

from fcnn.ops.cpu.choice import AS_DIFFERENTIATED, Choice, Convolution
from fcnn.ops.cpu.plan import (
    plan_batch_norm,
    plan_convolution,
    plan_convolution_with_pool,
    plan_dense,
    plan_max_pool,
)
from fcnn.ops.machine import Cpu

NO_PADDING = ((0, 0), (0, 0))
AVX2 = Cpu(has_ynnpack=False)
AVX512 = Cpu(has_avx512=True, has_ynnpack=False)
YNNPACK = Cpu(has_avx512=True)
ONEDNN = Cpu(has_avx512=True, has_onednn=True)
UNITS = Cpu(has_avx512=True, has_bfloat16_units=True)
FULL_SIZE = Convolution((3, 5, 5, 16), (5, 5, 16, 120), (1, 1), NO_PADDING, jnp.float32)


def square(size, channels, window, outputs, *, stride=1, batch=256, dtype=jnp.float32):
    """A convolution of square images whose padding keeps their size, up to the stride."""
    pads = ((window // 2, (window - 1) // 2),) * 2
    shapes = (batch, size, size, channels), (window, window, channels, outputs)
    return Convolution(*shapes, (stride, stride), pads, jnp.dtype(dtype))


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)


def test_gradients_to_kernels():
    def chosen(size, channels, window, cpu, stride=1, outputs=32, batch=256):
        convolution = square(size, channels, window, outputs, stride=stride, batch=batch)
        choice = plan_convolution(convolution, cpu).to_kernel
        return choice.name, choice.size

    assert "product" in chosen(32, 32, 3, AVX2)[0]
    assert "product" in chosen(32, 32, 3, AVX2, stride=2)[0]
    for stride in (1, 2):
        assert chosen(32, 32, 3, ONEDNN, stride=stride) == ("convolution in rows", 16)
    assert "product" in chosen(32, 3, 3, ONEDNN)[0]
    assert chosen(32, 32, 3, ONEDNN, batch=275) == ("convolution in rows", 11)
    assert chosen(32, 3, 3, AVX2, outputs=32, batch=300)[0].startswith("product")
    for cpu in (AVX512, YNNPACK):
        name, images = chosen(32, 32, 3, cpu, stride=2)
        assert (name, images) in [("convolution in rows", 8), ("convolution in rows", 16)]
        assert "product" in chosen(32, 32, 3, cpu, outputs=16)[0]
        # No odd number of images but a single one; few outputs of a stride as XLA does, except for few images.
        assert chosen(32, 32, 3, cpu, stride=2, batch=250)[1] in (2, 10)
        assert chosen(32, 32, 3, cpu, stride=2, batch=125)[1] == 1
        assert chosen(32, 96, 3, cpu, stride=2, outputs=16) == ("convolution", 256)
        assert chosen(32, 96, 3, cpu, stride=2, outputs=16, batch=2) != ("convolution", 2)


@pytest.mark.parametrize(
    ("kernel", "stride", "pays"),
    [
        ((11, 3, 64), 4, True),
        ((7, 3, 64), 2, True),
        ((16, 3, 768), 16, True),
        ((2, 128, 256), 2, True),
        ((5, 3, 384), 2, False),
        ((3, 64, 128), 2, False),
    ],
)
def test_gradients_to_images_as_sub_pixel_convolutions(kernel, stride, pays):
    window, channels, outputs = kernel
    chosen = plan_convolution(square(64, channels, window, outputs, stride=stride), YNNPACK).to_images.name
    assert (chosen == "sub-pixel convolution") == pays


@pytest.mark.parametrize(
    ("convolution", "cpu", "expected"),
    [
        (square(56, 64, 3, 64, batch=16), AVX2, True),
        (square(56, 64, 5, 64, batch=16), AVX2, False),
        (square(56, 64, 3, 64, batch=16, stride=2), AVX2, False),
        (square(56, 64, 3, 64, batch=16, dtype=jnp.bfloat16), AVX2, True),
        (square(56, 64, 3, 64, batch=16, dtype=jnp.float16), AVX2, False),
        (square(56, 3, 3, 640, batch=16), AVX2, False),
        (square(7, 512, 3, 512, batch=1), AVX2, False),
        (square(56, 64, 3, 64, batch=16), AVX512, False),
        (square(56, 64, 3, 128, batch=16), AVX512, True),
        (square(56, 64, 3, 128, batch=16), ONEDNN, True),
        (square(56, 64, 3, 128, batch=16, dtype=jnp.bfloat16), UNITS, False),
    ],
)
def test_where_winograds_products_pay(convolution, cpu, expected):
    assert (plan_convolution(convolution, cpu).output.name == "winograd") == expected


@pytest.mark.parametrize(
    ("convolution", "cpu", "output", "size"),
    [
        (square(32, 1, 5, 6), AVX512, "blocks of outputs", 4),
        (square(34, 1, 5, 6), AVX512, "blocks of outputs", 2),
        (square(32, 1, 5, 6), ONEDNN, "direct", None),
        (square(56, 256, 1, 64), AVX512, "product of pixels", None),
        (square(56, 256, 1, 64, stride=2), AVX512, "direct", None),
        (square(56, 64, 1, 256, stride=2), AVX512, "product of pixels", None),
        (square(12, 24, 3, 3), YNNPACK, "sum over places", None),
        (square(12, 24, 3, 3), AVX512, "direct", None),
        (square(9, 32, 3, 32, dtype=jnp.bfloat16), UNITS, "product of patches", None),
        (square(9, 32, 3, 32, dtype=jnp.bfloat16), YNNPACK, "direct", None),
        (square(12, 16, 3, 16), AVX512, "pairs of outputs", None),
        (square(11, 16, 3, 16), AVX512, "more channels", 20),
        (square(12, 16, 3, 16), AVX2, "more channels", 17),
        (square(12, 16, 3, 16), YNNPACK, "direct", None),
        (square(2, 512, 3, 512, batch=16), AVX512, "product of all patches", None),
        (square(2, 512, 3, 512, batch=16), ONEDNN, "product of all patches", None),
        (square(4, 256, 3, 512, batch=16, stride=2), AVX512, "product of all patches", None),
        (square(3, 512, 3, 512, batch=16), AVX512, "product of all patches", None),
        (square(7, 256, 3, 256, batch=16), AVX512, "direct", None),
        (square(12, 16, 3, 16, batch=0), AVX512, "xla", None),
        (FULL_SIZE, AVX512, "product of whole images", None),
        (Convolution((3, 9, 9, 32), (3, 3, 32, 32), (1, 1), ((-1, 0), (0, 0)), jnp.float32), AVX512, "xla", None),
    ],
)
def test_outputs(convolution, cpu, output, size):
    plan = plan_convolution(convolution, cpu)
    assert (plan.output.name, plan.output.size) == (output, size)
    assert all(choice.why for choice in plan)


def test_a_product_is_differentiated_by_jax_and_one_with_a_stride_too():
    assert plan_convolution(square(56, 256, 1, 64), AVX512)[1:] == (AS_DIFFERENTIATED, AS_DIFFERENTIATED)
    with_stride = plan_convolution(square(56, 256, 1, 64, stride=2), AVX512)
    assert with_stride.to_images.name == with_stride.to_kernel.name == "product of pixels"


@pytest.mark.parametrize(
    ("convolution", "to_images", "to_kernel"),
    [
        (square(7, 512, 3, 512, batch=1), True, True),
        (square(7, 512, 3, 512, batch=4), True, False),
        (square(7, 512, 3, 512, batch=32, stride=2), True, False),
        (square(4, 256, 3, 256, batch=16), True, False),
        (square(14, 256, 3, 256, batch=4), False, False),
        (square(14, 256, 3, 256, batch=16, stride=2), True, False),
        (square(3, 64, 3, 64, batch=1), False, False),
        (square(3, 512, 3, 512, batch=64), False, False),  # Winograd's
        (square(7, 512, 1, 512, batch=1), False, False),
    ],
)
@pytest.mark.parametrize("cpu", [AVX512, ONEDNN])
def test_gradients_of_large_kernels_to_few_pixels(convolution, to_images, to_kernel, cpu):
    plan = plan_convolution(convolution, cpu)
    assert (plan.to_images.name == "product of all patches") == to_images
    assert (plan.to_kernel.name == "product of all patches") == to_kernel


def test_other_layers():
    lenet = square(32, 1, 5, 6)
    assert plan_convolution_with_pool(lenet, 2)[::2] == ("product of windows", 4)
    assert plan_convolution_with_pool(square(15, 1, 5, 6), 2).name == "one after the other"
    assert plan_convolution_with_pool(square(32, 9, 5, 6), 2).name == "one after the other"
    assert plan_max_pool((2, 8, 8, 3), (2, 2), (2, 2), NO_PADDING).name == "first largest"
    assert plan_max_pool((2, 9, 8, 3), (2, 2), (2, 2), NO_PADDING).name == "columns, then rows"
    assert plan_max_pool((2, 1, 8, 3), (2, 2), (2, 2), NO_PADDING).name == "xla"
    assert plan_batch_norm((16, 32, 32, 16), jnp.float32) == plan_batch_norm((32, 32, 32, 16), jnp.bfloat16)
    assert plan_batch_norm((16, 32, 32, 16), jnp.float32).name == "own gradient"
    assert plan_batch_norm((15, 32, 32, 16), jnp.float32).name == "plain"
    by_rows = [plan_dense((rows, 8), jnp.bfloat16, jnp.float32, UNITS).name for rows in (128, 129)]
    assert by_rows == ["in the type of the weights", "in the type of the rows"]
    assert isinstance(plan_dense((129, 8), jnp.bfloat16, jnp.float32, AVX512), Choice)
    assert plan_dense((129, 8), jnp.bfloat16, jnp.float32, AVX512).name == "in the type of the weights"
