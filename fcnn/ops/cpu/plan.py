"""Which formulation of a layer is fast on a CPU: a choice by its shapes and by what the CPU can do.

Every threshold here was measured: `experiments/benchmarks/convolution.py` times a layer beside XLA's own form, and
`fcnn plan NETWORK --measure` the layers of a network. A choice has a name, by which the dispatchers of this room find
what computes it, and says why it was made.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from fcnn.ops.cpu import kernel_gradient_plan
from fcnn.ops.cpu.choice import AS_DIFFERENTIATED, XLA, Choice, Convolution
from fcnn.ops.machine import Cpu
from fcnn.ops.sizes import sizes_are_known

# With so many outputs, a copy of the pixels that a stride does not step over pays for a product.
_COPY_OUTPUTS = 128
# To so few channels, from a kernel of so few places, and with so few products for each channel of the images, the sum
# over places is faster than a convolution.
_FEW_CHANNELS, _PLACES, _PRODUCTS = 4, 49, 3
# Pixels narrower than this cost more to gather, one by one, than units for bfloat16 save.
_BFLOAT16_CHANNELS = 16
# To outputs of 2x2 pixels and fewer, and back from them, XLA's convolution takes a hundred times as long as for 3x3,
# oneDNN's too, the more the more channels there are.
_TINY_PIXELS, _TINY_CHANNELS = 4, 64
# From so many channels on, turning the kernel for XLA's gradient to the images takes longer than a product for outputs
# of few pixels, up to so many times the channels, and to more with a stride, whose zeros XLA multiplies; copying it for
# the output, and adding up the gradient to it, pay to fewer.
_LARGE_KERNEL_CHANNELS = 128
_PIXELS_TO_IMAGES, _PIXELS_TO_IMAGES_WITH_STRIDE, _PIXELS_OF_OUTPUT = 2.5, 4, 0.5
_KERNEL_CHANNELS, _PIXELS_TO_KERNEL = 512, 0.3
# Products narrower than this are faster than mixing pixels for Winograd's; with AVX-512, those as narrow on both sides.
_WINOGRAD_CHANNELS = 64
# There is four times as much to compile as for XLA's convolution, a second for each; with fewer multiply-adds, a step
# saves a millisecond or two.
_WINOGRAD_MULTIPLY_ADDS = 10**9
# Up to so many channels of the pixels that a stride steps over, a convolution that has them all in a pixel may be
# faster than XLA's with a dilated input: it fills registers of so many numbers, and has nothing to add to the image
# afterwards, where each number takes as long as so many multiply-adds.
_SUB_PIXEL_CHANNELS, _REGISTER, _ADDED = 96, 16, 64
# Before JAX 0.12, XLA takes an older routine up to so many channels on both sides. The newer one is fast from one more
# on; with AVX-512, from the next multiple of four, and with twice as many outputs.
_OLD_ROUTINE_CHANNELS = 16
_NEW_ROUTINE_CHANNELS = {"avx2": 17, "avx512": 20}
# A smaller array stays in the caches between the sums over it: the plain formula is as fast.
_SMALL_BYTES = 2**20
# With fewer rows, a product takes less time than turning its weights into another type.
_ROWS = 128


_TINY = "XLA's convolution is slow with maps of 2x2 pixels and fewer"
_LARGE_KERNEL = "few pixels for so large a kernel: to turn it for XLA would take longer"


class ConvolutionPlan(NamedTuple):
    """How a convolution and its gradients are computed.

    Attributes:
        output: the convolution.
        to_images: the gradient to the images.
        to_kernel: the gradient to the kernel.
    """

    output: Choice
    to_images: Choice
    to_kernel: Choice


def plan_convolution(convolution: Convolution, cpu: Cpu) -> ConvolutionPlan:
    """Returns how a convolution without dilation is computed on a CPU."""
    x_shape, kernel_shape, strides, pads, dtype = convolution

    def differentiated(name, why):
        return ConvolutionPlan(Choice(name, why), AS_DIFFERENTIATED, AS_DIFFERENTIATED)

    if not sizes_are_known(x_shape, kernel_shape):
        return differentiated(XLA, "sizes are left open")
    rows, columns, in_channels, out_channels = kernel_shape
    padded = convolution.padded_size
    if padded[0] < rows or padded[1] < columns or any(low < 0 or high < 0 for low, high in pads):
        return differentiated(XLA, "the padding cuts pixels off, or there is no output")
    if padded == (rows, columns):
        return differentiated("product of whole images", "the kernel covers the image: a fully connected layer")
    is_product = max(in_channels, out_channels) > 16 or strides != (1, 1)
    if (rows, columns) == (1, 1) and is_product and not _bfloat16_pays(kernel_shape, dtype, cpu):
        if strides == (1, 1) or out_channels > _COPY_OUTPUTS:
            return differentiated("product of pixels", "a kernel of one pixel is a matrix")
        return ConvolutionPlan(
            Choice("direct", "copying the pixels that a stride sees would not pay"),
            Choice("product of pixels", "a kernel of one pixel is a matrix"),
            Choice("product of pixels", "a kernel of one pixel is a matrix"),
        )
    is_narrow = in_channels <= 8 and out_channels <= 16
    to_kernel = kernel_gradient_plan.plan_kernel_gradient(
        convolution,
        cpu,
        winograd_pays=_winograd_pays(convolution, cpu),
        bfloat16_pays=_bfloat16_pays(kernel_shape, dtype, cpu),
    )
    if is_narrow and strides == (1, 1) and rows * columns >= 9 and not cpu.has_onednn:
        for block in (4, 2) if in_channels == 1 else (2,):
            if all((size - window + 1) % block == 0 for size, window in zip(padded, (rows, columns), strict=True)):
                why = "few channels leave a convolution's registers empty, and a block of outputs fills them"
                return ConvolutionPlan(Choice("blocks of outputs", why, block), AS_DIFFERENTIATED, to_kernel)
    if _has_large_kernel(convolution, _PIXELS_TO_KERNEL) and min(in_channels, out_channels) >= _KERNEL_CHANNELS:
        to_kernel = Choice("product of all patches", _LARGE_KERNEL)
    return ConvolutionPlan(_output(convolution, cpu), _to_images(convolution, cpu), to_kernel)


def _output(convolution: Convolution, cpu: Cpu) -> Choice:
    _, kernel_shape, strides, _, dtype = convolution
    if _places_pay(kernel_shape, strides, dtype, cpu):
        return Choice("sum over places", "so few outputs do not fill a register")
    return _or_all_patches(plan_output(convolution, cpu), convolution, _PIXELS_OF_OUTPUT)


def _to_images(convolution: Convolution, cpu: Cpu) -> Choice:
    _, kernel_shape, strides, _, dtype = convolution
    in_bfloat16 = _bfloat16_pays(kernel_shape, dtype, cpu)
    # XLA takes two rows that are dilated by two for groups, which aborts the process where it exchanges the operands.
    looks_grouped = any(k == stride == 2 for k, stride in zip(kernel_shape, strides, strict=False))
    if strides != (1, 1) and (in_bfloat16 or looks_grouped or _sub_pixel_pays(kernel_shape, strides)):
        return Choice("sub-pixel convolution", "with a stride, pixels that lie together are channels of one")
    gradient = gradient_to_images(convolution)
    if _places_pay(gradient.kernel_shape, strides, dtype, cpu):
        return Choice("sum over places", "so few outputs do not fill a register")
    is_dense = strides == (1, 1)
    pixels_a_channel = _PIXELS_TO_IMAGES if is_dense else _PIXELS_TO_IMAGES_WITH_STRIDE
    return _or_all_patches(plan_output(gradient, cpu, is_dense=is_dense), convolution, pixels_a_channel)


def _or_all_patches(choice: Choice, convolution: Convolution, pixels_a_channel: float) -> Choice:
    """Returns a product of all patches in the place of XLA's convolution where that is slow."""
    if choice.name != "winograd" and _is_tiny(convolution):
        return Choice("product of all patches", _TINY)
    if choice.name != "winograd" and _has_large_kernel(convolution, pixels_a_channel):
        return Choice("product of all patches", _LARGE_KERNEL)
    return choice


def plan_output(convolution: Convolution, cpu: Cpu, *, is_dense: bool = True) -> Choice:
    """Returns how one convolution is computed, whatever its gradients.

    Args:
        convolution: which one.
        cpu: what the CPU can do.
        is_dense: whether its images have no zeros between their pixels, as the gradient of one with a stride has.
    """
    if _bfloat16_pays(convolution.kernel_shape, convolution.dtype, cpu) and not cpu.has_onednn:
        return Choice("product of patches", "the CPU's units for bfloat16 are for products")
    if is_dense and _winograd_pays(convolution, cpu):
        return Choice("winograd", "3x3 kernels between many channels: 16 products where the plain sum has 36")
    if is_dense and _takes_old_routine(convolution, cpu):
        if cpu.has_avx512 and convolution.out_size[1] % 2 == 0 and min(map(min, convolution.pads)) >= 0:
            return Choice("pairs of outputs", "XLA has a faster routine for twice as many outputs")
        channels = _NEW_ROUTINE_CHANNELS["avx512" if cpu.has_avx512 else "avx2"]
        return Choice("more channels", "XLA has a faster routine for a few channels more", channels)
    if cpu.has_onednn:
        return Choice("direct", "oneDNN's")
    return Choice("direct", "XLA's convolution is near what the CPU can do")


def gradient_to_images(convolution: Convolution) -> Convolution:
    """Returns the convolution, of stride 1, of the dilated gradient that computes the one to the images."""
    x_shape, (rows, columns, in_channels, out_channels), strides, pads, dtype = convolution
    out_size = convolution.out_size
    around = tuple(
        (k - 1 - low, size + low - (n - 1) * stride - 1)
        for k, size, n, stride, (low, _) in zip((rows, columns), x_shape[1:3], out_size, strides, pads, strict=True)
    )
    dilated = tuple((n - 1) * stride + 1 for n, stride in zip(out_size, strides, strict=True))
    kernel_shape = (rows, columns, out_channels, in_channels)
    return Convolution((x_shape[0], *dilated, out_channels), kernel_shape, (1, 1), around, dtype)


def candidates(convolution: Convolution) -> list[Choice]:
    """Returns the formulations that could compute a convolution's output on any CPU, to be measured."""
    _, kernel_shape, strides, pads, _ = convolution
    names = ["direct", "product of patches", "product of all patches"]
    is_dense, is_padded = strides == (1, 1), min(map(min, pads)) >= 0
    if convolution.padded_size == tuple(kernel_shape[:2]):
        names.append("product of whole images")
    if tuple(kernel_shape[:2]) == (1, 1):
        names.append("product of pixels")
    if is_dense and is_padded and tuple(kernel_shape[:2]) == (3, 3):
        names.append("winograd")
    if is_dense and kernel_shape[3] <= _FEW_CHANNELS:
        names.append("sum over places")
    found = [Choice(name, "a candidate") for name in names]
    if is_dense and is_padded and max(kernel_shape[2:]) <= _BFLOAT16_CHANNELS:
        found += [
            Choice("blocks of outputs", "a candidate", block)
            for block in (2, 4)
            if all(size % block == 0 for size in convolution.out_size)
        ]
    return found


def plan_dilated(convolution: Convolution, dilation: tuple[int, int]) -> Choice:
    """Returns how a convolution with dilation is computed; XLA's takes half as long again, and twice in training."""
    seen = tuple(d * (k - 1) + 1 for k, d in zip(convolution.kernel_shape[:2], dilation, strict=True))
    if not sizes_are_known(convolution.x_shape):
        return Choice(XLA, "sizes are left open")
    is_padded = all(low >= 0 and high >= 0 for low, high in convolution.pads)
    if convolution.strides != (1, 1) or not is_padded:
        return Choice(XLA, "it has a stride, or its padding cuts pixels off")
    if any(size < k for size, k in zip(convolution.padded_size, seen, strict=True)):
        return Choice(XLA, "there is no output")
    return Choice("phases", "the pixels of each remainder are an image for a plain convolution")


def plan_convolution_with_pool(convolution: Convolution, window: int) -> Choice:
    """Returns how a convolution of stride 1 and the maximum over windows are computed; `size` is the block's."""
    if not sizes_are_known(convolution.x_shape, convolution.kernel_shape):
        return Choice("one after the other", "sizes are left open")
    rows, columns, in_channels, out_channels = convolution.kernel_shape
    few = rows * columns >= 9 and in_channels <= 8 and out_channels <= 16
    is_padded = all(low >= 0 and high >= 0 for low, high in convolution.pads)
    if few and is_padded and min(convolution.out_size) >= 1:
        for block in (2 * window, window) if in_channels == 1 else (window,):
            if all(size % block == 0 for size in convolution.out_size):
                return Choice("product of windows", "few channels: the windows are in the rows of one product", block)
    return Choice("one after the other", "there are many channels, or no whole windows")


def plan_max_pool(x_shape: Any, window: Any, strides: Any, padding: Any) -> Choice:
    """Returns how the maximum over windows is computed."""
    if not sizes_are_known(x_shape):
        return Choice(XLA, "sizes are left open")
    is_exact = window == strides and all(size % k == 0 for size, k in zip(x_shape[1:3], window, strict=True))
    if is_exact and not any(map(any, padding)):
        return Choice("first largest", "windows that tile the image are rows of an array")
    if any(
        low < 0 or high < 0 or size + low + high < k
        for size, k, (low, high) in zip(x_shape[1:3], window, padding, strict=True)
    ):
        return Choice(XLA, "the padding cuts pixels off, or there is no output")
    return Choice("columns, then rows", "all windows at a time, where XLA's gradient takes one after the other")


def plan_batch_norm(x_shape: Any, dtype: Any) -> Choice:
    """Returns how batch normalisation is computed."""
    if not sizes_are_known(x_shape) or len(x_shape) < 2:
        return Choice("plain", "sizes are left open")
    if math.prod(x_shape) * jnp.dtype(dtype).itemsize < _SMALL_BYTES:
        return Choice("plain", "it stays in the caches between the sums over it")
    return Choice("own gradient", "reads memory less often than the derivative that JAX finds")


def plan_dense(x_shape: Any, x_dtype: Any, kernel_dtype: Any, cpu: Cpu) -> Choice:
    """Returns in which type the product of a fully connected layer is computed."""
    if not sizes_are_known(x_shape):
        return Choice("in the type of the rows", "sizes are left open")
    if x_dtype == kernel_dtype:
        return Choice("in the type of the rows", "both have the same type")
    if math.prod(x_shape[:-1]) > _ROWS and x_dtype == jnp.bfloat16 and cpu.has_bfloat16_units:
        return Choice("in the type of the rows", "many rows, and the CPU has units for their type")
    return Choice("in the type of the weights", "reading them takes all the time")


def _places_pay(kernel_shape, strides, dtype, cpu):
    rows, columns, in_channels, out_channels = kernel_shape
    places = rows * columns
    is_small = out_channels <= _FEW_CHANNELS and places <= min(_PLACES, _PRODUCTS * in_channels // out_channels)
    return is_small and tuple(strides) == (1, 1) and dtype == jnp.float32 and cpu.has_ynnpack


def _bfloat16_pays(kernel_shape, dtype, cpu):
    return min(kernel_shape[2:]) >= _BFLOAT16_CHANNELS and dtype == jnp.bfloat16 and cpu.has_bfloat16_units


def _takes_old_routine(convolution, cpu):
    _, kernel_shape, strides, _, dtype = convolution
    few = all(14 <= channels <= _OLD_ROUTINE_CHANNELS for channels in kernel_shape[2:])
    return (
        few and dtype == jnp.float32 and math.prod(kernel_shape[:2]) >= 9 and strides == (1, 1) and not cpu.has_ynnpack
    )


def _is_tiny(convolution):
    is_wide = min(convolution.kernel_shape[2:]) >= _TINY_CHANNELS and math.prod(convolution.kernel_shape[:2]) > 1
    return is_wide and math.prod(convolution.out_size) <= _TINY_PIXELS and convolution.dtype == jnp.float32


def _has_large_kernel(convolution, pixels_a_channel):
    """Returns whether a kernel is so large that all patches of the images are little beside it."""
    channels, pixels = min(convolution.kernel_shape[2:]), convolution.x_shape[0] * math.prod(convolution.out_size)
    is_wide = channels >= _LARGE_KERNEL_CHANNELS and math.prod(convolution.kernel_shape[:2]) > 1
    return is_wide and pixels <= pixels_a_channel * channels and convolution.dtype == jnp.float32


def _winograd_pays(convolution, cpu):
    x_shape, kernel_shape, strides, pads, dtype = convolution
    if tuple(kernel_shape[:2]) != (3, 3) or strides != (1, 1) or min(kernel_shape[2:]) < _WINOGRAD_CHANNELS:
        return False
    if cpu.has_avx512 and max(kernel_shape[2:]) < 2 * _WINOGRAD_CHANNELS:
        return False
    if dtype not in (jnp.float32, jnp.bfloat16) or min(low for pad in pads for low in pad) < 0:
        return False
    multiply_adds = x_shape[0] * math.prod(convolution.out_size) * math.prod(kernel_shape)
    return multiply_adds >= _WINOGRAD_MULTIPLY_ADDS


def _sub_pixel_pays(kernel_shape, strides):
    """Returns whether the sub-pixel convolution takes less time than XLA's, by what both of them do for an output.

    XLA multiplies the gradient of an output with all weights, and adds what each gives to its place in the image.
    """
    rows, columns, in_channels, out_channels = kernel_shape
    steps = math.prod(-(-k // stride) for k, stride in zip((rows, columns), strides, strict=True))
    channels = math.prod(strides) * in_channels
    as_sub_pixels = steps * max(channels, _REGISTER) * out_channels
    as_xla = rows * columns * in_channels * (out_channels + _ADDED)
    return steps == 1 or (channels <= _SUB_PIXEL_CHANNELS and as_sub_pixels <= as_xla)
