"""A convolution on a CPU, as the plan says, with gradients that the plan chooses too."""

from functools import partial

import jax
from jax.custom_derivatives import SymbolicZero

from fcnn.ops.cpu import (
    blocks,
    direct,
    kernel_convolution,
    kernel_products,
    patches,
    products,
    products_in_bfloat16,
    winograd,
)
from fcnn.ops.cpu.choice import AS_DIFFERENTIATED, XLA, Convolution
from fcnn.ops.cpu.phases import convolve_phases
from fcnn.ops.cpu.plan import gradient_to_images, plan_convolution, plan_dilated, plan_output
from fcnn.ops.cpu.widening import in_float32
from fcnn.ops.sub_pixel import sub_pixel_convolution
from fcnn.ops.transposition import derivative_of
from fcnn.ops.xla import xla_convolution

# Each takes images, a kernel, strides, pads and a precision; those of the second table a number before them.
_OUTPUTS = {
    XLA: xla_convolution,
    "direct": direct.convolution,
    "pairs of outputs": direct.in_pairs_of_outputs,
    "product of all patches": patches.all_at_once,
    "product of patches": patches.convolution,
    "product of pixels": products.pointwise_product,
    "product of whole images": products.full_size_product,
    "sum over places": products.sum_over_places,
    "winograd": winograd.convolution,
}
_OUTPUTS_OF_A_SIZE = {
    "blocks of outputs": products.product_of_output_blocks,
    "more channels": direct.with_more_channels,
}
# Each takes images and the gradient to the output, and by name the kernel's shape, strides, pads and a precision.
_TO_KERNEL = {
    "convolution": kernel_convolution.plain,
    "convolution in rows": kernel_convolution.in_rows,
    "product of patches": kernel_products.of_patches,
    "product of rows of pixels": kernel_products.of_rows_of_pixels,
    "product of shifted rows and columns": kernel_products.of_shifted_rows_and_columns,
    "products in bfloat16": products_in_bfloat16.kernel_gradient,
    "winograd": winograd.kernel_gradient,
}
# Of these as gradients, it is the derivative.
_DIFFERENTIATED = {"product of all patches", "product of pixels"}
# These move and compare more than they multiply.
_IN_FLOAT32 = {"blocks of outputs", "product of pixels", "product of whole images"}


def convolve(x, kernel, strides, pads, precision, cpu):
    """Computes a convolution; arguments as those of `fcnn.ops.conv2d`, and what the CPU can do."""
    plan = plan_convolution(Convolution(x.shape, kernel.shape, strides, pads, x.dtype), cpu)
    if x.dtype.itemsize < 4 and not _IN_FLOAT32.isdisjoint(choice.name for choice in plan):
        return in_float32(partial(convolve, strides=strides, pads=pads, precision=precision, cpu=cpu))(x, kernel)
    if plan.to_images == plan.to_kernel == AS_DIFFERENTIATED:
        return compute_output(plan.output, x, kernel, strides, pads, precision)
    return _with_own_gradients(x, kernel, strides, pads, precision, cpu)


def convolve_dilated(x, kernel, strides, pads, dilation, precision, cpu):
    """Computes a convolution whose kernel sees pixels that are `dilation` apart."""
    choice = plan_dilated(Convolution(x.shape, kernel.shape, strides, pads, x.dtype), dilation)
    if choice.name == XLA:
        return xla_convolution(x, kernel, strides, pads, precision, dilation)

    def convolve_phase(x, pads):
        return convolve(x, kernel, strides, tuple(pads), precision, cpu)

    return convolve_phases(x, kernel.shape[:2], dilation, pads, convolve_phase)


def compute_output(choice, x, kernel, strides, pads, precision):
    """Computes a convolution in the formulation of a choice; other arguments as those of `convolve`."""
    if choice.name in _OUTPUTS_OF_A_SIZE:
        return _OUTPUTS_OF_A_SIZE[choice.name](choice.size, x, kernel, strides, pads, precision)
    return _OUTPUTS[choice.name](x, kernel, strides, pads, precision)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4, 5))
def _with_own_gradients(x, kernel, strides, pads, precision, cpu):
    """Computes a convolution whose gradients are computed another way than JAX's derivative of it.

    They are derivatives like any other: forward mode and higher derivatives go through the same formulas.
    """
    plan = plan_convolution(Convolution(x.shape, kernel.shape, strides, pads, x.dtype), cpu)
    return compute_output(plan.output, x, kernel, strides, pads, precision)


def _tangent(strides, pads, precision, cpu, primals, tangents):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    convolution = Convolution(x.shape, kernel.shape, strides, pads, x.dtype)
    plan = plan_convolution(convolution, cpu)
    out = _with_own_gradients(x, kernel, strides, pads, precision, cpu)

    def input_gradient(out_gradient):
        return _input_gradient(out_gradient, kernel, convolution, plan.to_images, precision, cpu)

    def kernel_gradient(out_gradient):
        function = partial(
            _TO_KERNEL[plan.to_kernel.name], kernel_shape=kernel.shape, strides=strides, pads=pads, precision=precision
        )
        size = plan.to_kernel.size or len(x)
        sums = blocks.sum_over_images(function, (x, out_gradient), size, kernel.shape)
        return sums.astype(kernel.dtype)

    def part(choice, gradient, x, kernel, tangent):
        # A convolution is linear in each of the two: its own form, or another one's, is a derivative too.
        if choice == AS_DIFFERENTIATED:
            return compute_output(plan.output, x, kernel, strides, pads, precision)
        if choice.name in _DIFFERENTIATED:
            return compute_output(choice, x, kernel, strides, pads, precision)
        return derivative_of(gradient, out, tangent)

    # What does not vary, such as the images of a first layer, costs nothing.
    parts = []
    if not isinstance(x_tangent, SymbolicZero):
        parts.append(part(plan.to_images, input_gradient, x_tangent, kernel, x_tangent))
    if not isinstance(kernel_tangent, SymbolicZero):
        parts.append(part(plan.to_kernel, kernel_gradient, x, kernel_tangent, kernel_tangent))
    return out, sum(parts)


_with_own_gradients.defjvp(_tangent, symbolic_zeros=True)


def _input_gradient(out_gradient, kernel, convolution, choice, precision, cpu):
    """Computes the gradient to the images, in the layout that XLA has a fast routine for.

    XLA's own gradient has another layout, which is slow inside a loop.
    """
    if choice.name == "sub-pixel convolution":

        def convolve(x, weights, pads):
            inner = plan_output(Convolution(x.shape, weights.shape, (1, 1), tuple(pads), x.dtype), cpu)
            return compute_output(inner, x, weights, (1, 1), pads, precision)

        return sub_pixel_convolution(
            out_gradient, kernel, convolution.x_shape, convolution.strides, convolution.pads, convolve
        )
    pads = gradient_to_images(convolution).pads
    flipped = kernel[::-1, ::-1]
    if choice.name == "winograd":
        return winograd.convolution(out_gradient, flipped, (1, 1), pads, precision, in_axis=1)
    backward = flipped.swapaxes(2, 3)
    if choice.name == "direct":
        return direct.convolution(out_gradient, backward, (1, 1), pads, precision, convolution.strides)
    return compute_output(choice, out_gradient, backward, (1, 1), pads, precision)
