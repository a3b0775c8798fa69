"""Sub-pixel convolution: the gradient of a convolution with a stride to its images, and what enlarges images."""

import jax.numpy as jnp


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
