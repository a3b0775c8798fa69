"""The gradient of a convolution to its kernel as products of a few images at a time.

Each pixel of an image meets each pixel of the output that it took part in. The images of a product are so few that all
this stays in the caches.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

import jax.numpy as jnp
from jax import lax

from fcnn.ops.cpu.products import pad_images
from fcnn.ops.cpu.widening import widened


def of_shifted_rows_and_columns(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient with the kernel's rows as shifted images and its columns as shifted gradients.

    One product has them all; the stride is 1.
    """
    # The product is in float32 anyway; it is cheaper to turn into that what has not been copied about.
    x, out_gradient = widened(x), widened(out_gradient)
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


def of_patches(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient from patches of the images, which meet the gradient as it is."""
    (rows, columns, *_), (down, right), (out_h, out_w) = kernel_shape, strides, out_gradient.shape[1:3]
    x = pad_images(widened(x), pads)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    last_h, last_w = (out_h - 1) * down + 1, (out_w - 1) * right + 1
    patches = [x[:, row : row + last_h : down, column : column + last_w : right] for row, column in places]
    return _product_over_pixels(jnp.concatenate(patches, axis=-1), out_gradient, precision).reshape(kernel_shape)


def of_rows_of_pixels(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes what `of_patches` does, with all that a place of the kernel meets in one row.

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
    x = widened(x)
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    x = x.reshape(batch, counts[0], down, counts[1], right, in_channels).transpose(2, 4, 5, 0, 1, 3)
    places = [
        x[i % down, j % right, :, :, i // down : i // down + out_h, j // right : j // right + out_w]
        for i in range(rows)
        for j in range(columns)
    ]
    x = jnp.concatenate(places).reshape(-1, batch * out_h * out_w)
    y = widened(out_gradient).reshape(-1, out_channels)
    return jnp.matmul(x, y, precision=precision).reshape(kernel_shape)


def _product_over_pixels(x, y, precision):
    """Returns the sums of products [x channel, y channel] over all pixels of all images."""
    x, y = x.reshape(-1, x.shape[-1]), widened(y).reshape(-1, y.shape[-1])
    return lax.dot_general(x, y, (((0,), (0,)), ((), ())), precision=precision)
