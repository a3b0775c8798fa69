"""Transposed convolution: the gradient of a convolution to its images, as a layer that enlarges images."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from fcnn.ops.convolution import conv2d
from fcnn.ops.sub_pixel import sub_pixel_convolution


def conv2d_transpose(
    x: Float[Array, "batch height width in_channel"],
    kernel: Float[Array, "kernel_h kernel_w out_channel in_channel"],
    strides: tuple[int, int],
    size: tuple[int, int] | None = None,
    offset: tuple[int, int] = (0, 0),
    *,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns the transposed convolution of images with a kernel, or a part of it.

    The whole has stride * (size - 1) + kernel size rows, each input pixel adding the kernel times itself to its place:
    Caffe's deconvolution, and PyTorch's without padding, whose kernels are this one's transposes. It is computed as a
    sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158): a convolution to `stride^2 * out_channel` channels whose
    pixels are then taken apart. Only what is asked for is computed.

    Args:
        x: images.
        kernel: the weights of the convolution of which this is the transpose.
        strides: pixels of the result from one of the images' to the next, in height and in width.
        size: height and width of the part, in pixels; the whole if None.
        offset: first row and column of the part.
        precision: as in `jax.lax.conv_general_dilated`.
    """
    whole = [s * (n - 1) + k for n, k, s in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True)]
    height, width = size or [n - start for n, start in zip(whole, offset, strict=True)]

    def convolve(x, weights, pads):
        # A negative padding cuts off pixels that the part does not see.
        cut = [(min(low, 0), min(high, 0), 0) for low, high in pads]
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *cut, (0, 0, 0)))
        return conv2d(x, weights, (1, 1), [(max(low, 0), max(high, 0)) for low, high in pads], precision=precision)

    shape = (x.shape[0], height, width, kernel.shape[2])
    return sub_pixel_convolution(x, kernel, shape, strides, [(start, 0) for start in offset], convolve)
