"""What a training step is for a GPU, seen from a machine without one: no branches, and no more than stock Flax's."""

import re
import time
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import fcnn
from fcnn import ops
from fcnn.models import layers, task_of

# One of each kind; networks of a kind differ in the number of their layers.
NETWORKS = (
    "alexnet",
    "fcn2s_small",
    "fcn8s_vgg16",
    "fcn_resnet50",
    "googlenet",
    "inception_v3",
    "lenet",
    "mlp",
    "resnet18",
    "resnet20",
    "resnet50",
    "vgg11",
    "vgg16_bn",
)
SIZES = {"lenet": (32, 32, 1), "mlp": (28, 28, 1), "resnet20": (32, 32, 3), "inception_v3": (299, 299, 3)}


class StockBatchNorm(nn.Module):
    """Batch normalisation by Flax, called as ours."""

    use_running_average: bool
    epsilon: float = 1e-5
    momentum: float = 0.9
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x):
        """Returns the normalised values."""
        options = {"momentum": self.momentum, "epsilon": self.epsilon, "dtype": self.dtype}
        return nn.BatchNorm(self.use_running_average, scale_init=self.scale_init, **options)(x)


def stock_pool(x, window, strides=None, padding=((0, 0), (0, 0)), *, ceil_mode=False):
    return nn.max_pool(x, window, strides or window, padding)


def stock_pooled_convolution(x, kernel, bias, activation, window, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    out = lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=numbers)
    return activation(nn.max_pool(out, (window, window), (window, window)) + bias)


def step_for_a_gpu(name, batch_size=2):
    """Returns the training step of a network, and what it is lowered for."""
    height, width, channels = SIZES.get(name, (96, 96, 3))
    shape = (batch_size, height, width, channels)
    model, tx = fcnn.create_model(name, num_classes=10), fcnn.make_optimizer("sgd", 0.1)
    is_dense = task_of(name) == "segmentation"
    task = fcnn.tasks.segmentation(num_classes=10) if is_dense else fcnn.tasks.classification()
    key = jax.random.key(0)
    state = jax.eval_shape(partial(fcnn.create_state, model, tx, input_shape=shape), key=key)
    batch = {
        "image": jax.ShapeDtypeStruct(shape, np.uint8),
        "label": jax.ShapeDtypeStruct(shape[:3] if is_dense else shape[:1], np.int32),
    }
    return fcnn.make_train_step(model, tx, task=task, platform="gpu"), (state, batch)


@pytest.fixture
def stock(monkeypatch):
    """Puts stock Flax's layers in the place of ours."""

    def put():
        for owner in (ops, layers.ops):
            monkeypatch.setattr(owner, "relu", nn.relu)
            monkeypatch.setattr(owner, "max_pool", stock_pool)
            monkeypatch.setattr(owner, "conv2d_max_pool", stock_pooled_convolution)
        monkeypatch.setattr(layers.Conv, "conv_general_dilated", None)
        monkeypatch.setattr(layers.Dense, "dot_general", None)
        monkeypatch.setattr(layers.Dense, "promote_dtype", staticmethod(nn.dtypes.promote_dtype))
        monkeypatch.setattr(layers.BatchNorm, "__call__", nn.compact(lambda self, x: StockBatchNorm(
            self.use_running_average, self.epsilon, self.momentum, self.scale_init, self.dtype)(x)))  # fmt: skip

    return put


def operations(lowered):
    return re.findall(r"stablehlo\.(\w+)", lowered.as_text())


@pytest.mark.parametrize("name", NETWORKS)
def test_no_branch_and_no_more_operations_than_stock_layers(name, stock):
    step, arguments = step_for_a_gpu(name)
    ours = operations(step.lower(*arguments))
    assert "case" not in ours
    assert "custom_call" not in ours
    stock()
    step, arguments = step_for_a_gpu(name)
    theirs = operations(step.lower(*arguments))
    assert theirs.count("convolution") == ours.count("convolution")
    assert len(ours) <= len(theirs)


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_tracing_takes_as_long_as_that_of_stock_layers(name, stock):
    def seconds():
        step, arguments = step_for_a_gpu(name)
        start = time.process_time()
        step.trace(*arguments)
        return time.process_time() - start

    seconds()
    ours = min(seconds() for _ in range(4))
    stock()
    theirs = min(seconds() for _ in range(4))
    assert ours <= 1.3 * theirs


def test_a_step_for_another_platform_does_not_change_those_for_this_one():
    step, (state, batch) = step_for_a_gpu("resnet_tiny")
    step.lower(state, batch)
    model, tx = fcnn.create_model("resnet_tiny", num_classes=10), fcnn.make_optimizer("sgd", 0.1)
    here = fcnn.make_train_step(model, tx)
    assert "optimization_barrier" in operations(here.lower(state, batch))
    assert operations(here.lower(state, batch)) != operations(step.lower(state, batch))
