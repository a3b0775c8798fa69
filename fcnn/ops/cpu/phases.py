"""Dilated convolution as convolutions that are not: of each phase of the images by itself.

With dilation d, an output sees only pixels whose rows and columns are its own modulo d. The pixels of each remainder
are an image of their own, and all of those are one batch for a plain convolution, which CPUs are fast at. The operation
is that of Yu and Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions", equation 2.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Pads = Sequence[tuple[int, int]]


def convolve_phases(
    x: Float[Array, "batch height width in_channel"],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    convolve: Callable[[Array, Pads], Array],
) -> Float[Array, "batch out_h out_w out_channel"]:
    """Returns a dilated convolution of stride 1 from a plain one of the phases.

    Args:
        x: images.
        kernel_size: height and width of the kernel, without the dilation.
        dilation: step between the pixels that a kernel sees, in height and in width.
        pads: pixels of zeros (before, after) in height and in width, not negative.
        convolve: computes a plain convolution of stride 1 of images with a padding.
    """
    batch, *size, _ = x.shape
    phase_pads, around, counts, out_size = [], [(0, 0)], [], []
    for n, k, d, (low, high) in zip(size, kernel_size, dilation, pads, strict=True):
        # Whole steps of padding are left to the convolution; the rest makes the phases equal.
        before = low % d
        count = -(-(before + n) // d)
        around.append((before, count * d - before - n))
        out_size.append(n + low + high - d * (k - 1))
        phase_pads.append((low // d, -(-out_size[-1] // d) + k - 1 - low // d - count))
        counts.append(count)
    (rows, columns), (down, right) = counts, dilation
    x = jnp.pad(x, (*around, (0, 0)))
    x = x.reshape(batch, rows, down, columns, right, -1).transpose(0, 2, 4, 1, 3, 5)
    out = convolve(x.reshape(batch * down * right, rows, columns, -1), phase_pads)
    _, rows, columns, channels = out.shape
    out = out.reshape(batch, down, right, rows, columns, channels).transpose(0, 3, 1, 4, 2, 5)
    return out.reshape(batch, rows * down, columns * right, channels)[:, : out_size[0], : out_size[1]]
