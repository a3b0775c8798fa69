"""Batches that are worked on a few images at a time, so that what is made of them stays in the caches.

A batch may be split over devices, in equal parts one after the other. If each turn of the loop took the images of one
device, all the others would have to be sent them, and would do the same work; inside a loop, XLA on CPU may even wait
for ever for what is sent. Here each turn takes as many images of every part.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.transposition import varying_as


def images_at_once(batch: int, most: int) -> int:
    """Returns how many images of each device to work on at once, a divisor of their number.

    Args:
        batch: number of images in all.
        most: as many as stay in the caches.
    """
    return largest_divisor(batch // _parts(batch), most)


def map_images(function: Callable, x, size: int):
    """Computes a function of images, which gives an array of as many results, a few images at a time.

    Args:
        function: of images [some, ...].
        x: images [batch, ...].
        size: what `images_at_once` says.

    Returns:
        The results [batch, ...].
    """
    batch, parts = x.shape[0], _parts(x.shape[0])
    if size * parts == batch:
        return function(x)
    out = lax.map(lambda block: function(block.reshape(-1, *x.shape[1:])), _blocks(x, size))
    result = out.shape[2:]
    if parts > 1:
        out = out.reshape(-1, parts, size, *result).swapaxes(0, 1)
    return out.reshape(batch, *result)


def sum_over_images(function: Callable, arrays: Sequence, size: int, shape: Sequence[int]):
    """Computes a function that is a sum over images, a few images at a time.

    Args:
        function: of arrays [some, ...], an image each.
        arrays: arrays [batch, ...].
        size: what `images_at_once` says.
        shape: of the sum.

    Returns:
        The sum over the batch, in float32 at least.
    """
    parts = _parts(arrays[0].shape[0])
    if size * parts == arrays[0].shape[0]:
        return function(*arrays)
    # Each device has a sum of its own until the end.
    of_block, shape = (function, shape) if parts == 1 else (jax.vmap(function), (parts, *shape))
    start = varying_as(jnp.zeros(shape, jnp.promote_types(arrays[0].dtype, jnp.float32)), *arrays)
    blocks = [_blocks(array, size) for array in arrays]
    total = lax.scan(lambda total, block: (total + of_block(*block), None), start, blocks)[0]
    return total if parts == 1 else total.sum(axis=0)


def largest_divisor(number: int, most: int) -> int:
    """Returns the largest divisor of a number that is at most so large."""
    return next(size for size in range(min(number, most), 0, -1) if number % size == 0)


def _parts(batch):
    """Returns in how many parts of a batch no device has images of two."""
    return math.gcd(batch, jax.device_count())


def _blocks(array, size):
    """Returns [turn, image, ...], or [turn, part, image of the part, ...] where there are several parts."""
    parts = _parts(array.shape[0])
    if parts == 1:
        # XLA copies arrays whose axes of one element are exchanged.
        return array.reshape(-1, size, *array.shape[1:])
    return array.reshape(parts, -1, size, *array.shape[1:]).swapaxes(0, 1)
