"""The layers that the networks are made of, on top of `fcnn.ops`."""

from collections.abc import Callable
from typing import Any, no_type_check

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.errors import InputError, unknown_name

ACTIVATIONS = {"relu": ops.relu, "sigmoid": nn.sigmoid, "tanh": nn.tanh}


@no_type_check  # flax's own annotations cannot be checked at run time
class Conv(nn.Conv):
    """`flax.linen.Conv`, computed by `fcnn.ops`: the same arguments, parameters and results."""

    conv_general_dilated: Callable | None = ops.conv_general_dilated


def _promoted_but_kernel(x, kernel, bias, *, dtype=None):
    x, _, bias = promote_dtype(x, kernel, bias, dtype=dtype)
    return x, jnp.asarray(kernel), bias


@no_type_check
class Dense(nn.Dense):
    """`flax.linen.Dense`, computed by `fcnn.ops`: the same arguments, parameters and results, up to rounding."""

    promote_dtype: Callable = _promoted_but_kernel
    dot_general: Callable | None = lambda x, kernel, _, precision: ops.dense(x, kernel, precision=precision)


class PooledConv(nn.Module):
    """A convolution, a maximum over windows, and an activation, computed together by `fcnn.ops`.

    The parameters are those of a `Conv` with this name, so that a network may take one layer for the other.

    Attributes:
        features: number of output channels.
        kernel_size: height and width of the kernels.
        window: height and width of the windows, and the step between them.
        activation: a function that does not fall anywhere.
        padding: as in `fcnn.ops.conv2d`.
        kernel_init: initializer of the kernels.
        dtype: type of the computation.
    """

    features: int
    kernel_size: tuple[int, int]
    window: int
    activation: Callable[[Array], Array]
    padding: ops.Padding = "VALID"
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w features"]:
        """Returns the activations after the pooling."""
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return ops.conv2d_max_pool(x, kernel, bias, self.activation, self.window, self.padding)


class MaxPool(nn.Module):
    """Max-pooling as a layer, so that it has a name in a summary and among the features."""

    window: tuple[int, int]
    strides: tuple[int, int] | None = None
    padding: ops.Padding = ((0, 0), (0, 0))
    ceil_mode: bool = False

    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w channel"]:
        """Returns the maximum of each window."""
        return ops.max_pool(x, self.window, self.strides, self.padding, ceil_mode=self.ceil_mode)


class AvgPool(nn.Module):
    """Average pooling as a layer; padding counts as zeros."""

    window: tuple[int, int]
    strides: tuple[int, int] | None = None
    padding: ops.Padding = ((0, 0), (0, 0))

    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w channel"]:
        """Returns the mean of each window."""
        return ops.avg_pool(x, self.window, self.strides, self.padding)


class AdaptiveAvgPool(nn.Module):
    """Average pooling to a grid of a given size, whatever the image's: (1, 1) is the mean over the whole image."""

    output_size: tuple[int, int] = (1, 1)

    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w channel"]:
        """Returns the mean of each bin of the grid."""
        return ops.adaptive_avg_pool(x, self.output_size)


class ReLU(nn.Module):
    """Rectification as a layer, so that it has a name among the features."""

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Returns the positive part."""
        return ops.relu(x)


class BatchNorm(nn.Module):
    """`flax.linen.BatchNorm` over all axes but the last, computed by `fcnn.ops`: the same parameters and statistics.

    In training it normalises by the statistics of the batch and moves the running ones a tenth of the way; otherwise
    it normalises by the running ones (Ioffe and Szegedy 2015, algorithms 1 and 2).

    Attributes:
        use_running_average: whether it normalises by the running statistics.
        epsilon: what is added to the variance.
        momentum: share of the running statistics that stays with each batch; a tenth moves by default.
        scale_init: initializer of the scale.
        dtype: the type of the result.
    """

    use_running_average: bool
    epsilon: float = 1e-5
    momentum: float = 0.9
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channel"]) -> Float[Array, "*batch channel"]:
        """Returns the normalised values."""
        channels = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        variance = self.variable("batch_stats", "var", jnp.ones, channels)
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        if self.use_running_average:
            out = (x - mean.value) * (lax.rsqrt(variance.value + self.epsilon) * scale) + bias
        else:
            out, *batch_statistics = ops.batch_norm(x, scale, bias, self.epsilon)
            if not self.is_initializing():
                for running, new in zip((mean, variance), batch_statistics, strict=True):
                    running.value = self.momentum * running.value + (1 - self.momentum) * new
        return out.astype(self.dtype or x.dtype)


def batch_norm(name: str, *, train: bool, **options: Any) -> BatchNorm:
    """Returns batch normalisation by name, as it is in training or in evaluation; options as of `BatchNorm`."""
    return BatchNorm(use_running_average=not train, name=name, **options)


def activation_named(name: str) -> Callable:
    """Returns the activation function of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def check_image_size(network: str, images: Float[Array, "batch height width channel"], smallest: int) -> None:
    """Refuses images that the network would pool away to nothing.

    Args:
        network: what to call the network in the message.
        images: what it was given.
        smallest: the height and width in pixels that it needs.

    Raises:
        InputError: if the images are smaller.
    """
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise InputError(
            f"{network} takes images of at least {smallest}x{smallest} pixels, got {height}x{width}: "
            "resize them, or take another network"
        )
