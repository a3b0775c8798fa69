"""The gradients of a convolution, in formulations that are fast on a CPU, inside a loop too.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import math
from functools import partial

import jax.numpy as jnp
from jax import lax

from fcnn.ops import bfloat16, blocks, direct, kernel_convolution, onednn, products, winograd
from fcnn.ops.products import pad_images

# Up to so many channels of the pixels that a stride steps over, a convolution that has them all in a pixel may be
# faster than XLA's with a dilated input: it fills registers of so many numbers, and has nothing to add to the image
# afterwards, where each number takes as long as so many multiply-adds.
_SUB_PIXEL_CHANNELS, _REGISTER, _ADDED = 96, 16, 64
# Up to so many channels, the pixels of a patch are gathered channel by channel, along whole rows of an image.
_FEW_CHANNELS = 8
# What is made of a few images for a product stays in the caches.
_PRODUCT_BYTES = 2**21


def input_gradient(out_gradient, kernel, x_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its images, in the layout that XLA has a fast routine for.

    XLA's own gradient has another layout, which is slow inside a loop.

    Args:
        out_gradient: gradient to the convolution's output.
        kernel: weights.
        x_shape: shape of the images.
        strides: strides of the convolution.
        pads: padding.
        precision: of the convolution.

    Returns:
        The gradient, like the images.
    """
    in_bfloat16 = bfloat16.pays(kernel.shape, out_gradient.dtype)
    as_products = in_bfloat16 and not onednn.is_on_offer()
    # XLA takes two rows that are dilated by two for groups, which aborts the process where it exchanges the operands.
    looks_grouped = any(k == stride == 2 for k, stride in zip(kernel.shape, strides, strict=False))
    if strides != (1, 1) and (in_bfloat16 or looks_grouped or sub_pixel_pays(kernel.shape, strides)):

        def convolve(x, weights, pads):
            in_products = bfloat16.pays(weights.shape, x.dtype) and not onednn.is_on_offer()
            convolution = bfloat16.convolution if in_products else direct.convolution
            return convolution(x, weights, (1, 1), pads, precision)

        return sub_pixel_convolution(out_gradient, kernel, x_shape, strides, pads, convolve)
    around = [
        (k - 1 - low, size + low - (n - 1) * stride - 1)
        for k, size, n, stride, (low, _) in zip(
            kernel.shape, x_shape[1:], out_gradient.shape[1:], strides, pads, strict=False
        )
    ]
    flipped = kernel[::-1, ::-1]
    backward = flipped.swapaxes(2, 3)
    if products.places_pay(backward.shape, strides, out_gradient.dtype):
        return products.sum_over_places(out_gradient, backward, around, precision)
    if as_products:
        return bfloat16.convolution(out_gradient, backward, strides, around, precision)
    if winograd.pays(out_gradient.shape, kernel.shape, strides, around, out_gradient.dtype):
        return winograd.convolution(out_gradient, flipped, around, precision, in_axis=1)
    return direct.convolution(out_gradient, backward, (1, 1), around, precision, strides)


def sub_pixel_pays(kernel_shape, strides):
    """Returns whether the sub-pixel convolution takes less time than XLA's, by what both of them do for an output.

    XLA multiplies the gradient of an output with all weights, and adds what each gives to its place in the image.
    """
    rows, columns, in_channels, out_channels = kernel_shape
    steps = math.prod(-(-k // stride) for k, stride in zip((rows, columns), strides, strict=True))
    channels = math.prod(strides) * in_channels
    as_sub_pixels = steps * max(channels, _REGISTER) * out_channels
    as_xla = rows * columns * in_channels * (out_channels + _ADDED)
    return steps == 1 or (channels <= _SUB_PIXEL_CHANNELS and as_sub_pixels <= as_xla)


def sub_pixel_convolution(out_gradient, kernel, x_shape, strides, pads, convolve):
    """Computes the gradient to the images of a convolution with few channels and a stride.

    With stride s, pixel i of the padded image took part in output o by the kernel's row i - s * o. The s pixels from
    s * q on thus meet the same few outputs, each by rows of its own: here they are channels of one pixel, as in a
    sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158), and XLA has few but wide products to do.

    Args:
        out_gradient: gradient to the convolution's output.
        kernel: weights.
        x_shape: shape of the images.
        strides: strides of the convolution.
        pads: padding; what comes after the images does not matter.
        convolve: computes a convolution of stride 1 of images with a kernel and a padding, which may be negative.

    Returns:
        The gradient, like the images.
    """
    rows, columns, in_channels, out_channels = kernel.shape
    (down, right), steps = strides, [-(-k // stride) for k, stride in zip(kernel.shape, strides, strict=False)]
    weights = jnp.pad(kernel, ((0, steps[0] * down - rows), (0, steps[1] * right - columns), (0, 0), (0, 0)))
    weights = weights.reshape(steps[0], down, steps[1], right, in_channels, out_channels)[::-1, :, ::-1]
    weights = weights.transpose(0, 2, 5, 1, 3, 4).reshape(*steps, out_channels, -1)

    around, kept = [], []
    for size, n, step, stride, (low, _) in zip(x_shape[1:], out_gradient.shape[1:], steps, strides, pads, strict=False):
        first, last = low // stride, (low + size - 1) // stride
        around.append((step - 1 - first, last + 1 - n))
        kept.append(slice(low % stride, low % stride + size))
    out = convolve(out_gradient, weights, around)
    batch, height, width, _ = out.shape
    out = out.reshape(batch, height, width, down, right, in_channels).transpose(0, 1, 3, 2, 4, 5)
    return out.reshape(batch, height * down, width * right, in_channels)[:, kept[0], kept[1]]


def kernel_gradient(x, out_gradient, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel, as products of a few images at a time.

    Each pixel of an image meets each pixel of the output that it took part in. To that end the kernel's rows are beside
    each other as shifted images and its columns as shifted gradients, so that one product has them all; or, where that
    makes less to copy, the patches of the images meet the gradient as it is. The images of a product are so few that
    all this stays in cache.

    Args:
        x: images.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        pads: padding.
        precision: of the products.

    Returns:
        The gradient, like the kernel [rows, columns, in_channel, out_channel].
    """
    product, size = _choose_product(x, out_gradient, kernel_shape, strides, pads, precision)
    return blocks.sum_over_images(product, (x, out_gradient), size, kernel_shape)


def _choose_product(x, out_gradient, kernel_shape, strides, pads, precision):
    """Returns a function of images and gradients that gives the kernel's, and how many images to hand it at once."""
    options = {"kernel_shape": kernel_shape, "pads": pads, "precision": precision}
    as_convolution = kernel_convolution.choose(x.shape, out_gradient.shape, kernel_shape, strides, x.dtype)
    winograd_pays = winograd.pays(x.shape, kernel_shape, strides, pads, x.dtype)
    if as_convolution and (onednn.is_on_offer() or not winograd_pays):
        function, size = as_convolution
        return partial(function, strides=strides, **options), size
    if strides == (1, 1) and bfloat16.pays(kernel_shape, x.dtype):
        size = bfloat16.images_at_once(x.shape, out_gradient.shape, kernel_shape)
        return partial(bfloat16.kernel_gradient, **options), size
    if winograd_pays:
        size = winograd.images_at_once(x.shape, kernel_shape, pads)
        return partial(winograd.kernel_gradient, pads=pads, precision=precision), size
    rows, columns, in_channels, out_channels = kernel_shape
    on_both_sides, as_patches = rows * in_channels + columns * out_channels, rows * columns * in_channels
    if strides == (1, 1) and on_both_sides <= as_patches:
        product, values = _product_of_shifted_rows_and_columns, on_both_sides
    else:
        product = _product_of_rows_of_pixels if in_channels <= _FEW_CHANNELS else _product_of_patches
        values = as_patches
    image_bytes = math.prod(out_gradient.shape[1:3]) * values * x.dtype.itemsize
    # The sum over the products is read and written once each, which should be little beside the images.
    most = max(2, max(_PRODUCT_BYTES, 16 * math.prod(kernel_shape)) // image_bytes)
    return partial(product, strides=strides, **options), blocks.images_at_once(x.shape[0], most)


def _product_of_shifted_rows_and_columns(x, out_gradient, *, kernel_shape, strides, pads, precision):
    # The product is in float32 anyway; it is cheaper to turn into that what has not been copied about.
    x, out_gradient = bfloat16.widened(x), bfloat16.widened(out_gradient)
    (rows, columns, in_channels, out_channels), (pads_h, (left, right)) = kernel_shape, pads
    height, width = out_gradient.shape[1], x.shape[2]
    x = jnp.pad(x, ((0, 0), pads_h, (0, 0), (0, 0)))
    x = jnp.concatenate([x[:, row : row + height] for row in range(rows)], axis=-1)
    # A padding wider than the kernel leaves outputs that saw no pixel; they are cut off.
    around = (columns - 1 - left, columns - 1 - right, 0)
    y = lax.pad(out_gradient, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 0, 0), around, (0, 0, 0)))
    y = jnp.concatenate([y[:, :, column : column + width] for column in reversed(range(columns))], axis=-1)
    out = _product_over_pixels(x, y, precision)
    return out.reshape(rows, in_channels, columns, out_channels).transpose(0, 2, 1, 3)


def _product_of_patches(x, out_gradient, *, kernel_shape, strides, pads, precision):
    (rows, columns, *_), (down, right), (out_h, out_w) = kernel_shape, strides, out_gradient.shape[1:3]
    x = pad_images(bfloat16.widened(x), pads)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    last_h, last_w = (out_h - 1) * down + 1, (out_w - 1) * right + 1
    patches = [x[:, row : row + last_h : down, column : column + last_w : right] for row, column in places]
    return _product_over_pixels(jnp.concatenate(patches, axis=-1), out_gradient, precision).reshape(kernel_shape)


def _product_of_rows_of_pixels(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes what `_product_of_patches` does, with all that a place of the kernel meets in one row.

    The pixels that a stride steps over are apart first, so that each place meets pixels side by side.
    """
    rows, columns, in_channels, out_channels = kernel_shape
    batch, out_h, out_w, _ = out_gradient.shape
    down, right = strides
    counts = [n + -(-k // stride) - 1 for n, k, stride in zip((out_h, out_w), (rows, columns), strides, strict=True)]
    around = [
        (low, count * stride - size - low, 0)
        for (low, _), count, stride, size in zip(pads, counts, strides, x.shape[1:3], strict=True)
    ]
    x = bfloat16.widened(x)
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    x = x.reshape(batch, counts[0], down, counts[1], right, in_channels).transpose(2, 4, 5, 0, 1, 3)
    places = [
        x[i % down, j % right, :, :, i // down : i // down + out_h, j // right : j // right + out_w]
        for i in range(rows)
        for j in range(columns)
    ]
    x = jnp.concatenate(places).reshape(-1, batch * out_h * out_w)
    y = bfloat16.widened(out_gradient).reshape(-1, out_channels)
    return jnp.matmul(x, y, precision=precision).reshape(kernel_shape)


def _product_over_pixels(x, y, precision):
    """Returns the sums of products [x channel, y channel] over all pixels of all images."""
    x, y = x.reshape(-1, x.shape[-1]), bfloat16.widened(y).reshape(-1, y.shape[-1])
    return lax.dot_general(x, y, (((0,), (0,)), ((), ())), precision=precision)
