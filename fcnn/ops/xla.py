"""XLA's own convolution and pooling: what every platform has, and GPUs and TPUs are fastest with."""

import jax.numpy as jnp
from jax import lax

_NHWC = ("NHWC", "HWIO", "NHWC")


def xla_convolution(x, kernel, strides, pads, precision, dilation=(1, 1)):
    """Computes a convolution as XLA does; arguments as those of `fcnn.ops.conv2d`."""
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilation, dimension_numbers=_NHWC, precision=precision
    )


def xla_max_pool(x, window, strides, padding):
    """Computes the maximum over windows as XLA does; arguments as those of `fcnn.ops.max_pool`, padding in pixels."""
    pads = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)
