"""Which formulation of the gradient of a convolution to its kernel is fast on a CPU.

XLA's own, in the layout that differentiation leaves it in, takes 2 to 10 times as long.
"""

import math

import jax.numpy as jnp

from fcnn.ops.cpu import blocks, products_in_bfloat16, winograd
from fcnn.ops.cpu.choice import Choice, Convolution
from fcnn.ops.machine import Cpu

# A routine shares out rows of up to so many outputs: those of a small kernel with no more are too few for two cores.
_OUTPUTS = 16
# Images and gradients of so many bytes stay in the caches.
_BYTES = 2**23
# From JAX 0.12 on, a batch of so many numbers in all is not worth a loop, except for images of the fewest channels.
_BATCH_NUMBERS = 2**20
# How many images a kernel's gradient is made of at a time, and twice as many where each has so few numbers.
_IMAGES = 16
_SMALL_NUMBERS = 2**13
# A convolution with fewer images as its channels is slow.
_FEW_IMAGES = 4
# Of so few channels, the patches of a small kernel are cheap to copy.
_PATCH_CHANNELS = 4
# With more channels than these and few outputs, rows and columns make the smaller product; up to so many, the pixels of
# a patch are gathered channel by channel, along whole rows of an image.
_NARROW_CHANNELS = 8
# With AVX-512, images of so few pixels gain with up to so many channels, the others with fewer: so many on one side
# where Eigen is the routine, before JAX 0.12, and so many on both where YNNPACK is, which takes large ones one by one.
_FEW_PIXELS, _FEW_PIXELS_CHANNELS = 64, 128
_EIGEN_CHANNELS = 96
_YNNPACK_CHANNELS, _LARGE_NUMBERS = 64, 2**18
# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**21

_PRODUCTS = "products"


def plan_kernel_gradient(convolution: Convolution, cpu: Cpu, *, winograd_pays: bool, bfloat16_pays: bool) -> Choice:
    """Returns how the gradient to the kernel is computed; `size` is the number of images of each device at once.

    Args:
        convolution: whose gradient.
        cpu: what the CPU can do.
        winograd_pays: whether Winograd's formulation is faster than products are.
        bfloat16_pays: whether the CPU's units for bfloat16 are worth their layout.
    """
    x_shape, kernel_shape, strides, pads, dtype = convolution
    name, most, why = _as_convolution(convolution, cpu)
    if name != _PRODUCTS and (cpu.has_onednn or not winograd_pays):
        return Choice(name, why, _images_at_once(convolution, name, most, cpu))
    if strides == (1, 1) and bfloat16_pays:
        size = products_in_bfloat16.images_at_once(x_shape, convolution.out_shape, kernel_shape)
        return Choice("products in bfloat16", "the CPU's units for bfloat16 are for products", size)
    if winograd_pays:
        why = "3x3 kernels between many channels: 16 products where the plain sum has 36"
        return Choice("winograd", why, winograd.images_at_once(x_shape, kernel_shape, pads))
    rows, columns, in_channels, out_channels = kernel_shape
    on_both_sides, as_patches = rows * in_channels + columns * out_channels, rows * columns * in_channels
    if strides == (1, 1) and on_both_sides <= as_patches:
        name, values, why = "product of shifted rows and columns", on_both_sides, "fewer numbers to copy than patches"
    elif in_channels <= _NARROW_CHANNELS:
        name, values, why = "product of rows of pixels", as_patches, "few channels: rows of pixels are longer"
    else:
        name, values, why = "product of patches", as_patches, "fewer numbers to copy than rows and columns"
    image_bytes = math.prod(convolution.out_size) * values * jnp.dtype(dtype).itemsize
    # The sum over the products is read and written once each, which should be little beside the images.
    most = max(2, max(_PRODUCT_BYTES, 16 * math.prod(kernel_shape)) // image_bytes)
    return Choice(name, why, blocks.images_at_once(x_shape[0], most))


def _image_numbers(convolution):
    return math.prod(convolution.x_shape[1:]) + math.prod(convolution.out_shape[1:])


def _images_at_once(convolution, name, most, cpu):
    """Returns how many images of each device a convolution is handed, which is fastest with about so many."""
    x_shape, numbers = convolution.x_shape, _image_numbers(convolution)
    of_a_device, is_small = blocks.images_at_once(x_shape[0], x_shape[0]), numbers <= _SMALL_NUMBERS
    is_little = of_a_device * numbers <= _BATCH_NUMBERS and x_shape[-1] > _PATCH_CHANNELS
    if cpu.has_ynnpack and is_little:
        return of_a_device
    most = max(most, 2 * _IMAGES) if is_small else most
    if name == "convolution" and most >= of_a_device:
        return of_a_device
    most = max(1, min(most, _BYTES // (numbers * jnp.dtype(convolution.dtype).itemsize)))
    size = blocks.largest_divisor(of_a_device, most)
    if size % 2 and not cpu.has_onednn:
        # XLA's own routines are three times as slow with an odd number of images, except for a single one.
        size = 1 if of_a_device % 2 or most == 1 else 2 * blocks.largest_divisor(of_a_device // 2, most // 2)
    if 4 * size >= most:
        return size
    # Where a batch has no such part, one by one or all of it is faster than small ones.
    is_fast_alone = name == "convolution in rows" and not cpu.has_onednn and not is_small
    return 1 if is_fast_alone else of_a_device


def _as_convolution(convolution, cpu):
    """Returns a name, with how many images it is fastest, and why: the first row of the table that holds."""
    (batch, height, width, _), (rows, columns, in_channels, out_channels), strides, _, dtype = convolution
    places, is_dense, most_channels = rows * columns, tuple(strides) == (1, 1), max(in_channels, out_channels)
    has_few_outputs, is_narrow = out_channels <= _OUTPUTS, in_channels <= _NARROW_CHANNELS
    has_small_patches = is_dense and places <= 9 and in_channels <= _PATCH_CHANNELS and dtype == jnp.float32
    copies_little = has_small_patches and (not has_few_outputs or (cpu.has_onednn and in_channels == 1))
    # A number of a patch is copied and then used once for each output, which may be too few to pay for the copy.
    copies_much = not is_dense and not is_narrow and out_channels <= (in_channels if cpu.has_ynnpack else _OUTPUTS)
    has_one_row = is_dense and places >= 9 and has_few_outputs
    has_few_pixels = height * width <= _FEW_PIXELS and most_channels <= _FEW_PIXELS_CHANNELS
    suits_ynnpack = cpu.has_ynnpack and most_channels <= _YNNPACK_CHANNELS
    suits_eigen = not cpu.has_ynnpack and (not is_dense or min(in_channels, out_channels) <= _EIGEN_CHANNELS)
    large = 1 if _image_numbers(convolution) > _LARGE_NUMBERS else _IMAGES
    table = (
        (places == 1, _PRODUCTS, 0, ""),
        (copies_little, _PRODUCTS, 0, ""),
        (cpu.has_onednn, "convolution in rows", _IMAGES, "oneDNN's, with long rows of outputs"),
        (dtype != jnp.float32, _PRODUCTS, 0, ""),
        (has_one_row and is_narrow, "convolution", 2 * _IMAGES, "few outputs: one row of them for each weight"),
        (not cpu.has_avx512, _PRODUCTS, 0, ""),
        (has_few_pixels and batch >= _IMAGES, "convolution in rows", _IMAGES, "few pixels: long rows of outputs"),
        (has_one_row, _PRODUCTS, 0, ""),
        (suits_ynnpack and batch >= _IMAGES, "convolution in rows", large, "long rows suit YNNPACK"),
        (copies_much and batch >= _FEW_IMAGES, "convolution", batch, "patches would be used too seldom"),
        (suits_eigen, "convolution in rows", _IMAGES // 2, "long rows suit Eigen"),
    )
    return next((row[1:] for row in table if row[0]), (_PRODUCTS, 0, ""))
