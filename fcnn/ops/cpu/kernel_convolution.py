"""The gradient of a convolution to its kernel as one convolution, of a few images at a time.

As in `products`, images are [batch, height, width, channel], kernels [rows, columns, in_channel, out_channel], and the
padding is in pixels ((top, bottom), (left, right)).
"""

from jax import lax

_NHWC = ("NHWC", "HWIO", "NHWC")

# See `kernel_gradient_plan`.
_OUTPUTS = 16


def plain(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel as one convolution, as XLA does.

    The images are its channels, the images' channels its images, and each weight sees the whole gradient, moved to its
    place. XLA's own has another layout, which is slow inside a loop.

    Args:
        x: images, as many as the plan says.
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
