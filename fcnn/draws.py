"""Random arrays, one by one or many at once, with the same numbers."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, Shaped

_BLOCK = 4096
_ALIGNMENT = 64
# Blocks that the program of `draw_arrays` draws, of these at a time, and in host memory: as fits into caches.
_BLOCKS_A_CALL, _BLOCKS_AT_A_TIME, _BLOCKS_ON_HOST = 64, 8, 1024


@partial(jax.jit, static_argnames="shape")
def scaled_normal_array(
    key: Key[Array, ""], deviation: float | Float[Array, ""], shape: tuple[int, ...]
) -> Float[Array, "..."]:
    """Returns Gaussian numbers with a mean of 0.

    They come in blocks, each with a key of its own, so that they do not depend on how many are drawn at once. XLA
    compiles the same for each block, not for each shape.

    Args:
        key: what they are drawn with.
        deviation: their standard deviation.
        shape: of the array.
    """
    at_a_time = _BLOCKS_AT_A_TIME if is_threefry(key) else None
    numbers = np.arange(_count_blocks(shape))
    blocks = lax.map(lambda number: _draw_block(key, number, deviation), numbers, batch_size=at_a_time)
    return blocks.reshape(-1)[: math.prod(shape)].reshape(shape)


class Draw(NamedTuple):
    """What `scaled_normal_array` is called with: its key is `fold_in(key, data)`.

    Attributes:
        data: what is folded into the common key.
        deviation: the standard deviation.
        shape: of the array.
    """

    data: int
    deviation: float
    shape: tuple[int, ...]


def draw_arrays(key: Key[Array, ""], draws: Sequence[Draw]) -> Iterator[Float[np.ndarray, "..."]]:
    """Yields the arrays of many calls of `scaled_normal_array`, to the last bit, by one program for all shapes.

    Args:
        key: what the keys are folded from; of the generator threefry.
        draws: the calls.

    Yields:
        An array in memory that the next one may take, as of `unaligned_array`.
    """
    memory = unaligned_array((0, _BLOCK), np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for window in _windows(draws):
            counts = [_count_blocks(draw.shape) for draw in window]
            if sum(counts) > len(memory):
                memory = unaligned_array((sum(counts), _BLOCK), np.float32)
            _fill(memory[: sum(counts)], key, window, counts, threads)
            for draw, end, count in zip(window, np.cumsum(counts), counts, strict=True):
                yield memory[end - count : end].reshape(-1)[: math.prod(draw.shape)].reshape(draw.shape)


def unaligned_array(shape: tuple[int, ...], dtype: np.dtype | type) -> Shaped[np.ndarray, "..."]:
    """Returns host memory that JAX copies, as it does where the memory begins at no multiple of 64 bytes.

    Otherwise a CPU device takes it as its own, even where `device_put` is told not to (seen with JAX 0.10 and 0.12).

    Args:
        shape: of the array.
        dtype: type of its numbers.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT + dtype.itemsize, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT + dtype.itemsize
    return memory[start : start + size].view(dtype).reshape(shape)


def is_threefry(key: Array) -> bool:
    """Returns whether keys give the same numbers one by one and many at once; those of other generators do not."""
    return str(jax.random.key_impl(key)) == "threefry2x32"


def _windows(draws):
    """Yields the draws in groups, each as large as host memory is meant to be, or a single larger one."""
    window, blocks = [], 0
    for draw in draws:
        if window and blocks + _count_blocks(draw.shape) > _BLOCKS_ON_HOST:
            yield window
            window, blocks = [], 0
        window.append(draw)
        blocks += _count_blocks(draw.shape)
    if window:
        yield window


def _fill(memory, key, draws, counts, threads):
    """Draws the blocks of arrays into host memory."""
    rows = (
        np.repeat(np.array([draw.data for draw in draws], np.uint32), counts),
        np.repeat(np.array([draw.deviation for draw in draws], np.float32), counts),
        np.concatenate([np.arange(count) for count in counts]),
    )

    def fill_part(start):
        part = [row[start : start + _BLOCKS_A_CALL] for row in rows]
        missing = _BLOCKS_A_CALL - len(part[0])
        drawn = _draw_blocks(key, *(np.pad(row, (0, missing)) for row in part))
        memory[start : start + _BLOCKS_A_CALL] = np.asarray(drawn)[: len(part[0])]

    # XLA draws on one core.
    list(threads.map(fill_part, range(0, len(memory), _BLOCKS_A_CALL)))


@jax.jit
def _draw_blocks(key, data, deviations, numbers):
    def draw(row):
        data, deviation, number = row
        return _draw_block(jax.random.fold_in(key, data), number, deviation)

    return lax.map(draw, (data, deviations, numbers), batch_size=_BLOCKS_AT_A_TIME)


def _draw_block(key, number, deviation):
    numbers = jax.random.normal(jax.random.fold_in(key, number), (_BLOCK,))
    # Without the barrier, XLA may join the deviation with a factor within `normal`, and round in another way.
    return deviation * lax.optimization_barrier(numbers)


def _count_blocks(shape):
    return -(-math.prod(shape) // _BLOCK)
