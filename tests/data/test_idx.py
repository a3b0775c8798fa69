"""The idx format, written here by hand from its description."""

import contextlib
import gzip
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcnn.data.idx import parse_idx, read_file
from fcnn.errors import InputError


def idx_bytes(shape, values, kind=0x08):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + bytes(values)


LABELS = idx_bytes((3,), [7, 2, 1])
IMAGES = idx_bytes((2, 2, 3), range(12))


@given(st.lists(st.integers(0, 4), min_size=3, max_size=3), st.randoms(use_true_random=False), st.booleans())
def test_reads_what_was_written(shape, random, compressed):
    values = [random.randrange(256) for _ in range(math.prod(shape))]
    content = idx_bytes(shape, values)
    array = parse_idx(gzip.compress(content) if compressed else content, "images", dimensions=3)
    assert array.shape == tuple(shape)
    assert array.ravel().tolist() == values


def test_rows_come_first():
    np.testing.assert_array_equal(parse_idx(IMAGES, "images", dimensions=3)[1], [[6, 7, 8], [9, 10, 11]])


DAMAGED = {
    "empty": (b"", 1, ["not an idx file", "an empty file"]),
    "a picture": (b"\x89PNG\r\n", 1, ["not an idx file", "89 50 4e 47"]),
    "floats": (idx_bytes((3,), [7, 2, 1], kind=0x0D), 1, ["0x08", "0x0d"]),
    "images for labels": (IMAGES, 1, ["expected labels", "found images"]),
    "labels for images": (LABELS, 3, ["expected images", "found labels"]),
    "a table": (idx_bytes((1, 1), [0]), 3, ["expected images", "neither images nor labels"]),
    "half a header": (IMAGES[:9], 3, ["truncated", "16 bytes", "9 bytes"]),
    "truncated": (IMAGES[:-1], 3, ["truncated", "2 x 2 x 3", "28 bytes", "found 27"]),
    "trailing bytes": (LABELS + b"\x00", 1, ["trailing bytes", "11 bytes", "found 12"]),
    "truncated gzip": (gzip.compress(LABELS)[:-9], 1, ["truncated", "gzip"]),
    "gzip with trailing bytes": (gzip.compress(LABELS) + b"rest", 1, ["corrupt", "gzip"]),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_refuses(fault):
    content, dimensions, words = DAMAGED[fault]
    with pytest.raises(InputError) as caught:
        parse_idx(content, "some/file.gz", dimensions)
    message = str(caught.value)
    assert message.startswith("some/file.gz: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@given(st.data())
def test_a_damaged_gzip_file_never_gives_other_values(data):
    good = bytearray(gzip.compress(IMAGES, mtime=0))
    # The ten bytes of gzip's header hold a time and an operating system, which no checksum covers.
    position = data.draw(st.integers(10, len(good) - 1))
    good[position] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InputError):
        # Some bits fill up the last byte of the stream and say nothing.
        np.testing.assert_array_equal(parse_idx(bytes(good), "images", dimensions=3).ravel(), range(12))


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="missing: no such file"):
        read_file(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path)
