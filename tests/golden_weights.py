"""Weights that are a function of their key and shape: what the goldens were made with."""

import zlib
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "goldens"


def weight(key, shape):
    """The entry of a state dict that the goldens were made with."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    if key.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) >= 2:
        values = rng.standard_normal(shape)
        values *= np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith(".weight"):
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = rng.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()
