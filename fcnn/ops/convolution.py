"""Convolution over images, in the formulation that is fast on the backend at hand."""

from collections.abc import Sequence

from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.cpu.convolution import convolve, convolve_dilated
from fcnn.ops.sizes import Padding, explicit_padding
from fcnn.ops.target import current_target
from fcnn.ops.xla import xla_convolution

_NHWC_NUMBERS = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("NHWC", "HWIO", "NHWC"))


def conv2d(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w in_channel out_channel"],
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "VALID",
    *,
    dilation: tuple[int, int] = (1, 1),
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns the convolution (cross-correlation) of images with a kernel.

    On GPU and TPU this is XLA's convolution. On CPU some shapes are computed as matrix products instead, which give
    the same numbers up to rounding, several times faster in training and inside `lax.scan`.

    Args:
        x: images.
        kernel: weights.
        strides: step in pixels in height and in width.
        padding: "SAME", "VALID", or pixels of zeros (before, after) in height and in width.
        dilation: step between the pixels that the kernel sees, in height and in width.
        precision: as in `jax.lax.conv_general_dilated`.
    """
    seen = tuple(d * (k - 1) + 1 for k, d in zip(kernel.shape[:2], dilation, strict=True))
    pads = explicit_padding(x.shape[1:3], seen, strides, padding)
    cpu = current_target().cpu
    if cpu is None:
        return xla_convolution(x, kernel, strides, pads, precision, dilation)
    if tuple(dilation) != (1, 1):
        return convolve_dilated(x, kernel, strides, pads, dilation, precision, cpu)
    return convolve(x, kernel, strides, pads, precision, cpu)


def conv_general_dilated(lhs, rhs, window_strides, padding, **options):
    """Stands in for `jax.lax.conv_general_dilated` in `flax.linen.Conv`; what `conv2d` does not know goes to XLA."""
    precision, layout, dilation, *special = (
        options.get(name)
        for name in ("precision", "dimension_numbers", "rhs_dilation", "batch_group_count", "feature_group_count",
                     "lhs_dilation", "preferred_element_type")
    )  # fmt: skip
    is_plain = all(option in (None, 1) or (isinstance(option, Sequence) and set(option) == {1}) for option in special)
    if lhs.ndim == 4 and is_plain and lax.conv_dimension_numbers(lhs.shape, rhs.shape, layout) == _NHWC_NUMBERS:
        rows, columns = dilation or (1, 1)
        return conv2d(lhs, rhs, tuple(window_strides), padding, dilation=(rows, columns), precision=precision)
    return lax.conv_general_dilated(lhs, rhs, window_strides, padding, **options)
