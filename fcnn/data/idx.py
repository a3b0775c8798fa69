"""The idx file format, in which MNIST and the sets made after it are published."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fcnn.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_CONTENT = {1: "labels", 3: "images"}


def read_file(path: Path) -> bytes:
    """Returns the bytes of a file.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def parse_idx(content: bytes, source: str, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Returns the array that an idx file holds.

    The format: two zero bytes, a type byte (0x08 for unsigned bytes), the number of dimensions, each size as a
    big-endian 32-bit integer, then the values in row-major order (Yann LeCun's MNIST page, "File formats").

    Args:
        content: the bytes of the file, gzipped or not.
        source: the file's name, for the messages.
        dimensions: the expected number of dimensions: 1 for labels, 3 for images.

    Raises:
        InputError: the content is truncated, corrupt, longer than its sizes say, or not what was expected.
    """
    if content.startswith(_GZIP_MAGIC):
        content = _decompress(content, source)
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise InputError(
            f"{source}: not an idx file: expected it to begin with 00 00 08 {dimensions:02x} (or gzip's 1f 8b), "
            f"found {content[:4].hex(' ') or 'an empty file'}"
        )
    kind, found_dimensions = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise InputError(f"{source}: expected unsigned bytes (idx type 0x08), found idx type 0x{kind:02x}")
    if found_dimensions != dimensions:
        found = _CONTENT.get(found_dimensions, "neither images nor labels")
        raise InputError(
            f"{source}: expected {_CONTENT[dimensions]} (idx with {dimensions} dimensions), "
            f"found {found} (idx with {found_dimensions} dimensions)"
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise InputError(f"{source}: truncated: expected a header of {header} bytes, found {len(content)} bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "trailing bytes"
        sizes = " x ".join(map(str, shape))
        raise InputError(f"{source}: {fault}: its header says {sizes}, expected {expected} bytes, found {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _decompress(content: bytes, source: str) -> bytes:
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise InputError(
            f"{source}: truncated: expected a complete gzip file, found {len(content)} bytes without its end"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{source}: corrupt: expected a gzip file, found {len(content)} bytes that do not decompress ({error})"
        ) from error
