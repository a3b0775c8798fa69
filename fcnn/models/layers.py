"""The layers that the networks are made of, on top of `fcnn.ops`."""

from collections.abc import Callable

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.errors import unknown_name

# The Gaussian with variance 2 / fan_in of He et al. 2015, "Delving Deep into Rectifiers", eq. 10;
# jax's own he_normal is a truncated one.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")

ACTIVATIONS = {"relu": nn.relu, "sigmoid": nn.sigmoid, "tanh": nn.tanh}


class Conv(nn.Conv):
    """`flax.linen.Conv`, computed by `fcnn.ops`: the same arguments, parameters and results."""

    conv_general_dilated: Callable | None = ops.conv_general_dilated


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


def batch_norm(name: str, *, train: bool, epsilon: float = 1e-5, dtype: DTypeLike | None = None) -> nn.BatchNorm:
    """Returns batch normalisation with the conventions of the field.

    In training it normalises by the statistics of the batch and moves the running ones a tenth of the way; otherwise
    it normalises by the running ones (Ioffe and Szegedy 2015, algorithms 1 and 2).

    Args:
        name: the layer's name.
        train: whether the statistics of the batch are used.
        epsilon: what is added to the variance.
        dtype: the type of the result.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=epsilon,
        dtype=dtype,
        # The mean of squares less the square of the mean loses digits where the mean is large against the deviation.
        use_fast_variance=False,
        name=name,
    )


def activation_named(name: str) -> Callable:
    """Returns the activation function of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
