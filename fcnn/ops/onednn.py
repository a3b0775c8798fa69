"""Convolutions where XLA leaves them to oneDNN: on a CPU, in a function that `fcnn.jit` compiles.

oneDNN, which comes with JAX and which PyTorch has as well, is the fastest at a convolution in the common direction, in
bfloat16 too where the CPU has units. XLA takes it only if it is told to, and not for the gradient to a kernel as
differentiation leaves it: the layers choose what suits it while such a function is traced, and else what suits XLA.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from jax import lax

from fcnn.ops import blocks

_NHWC = ("NHWC", "HWIO", "NHWC")
# So many images side by side, as channels, are what its loops take at once.
_IMAGES = 16
# Images and gradients of so many bytes stay in the caches.
_BYTES = 2**23
# It shares out rows of up to so many outputs: the three rows of a small kernel are too few for two cores.
_OUTPUTS = 16

# Who asked for it, of the convolutions in a function that can be compiled with it.
_takers = ContextVar("convolutions that take oneDNN", default=None)


@contextlib.contextmanager
def on_offer() -> Iterator[list]:
    """While this lasts, what is traced can be compiled with oneDNN; gives a list of the kernels that take it."""
    takers = []
    token = _takers.set(takers)
    try:
        yield takers
    finally:
        _takers.reset(token)


def is_on_offer() -> bool:
    """Returns whether what is traced now can be compiled with oneDNN."""
    return _takers.get() is not None


def take(kernel_shape) -> bool:
    """Returns whether a convolution will be compiled with oneDNN: it is, if that can be.

    Args:
        kernel_shape: of the convolution.
    """
    takers = _takers.get()
    if takers is not None:
        takers.append(kernel_shape)
    return takers is not None


def images_at_once(x_shape, out_shape, itemsize: int) -> int:
    """Returns how many images to hand to `kernel_gradient`."""
    batch = x_shape[0]
    image_values = sum(height * width * channels for _, height, width, channels in (x_shape, out_shape))
    most = max(1, min(_IMAGES, _BYTES // (image_values * itemsize)))
    size = blocks.images_at_once(batch, most)
    # Where a batch has no such part, all of it is faster than one after the other.
    return size if 4 * size > most else blocks.images_at_once(batch, batch)


def kernel_gradient(x, out_gradient, *, kernel_shape, strides, pads, precision):
    """Computes the gradient of a convolution to its kernel as one convolution.

    The images are its channels, and each weight sees the whole gradient, moved to its place. Where an image's channels
    lie beside each other along its width, and the gradient's columns as far apart as there are channels, the weights of
    all channels and columns are one long row of outputs, which is what oneDNN is fast with.

    Args:
        x: images, as few as `images_at_once` says.
        out_gradient: gradient to the convolution's output.
        kernel_shape: shape of the kernel.
        strides: strides of the convolution.
        pads: padding.
        precision: of the convolution.

    Returns:
        The gradient, like the kernel [rows, columns, in_channel, out_channel].
    """
    (rows, columns, in_channels, out_channels), (batch, height, width, _) = kernel_shape, x.shape
    groups = 2 if out_channels <= _OUTPUTS and in_channels % 2 == 0 else 1
    channels = in_channels // groups
    x = x.reshape(batch, height, width, groups, channels).transpose(3, 1, 2, 4, 0)
    x = x.reshape(groups, height, width * channels, batch)
    y = out_gradient.transpose(1, 2, 0, 3)
    pads, steps = (pads[0], [pad * channels for pad in pads[1]]), (strides[0], strides[1] * channels)
    out = lax.conv_general_dilated(x, y, (1, 1), pads, rhs_dilation=steps, dimension_numbers=_NHWC, precision=precision)
    # With a stride, the last pixels of an image may have seen no output.
    out = out[:, :rows, : columns * channels].reshape(groups, rows, columns, channels, out_channels)
    return out.transpose(1, 2, 0, 3, 4).reshape(kernel_shape)
