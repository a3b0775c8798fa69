"""A convolution, a maximum over windows, a bias and an activation in one: the layers C1 to S4 of LeNet."""

from collections.abc import Callable
from functools import partial

from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.convolution import conv2d
from fcnn.ops.cpu.choice import Convolution
from fcnn.ops.cpu.plan import plan_convolution_with_pool
from fcnn.ops.cpu.pooled_convolution import pooled_product
from fcnn.ops.cpu.widening import in_float32
from fcnn.ops.pooling import max_pool
from fcnn.ops.sizes import Padding, explicit_padding
from fcnn.ops.target import current_target


def conv2d_max_pool(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w in_channel out_channel"],
    bias: Float[Array, " out_channel"],
    activation: Callable[[Array], Array],
    window: int,
    padding: Padding = "VALID",
    *,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns `activation(max_pool(conv2d(x, kernel)) + bias)`, with stride 1 and windows that do not overlap.

    A maximum gives the same before a bias and a monotone activation as after them, to the last bit, and leaves less to
    compute. On CPU, with few channels, the windows are in the rows of the matrix product that computes the convolution,
    and the images in its columns, which makes all that follows operations on long rows.

    Args:
        x: images.
        kernel: weights.
        bias: added to each channel.
        activation: a function that does not fall anywhere, applied to each value.
        window: height and width of the windows, and the step between them.
        padding: "SAME", "VALID", or pixels of zeros (before, after) in height and in width.
        precision: as in `jax.lax.conv_general_dilated`.
    """
    pads = explicit_padding(x.shape[1:3], kernel.shape[:2], (1, 1), padding)
    if current_target().cpu is not None:
        choice = plan_convolution_with_pool(Convolution(x.shape, kernel.shape, (1, 1), pads, x.dtype), window)
        if choice.name == "product of windows":
            options = {"block": choice.size, "window": window, "pads": pads, "precision": precision}
            return in_float32(partial(pooled_product, activation=activation, **options))(x, kernel, bias)
    out = max_pool(conv2d(x, kernel, (1, 1), pads, precision=precision), (window, window))
    return activation(out + bias)
