"""XLA's own convolution, in the form that it has the fastest routine for on a CPU."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops import blocks, machine, onednn

_NHWC = ("NHWC", "HWIO", "NHWC")
# Up to so many channels on both sides, XLA takes an older routine on CPU.
_OLD_ROUTINE_CHANNELS = 16
# The newer one is fast from one more on; with AVX-512, from the next multiple of four, and with twice as many outputs.
_NEW_ROUTINE_CHANNELS = {"avx2": 17, "avx512": 20}

# A routine shares out rows of up to so many outputs: the three rows of a small kernel are too few for two cores.
_OUTPUTS = 16
# Images and gradients of so many bytes stay in the caches.
_BYTES = 2**23
# From JAX 0.12 on, a batch of so many numbers in all is not worth a loop.
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


def convolution(x, kernel, strides, pads, precision, dilation=(1, 1)):
    """Computes a convolution of images, as `jax.lax.conv_general_dilated` does.

    Args:
        x: images [batch, height, width, in_channel].
        kernel: weights [rows, columns, in_channel, out_channel].
        strides: step in pixels in height and in width.
        pads: pixels of zeros (before, after) in height and in width, after the dilation; negative ones cut pixels off.
        precision: as in `jax.lax`.
        dilation: the images' pixels are so far apart in height and in width, with zeros between them.

    Returns:
        The output [batch, out_height, out_width, out_channel].
    """
    takes_old_routine = _takes_old_routine(x, kernel, strides, dilation)
    out_width = x.shape[2] + sum(pads[1]) - kernel.shape[1] + 1
    if (
        takes_old_routine
        and machine.has_avx512()
        and out_width % 2 == 0
        and min(low for pad in pads for low in pad) >= 0
    ):
        return _pairs_of_outputs(x, kernel, pads, precision)
    if takes_old_routine:
        more = _NEW_ROUTINE_CHANNELS["avx512" if machine.has_avx512() else "avx2"] - x.shape[-1]
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, more), (0, 0)))
    if min(low for pad in pads for low in pad) < 0:
        # XLA's own, in JAX 0.10, gives wrong numbers or aborts the process where padding is negative.
        cut = [(min(low, 0), min(high, 0), step - 1) for (low, high), step in zip(pads, dilation, strict=True)]
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *cut, (0, 0, 0)))
        pads, dilation = [(max(low, 0), max(high, 0)) for low, high in pads], (1, 1)
    return lax.conv_general_dilated(x, kernel, strides, pads, dilation, dimension_numbers=_NHWC, precision=precision)


def kernel_gradient(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel as one convolution, as XLA does.

    The images are its channels, the images' channels its images, and each weight sees the whole gradient, moved to its
    place. XLA's own has another layout, which is slow inside a loop.

    Args:
        x: images, as many as `choose_kernel_gradient` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        pads: padding.
        precision: of the convolution.

    Returns:
        The gradient, like the kernel [rows, columns, in_channel, out_channel].
    """
    x, y = x.transpose(3, 1, 2, 0), out_gradient.transpose(1, 2, 0, 3)
    options = {"rhs_dilation": strides, "dimension_numbers": _NHWC, "precision": precision}
    out = lax.conv_general_dilated(x, y, (1, 1), pads, **options)
    # With a stride, the last pixels of an image may have seen no output.
    return out[:, : kernel_shape[0], : kernel_shape[1]].transpose(1, 2, 0, 3)


def kernel_gradient_in_rows(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes what `kernel_gradient` does, with the images' channels beside each other along their width.

    Where the gradient's columns are as far apart as there are channels, the weights of all channels and columns are one
    long row of outputs, which is what such routines are fast with.
    """
    (rows, columns, in_channels, out_channels), (batch, height, width, _) = kernel_shape, x.shape
    groups = 2 if out_channels <= _OUTPUTS and in_channels % 2 == 0 else 1
    channels = in_channels // groups
    x = x.reshape(batch, height, width, groups, channels).transpose(3, 1, 2, 4, 0)
    x = x.reshape(groups, height, width * channels, batch)
    y = out_gradient.transpose(1, 2, 0, 3)
    pads, steps = (pads[0], [pad * channels for pad in pads[1]]), (strides[0], strides[1] * channels)
    out = lax.conv_general_dilated(x, y, (1, 1), pads, rhs_dilation=steps, dimension_numbers=_NHWC, precision=precision)
    out = out[:, :rows, : columns * channels].reshape(groups, rows, columns, channels, out_channels)
    return out.transpose(1, 2, 0, 3, 4).reshape(kernel_shape)


def choose_kernel_gradient(x_shape, out_shape, kernel_shape, strides, dtype) -> tuple[Callable, int] | None:
    """Returns the faster one of the two above, and how many images of each device to hand it; None if products are.

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
    if jax.__version_info__ >= (0, 12) and of_a_device * image_numbers <= _BATCH_NUMBERS:
        return function, of_a_device
    most = max(most, 2 * _IMAGES) if is_small else most
    if function is kernel_gradient and most >= of_a_device:
        return function, of_a_device
    most = max(1, min(most, _BYTES // (image_numbers * dtype.itemsize)))
    size = blocks.largest_divisor(of_a_device, most)
    if size % 2 and not onednn.is_on_offer():
        # XLA's own routines are three times as slow with an odd number of images, save for a single one.
        size = 1 if of_a_device % 2 or most == 1 else 2 * blocks.largest_divisor(of_a_device // 2, most // 2)
    if 4 * size >= most:
        return function, size
    # Where a batch has no such part, one by one or all of it is faster than small ones.
    is_fast_alone = function is kernel_gradient_in_rows and not onednn.is_on_offer() and not is_small
    return function, 1 if is_fast_alone else of_a_device


def _choose(x_shape, image_numbers, kernel_shape, strides, dtype):
    """Returns the function, or None, and with how many images it is fastest.

    Measured in experiments/benchmarks/convolution.py, and with other shapes.
    """
    batch, height, width, _ = x_shape
    rows, columns, in_channels, out_channels = kernel_shape
    places, is_dense, most_channels = rows * columns, tuple(strides) == (1, 1), max(in_channels, out_channels)
    has_small_patches = is_dense and places <= 9 and in_channels <= _PATCH_CHANNELS and out_channels > _OUTPUTS
    if places == 1 or (has_small_patches and dtype == jnp.float32):
        return None, 0
    if onednn.is_on_offer():
        return kernel_gradient_in_rows, _IMAGES
    if dtype != jnp.float32:
        return None, 0
    has_few_outputs, is_narrow = out_channels <= _OUTPUTS, in_channels <= _NARROW_CHANNELS
    if is_dense and places >= 9 and has_few_outputs and is_narrow:
        return kernel_gradient, 2 * _IMAGES
    if not machine.has_avx512():
        return None, 0
    if height * width <= _FEW_PIXELS and batch >= _IMAGES and most_channels <= _FEW_PIXELS_CHANNELS:
        return kernel_gradient_in_rows, _IMAGES
    if is_dense and places >= 9 and has_few_outputs:
        return None, 0
    if jax.__version_info__ >= (0, 12):
        if most_channels <= _YNNPACK_CHANNELS and batch >= _IMAGES:
            return kernel_gradient_in_rows, 1 if image_numbers > _LARGE_NUMBERS else _IMAGES
        has_few_outputs = out_channels <= in_channels
    # A number of a patch is copied and then used once for each output, which may be too few to pay for the copy.
    if not is_dense and has_few_outputs and not is_narrow and batch >= _FEW_IMAGES:
        return kernel_gradient, batch
    if jax.__version_info__ >= (0, 12):
        return None, 0
    if not is_dense or min(in_channels, out_channels) <= _EIGEN_CHANNELS:
        return kernel_gradient_in_rows, _IMAGES // 2
    return None, 0


def _pairs_of_outputs(x, kernel, pads, precision):
    """Computes two outputs side by side as the channels of one, which takes XLA to its newer routine.

    The kernel is at two places of a window that is a column wider, in steps of two columns: a third more operations.
    """
    places = [jnp.pad(kernel, ((0, 0), place, (0, 0), (0, 0))) for place in ((0, 1), (1, 0))]
    weights = jnp.stack(places, axis=3).reshape(*places[0].shape[:3], -1)
    out = lax.conv_general_dilated(x, weights, (1, 2), pads, dimension_numbers=_NHWC, precision=precision)
    batch, height, pairs, _ = out.shape
    return out.reshape(batch, height, 2 * pairs, -1)


def _takes_old_routine(x, kernel, strides, dilation):
    """Returns whether XLA takes its older routine where the newer one is faster: before JAX 0.12."""
    few = all(14 <= channels <= _OLD_ROUTINE_CHANNELS for channels in kernel.shape[2:])
    plain = x.dtype == jnp.float32 and kernel.shape[0] * kernel.shape[1] >= 9 and strides == dilation == (1, 1)
    return few and plain and jax.__version_info__ < (0, 12)
