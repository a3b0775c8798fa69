"""Batches that are worked on a few images at a time, so that what is made of them stays in the caches.

A batch may be split over devices, in equal parts one after the other. If each turn of the loop took the images of one
device, all the others would have to be sent them, and would do the same work; inside a loop, XLA on CPU may even wait
for ever for what is sent. Here each turn takes as many images of every part.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

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

    def of_turn(turn):
        return function(_block(x, turn, size).reshape(-1, *x.shape[1:]))

    out = lax.map(of_turn, jnp.arange(batch // (size * parts)))
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
    batch, parts = arrays[0].shape[0], _parts(arrays[0].shape[0])
    if size * parts == batch:
        return jax.checkpoint(function, prevent_cse=False)(*arrays)
    # Each device has a sum of its own until the end.
    of_block, shape = (function, shape) if parts == 1 else (jax.vmap(function), (parts, *shape))

    @partial(jax.checkpoint, prevent_cse=False)
    def of_turn(turn, *arrays):
        return of_block(*(_block(array, turn, size) for array in arrays))

    start = varying_as(jnp.zeros(shape, jnp.promote_types(arrays[0].dtype, jnp.float32)), *arrays)
    turns = jnp.arange(batch // (size * parts))
    total = lax.scan(lambda total, turn: (total + of_turn(turn, *arrays), None), start, turns)[0]
    return total if parts == 1 else total.sum(axis=0)


def largest_divisor(number: int, most: int) -> int:
    """Returns the largest divisor of a number that is at most so large."""
    return next(size for size in range(min(number, most), 0, -1) if number % size == 0)


def _parts(batch):
    """Returns in how many parts of a batch no device has images of two."""
    return math.gcd(batch, jax.device_count())


def _block(array, turn, size):
    """Returns the images of a turn [image, ...], or [part, image of the part, ...] where there are several parts.

    They are cut from the array as it is: if the loop were handed an array of another shape, XLA would compute what
    gives the images a second time, for that one.
    """
    parts = _parts(array.shape[0])
    if parts == 1:
        return lax.dynamic_slice_in_dim(array, turn * size, size)
    return lax.dynamic_slice_in_dim(array.reshape(parts, -1, *array.shape[1:]), turn * size, size, axis=1)
