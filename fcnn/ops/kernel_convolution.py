"""The gradient of a convolution to its kernel as one convolution, of a few images at a time.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops import blocks, machine, onednn

_NHWC = ("NHWC", "HWIO", "NHWC")

# A routine shares out rows of up to so many outputs: those of a small kernel with no more are too few for two cores.
_OUTPUTS = 16
# Images and gradients of so many bytes stay in the caches.
_BYTES = 2**23
# From JAX 0.12 on, a batch of so many numbers in all is not worth a loop, save for images of the fewest channels.
_BATCH_NUMBERS = 2**20
# How many images a kernel's gradient is made of at a time, and twice as many where each has so few numbers.
_IMAGES = 16
_SMALL_NUMBERS = 2**13
# A convolution with fewer images as its channels is slow.
_FEW_IMAGES = 4
# Of so few channels, the patches of a small kernel are cheap to copy.
_PATCH_CHANNELS = 4
# With more channels than these and few outputs, rows and columns make the smaller product.
_NARROW_CHANNELS = 8
# With AVX-512, images of so few pixels gain with up to so many channels, the others with fewer: so many on one side
# where Eigen is the routine, before JAX 0.12, and so many on both where YNNPACK is, which takes large ones one by one.
_FEW_PIXELS, _FEW_PIXELS_CHANNELS = 64, 128
_EIGEN_CHANNELS = 96
_YNNPACK_CHANNELS, _LARGE_NUMBERS = 64, 2**18


def plain(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel as one convolution, as XLA does.

    The images are its channels, the images' channels its images, and each weight sees the whole gradient, moved to its
    place. XLA's own has another layout, which is slow inside a loop.

    Args:
        x: images, as many as `choose` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        pads: padding.
        precision: of the convolution.

    Returns:
        The gradient, like the kernel [rows, columns, in_channel, out_channel].
    """
    x, pads = _without_unseen_pixels(x, kernel_shape, strides, pads)
    x, y = x.transpose(3, 1, 2, 0), out_gradient.transpose(1, 2, 0, 3)
    options = {"rhs_dilation": strides, "dimension_numbers": _NHWC, "precision": precision}
    return lax.conv_general_dilated(x, y, (1, 1), pads, **options).transpose(1, 2, 0, 3)


def in_rows(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes what `plain` does, with the images' channels beside each other along their width.

    Where the gradient's columns are as far apart as there are channels, the weights of all channels and columns are one
    long row of outputs, which is what such routines are fast with.
    """
    x, pads = _without_unseen_pixels(x, kernel_shape, strides, pads)
    (rows, columns, in_channels, out_channels), (batch, height, width, _) = kernel_shape, x.shape
    groups = 2 if out_channels <= _OUTPUTS and in_channels % 2 == 0 else 1
    channels = in_channels // groups
    x = x.reshape(batch, height, width, groups, channels).transpose(3, 1, 2, 4, 0)
    x = x.reshape(groups, height, width * channels, batch)
    y = out_gradient.transpose(1, 2, 0, 3)
    (pads_h, (left, right)), steps = pads, (strides[0], strides[1] * channels)
    pads = (pads_h, (left * channels, right * channels))
    out = lax.conv_general_dilated(x, y, (1, 1), pads, rhs_dilation=steps, dimension_numbers=_NHWC, precision=precision)
    return out.reshape(groups, rows, columns, channels, out_channels).transpose(1, 2, 0, 3, 4).reshape(kernel_shape)


def _without_unseen_pixels(x, kernel_shape, strides, pads):
    """Returns images and padding without the last pixels, which no output has seen: a stride may leave some."""
    seen = []
    for size, k, stride, (low, high) in zip(x.shape[1:3], kernel_shape[:2], strides, pads, strict=True):
        high -= (size + low + high - k) % stride
        seen.append((size + min(high, 0), (low, max(high, 0))))
    (height, pads_h), (width, pads_w) = seen
    return x[:, :height, :width], (pads_h, pads_w)


def choose(x_shape, out_shape, kernel_shape, strides, dtype) -> tuple[Callable, int] | None:
    """Returns the faster of `plain` and `in_rows`, and how many images of each device to hand it; None if products are.

    Args:
        x_shape: shape of all images.
        out_shape: shape of the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        dtype: of the images.
    """
    batch, image_numbers = x_shape[0], math.prod(x_shape[1:]) + math.prod(out_shape[1:])
    function, most = _choose(x_shape, image_numbers, kernel_shape, strides, dtype)
    if function is None:
        return None
    of_a_device, is_small = blocks.images_at_once(batch, batch), image_numbers <= _SMALL_NUMBERS
    is_little = of_a_device * image_numbers <= _BATCH_NUMBERS and x_shape[-1] > _PATCH_CHANNELS
    if jax.__version_info__ >= (0, 12) and is_little:
        return function, of_a_device
    most = max(most, 2 * _IMAGES) if is_small else most
    if function is plain and most >= of_a_device:
        return function, of_a_device
    most = max(1, min(most, _BYTES // (image_numbers * dtype.itemsize)))
    size = blocks.largest_divisor(of_a_device, most)
    if size % 2 and not onednn.is_on_offer():
        # XLA's own routines are three times as slow with an odd number of images, save for a single one.
        size = 1 if of_a_device % 2 or most == 1 else 2 * blocks.largest_divisor(of_a_device // 2, most // 2)
    if 4 * size >= most:
        return function, size
    # Where a batch has no such part, one by one or all of it is faster than small ones.
    is_fast_alone = function is in_rows and not onednn.is_on_offer() and not is_small
    return function, 1 if is_fast_alone else of_a_device


def _choose(x_shape, image_numbers, kernel_shape, strides, dtype):
    """Returns the function, or None, and with how many images it is fastest: the first row of the table that holds.

    Measured in experiments/benchmarks/convolution.py, and with other shapes.
    """
    batch, height, width, _ = x_shape
    rows, columns, in_channels, out_channels = kernel_shape
    places, is_dense, most_channels = rows * columns, tuple(strides) == (1, 1), max(in_channels, out_channels)
    has_onednn, has_ynnpack = onednn.is_on_offer(), jax.__version_info__ >= (0, 12)
    has_few_outputs, is_narrow = out_channels <= _OUTPUTS, in_channels <= _NARROW_CHANNELS
    has_small_patches = is_dense and places <= 9 and in_channels <= _PATCH_CHANNELS and dtype == jnp.float32
    copies_little = has_small_patches and (not has_few_outputs or (has_onednn and in_channels == 1))
    # A number of a patch is copied and then used once for each output, which may be too few to pay for the copy.
    copies_much = not is_dense and not is_narrow and out_channels <= (in_channels if has_ynnpack else _OUTPUTS)
    has_one_row = is_dense and places >= 9 and has_few_outputs
    has_few_pixels = height * width <= _FEW_PIXELS and most_channels <= _FEW_PIXELS_CHANNELS
    suits_ynnpack = has_ynnpack and most_channels <= _YNNPACK_CHANNELS
    suits_eigen = not has_ynnpack and (not is_dense or min(in_channels, out_channels) <= _EIGEN_CHANNELS)
    as_products = None, 0
    table = (
        (places == 1 or copies_little, as_products),
        (has_onednn, (in_rows, _IMAGES)),
        (dtype != jnp.float32, as_products),
        (has_one_row and is_narrow, (plain, 2 * _IMAGES)),
        (not machine.has_avx512(), as_products),
        (has_few_pixels and batch >= _IMAGES, (in_rows, _IMAGES)),
        (has_one_row, as_products),
        (suits_ynnpack and batch >= _IMAGES, (in_rows, 1 if image_numbers > _LARGE_NUMBERS else _IMAGES)),
        (copies_much and batch >= _FEW_IMAGES, (plain, batch)),
        (suits_eigen, (in_rows, _IMAGES // 2)),
    )
    return next((choice for holds, choice in table if holds), as_products)
