"""Convolution over images, in the formulation that is fast on the backend at hand."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from fcnn.ops import bfloat16, direct, gradients, onednn, products, winograd
from fcnn.ops.dilation import convolve_phases
from fcnn.ops.transposition import derivative_of

Padding = str | Sequence[tuple[int, int]]

_NHWC = ("NHWC", "HWIO", "NHWC")
# With so many outputs, a copy of the pixels that a stride does not step over pays for a product.
_COPY_OUTPUTS = 128
_NHWC_NUMBERS = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, _NHWC)


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

    options = {"strides": strides, "pads": pads, "precision": precision}
    default = partial(xla_convolution, dilation=dilation, **options)
    if tuple(dilation) == (1, 1):
        formulation = _formulation_on_cpu(x.shape, kernel.shape, strides, pads, x.dtype)
    else:
        formulation = _dilated_formulation_on_cpu(x.shape, seen, strides, pads, dilation)
    if formulation is None:
        return default(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=partial(formulation, **options), default=default)


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


def explicit_padding(
    size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding
) -> tuple[tuple[int, int], ...]:
    """Returns the pixels (before, after) that a padding means, in height and in width."""
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, window, strides, padding)
    return tuple((int(low), int(high)) for low, high in padding)


def sizes_are_known(*shapes: Sequence[Any]) -> bool:
    """Returns whether all sizes are numbers of at least 1: `jax.export` has symbols for those that are open.

    Where one is not, XLA's own operations are taken, which need no comparison of sizes.
    """
    return all(isinstance(size, int) and size > 0 for shape in shapes for size in shape)


def xla_convolution(x, kernel, strides, pads, precision, dilation=(1, 1)):
    """Computes a convolution as XLA does; arguments as those of `conv2d`."""
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilation, dimension_numbers=_NHWC, precision=precision
    )


def _dilated_formulation_on_cpu(x_shape, seen, strides, pads, dilation):
    """Returns the formulation of a dilated convolution that pays on CPU, or None for XLA's own.

    XLA's takes half as long again for the output, and twice as long in training.
    """
    if not sizes_are_known(x_shape) or strides != (1, 1) or any(low < 0 or high < 0 for low, high in pads):
        return None
    if any(size + low + high < k for size, k, (low, high) in zip(x_shape[1:3], seen, pads, strict=True)):
        return None

    def of_phases(x, kernel, strides, pads, precision):
        def convolve(x, pads):
            formulation = _formulation_on_cpu(x.shape, kernel.shape, strides, pads, x.dtype) or xla_convolution
            return formulation(x, kernel, strides=strides, pads=tuple(pads), precision=precision)

        return convolve_phases(x, kernel.shape[:2], dilation, pads, convolve)

    return of_phases


def _formulation_on_cpu(x_shape, kernel_shape, strides, pads, dtype):
    """Returns the formulation that pays for a shape on CPU, or None for XLA's own.

    Measured in experiments/benchmarks/convolution.py. XLA's forward convolution is near what the machine can do, save
    with few channels, where products of output blocks are 2 to 4 times as fast in training, and with many, where
    Winograd's needs fewer operations. Its gradient to the kernel is 2 to 10 times slower than the sum of shifted
    products.
    """
    if not sizes_are_known(x_shape, kernel_shape):
        return None
    rows, columns, in_channels, out_channels = kernel_shape
    padded = tuple(size + low + high for size, (low, high) in zip(x_shape[1:3], pads, strict=True))
    if padded[0] < rows or padded[1] < columns or any(low < 0 or high < 0 for low, high in pads):
        return None
    if padded == (rows, columns):
        return _in_float32(products.full_size_product)
    is_product = max(in_channels, out_channels) > 16 or strides != (1, 1)
    if (rows, columns) == (1, 1) and is_product and not bfloat16.pays(kernel_shape, dtype):
        copy_pays = strides == (1, 1) or out_channels > _COPY_OUTPUTS
        return _in_float32(products.pointwise_product if copy_pays else _strided_pointwise_convolution)
    is_narrow = in_channels <= 8 and out_channels <= 16
    if is_narrow and strides == (1, 1) and rows * columns >= 9 and not onednn.is_on_offer():
        for block in (4, 2) if in_channels == 1 else (2,):
            if all((size - window + 1) % block == 0 for size, window in zip(padded, (rows, columns), strict=True)):
                return _in_float32(partial(_product_of_output_blocks, block))
    return _convolution_with_own_gradients


def _in_float32(product):
    def convolution(x, kernel, **options):
        return bfloat16.in_float32(partial(product, **options))(x, kernel)

    return convolution


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _convolution_with_own_gradients(x, kernel, strides, pads, precision):
    """Computes XLA's convolution, or Winograd's, whose gradients are computed another way.

    They are derivatives like any other: forward mode and higher derivatives go through the same formulas.
    """
    if products.places_pay(kernel.shape, strides, x.dtype):
        return products.sum_over_places(x, kernel, pads, precision)
    if not onednn.take(kernel.shape) and bfloat16.pays(kernel.shape, x.dtype):
        return bfloat16.convolution(x, kernel, strides, pads, precision)
    if winograd.pays(x.shape, kernel.shape, strides, pads, x.dtype):
        return winograd.convolution(x, kernel, pads, precision)
    return direct.convolution(x, kernel, strides, pads, precision)


def _tangent(strides, pads, precision, primals, tangents):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    out = _convolution_with_own_gradients(x, kernel, strides, pads, precision)

    def input_gradient(out_gradient):
        return gradients.input_gradient(out_gradient, kernel, x.shape, strides, pads, precision)

    def kernel_gradient(out_gradient):
        gradient = gradients.kernel_gradient(x, out_gradient, kernel.shape, strides, pads, precision)
        return gradient.astype(kernel.dtype)

    # What does not vary, such as the images of a first layer, costs nothing.
    return out, sum(
        derivative_of(gradient, out, tangent)
        for gradient, tangent in ((input_gradient, x_tangent), (kernel_gradient, kernel_tangent))
        if not isinstance(tangent, SymbolicZero)
    )


_convolution_with_own_gradients.defjvp(_tangent, symbolic_zeros=True)


@partial(jax.custom_jvp, nondiff_argnums=(0, 3, 4, 5))
def _product_of_output_blocks(block, x, kernel, strides, pads, precision):
    """Computes the product, whose gradient to the kernel is computed another way."""
    return products.product_of_output_blocks(block, x, kernel, strides, pads, precision)


def _tangent_of_product(block, strides, pads, precision, primals, tangents):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    options = strides, pads, precision
    out = _product_of_output_blocks(block, x, kernel, *options)

    def kernel_gradient(out_gradient):
        return gradients.kernel_gradient(x, out_gradient, kernel.shape, *options)

    tangent = jnp.zeros_like(out)
    if not isinstance(x_tangent, SymbolicZero):
        tangent += _product_of_output_blocks(block, x_tangent, kernel, *options)
    if not isinstance(kernel_tangent, SymbolicZero):
        tangent += derivative_of(kernel_gradient, out, kernel_tangent)
    return out, tangent


_product_of_output_blocks.defjvp(_tangent_of_product, symbolic_zeros=True)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _strided_pointwise_convolution(x, kernel, strides, pads, precision):
    """Computes XLA's convolution, which copies no pixels, with the gradients of the product."""
    return direct.convolution(x, kernel, strides, pads, precision)


def _tangent_of_strided_pointwise(strides, pads, precision, primals, tangents):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    out = _strided_pointwise_convolution(x, kernel, strides, pads, precision)
    return out, sum(
        products.pointwise_product(*operands, strides, pads, precision)
        for operands, tangent in (((x_tangent, kernel), x_tangent), ((x, kernel_tangent), kernel_tangent))
        if not isinstance(tangent, SymbolicZero)
    )


_strided_pointwise_convolution.defjvp(_tangent_of_strided_pointwise, symbolic_zeros=True)
