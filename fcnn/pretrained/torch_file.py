"""The two formats of `torch.save`: a zip archive since torch 1.6, and the stream of pickles before."""

import functools
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt16

from fcnn.errors import InputError
from fcnn.pretrained.torch_objects import StorageReference, TensorReference
from fcnn.pretrained.torch_pickle import read_pickle

ZIP_SIGNATURE = b"PK\x03\x04"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001


# Tensors may share a storage, as tied weights do, but not so that a small file describes any amount of memory.
_MAX_SHARING = 4


class TorchFile(NamedTuple):
    """What a file of `size` bytes holds, with its tensors still described; `read` gives a storage's bytes."""

    content: object
    read: Callable[[StorageReference], memoryview]
    byte_order: Literal["<", ">"]
    size: int


def open_torch_file(data: bytes) -> TorchFile:
    """Returns the content of a file of `torch.save`.

    Args:
        data: the file's content.

    Raises:
        InputError: the file is damaged, compressed, or wants more than weights need; nothing of it has run.
    """
    return _open_zip(data) if data.startswith(ZIP_SIGNATURE) else _open_stream(data)


def read_tensors(file: TorchFile, tensors: dict[str, TensorReference]) -> dict[str, np.ndarray]:
    """Returns the arrays that are described, as views of the file's bytes where their type allows it.

    Args:
        file: the open file.
        tensors: descriptions of some of its tensors.

    Raises:
        InputError: a tensor reaches beyond its storage, a storage beyond the file, or the tensors are together far
            larger than the file.
    """
    total = sum(math.prod(t.shape) * _stored_type(t.storage.element_type).itemsize for t in tensors.values())
    if total > _MAX_SHARING * file.size:
        raise InputError(f"its tensors take {total:,} bytes, more than {_MAX_SHARING} times the file's size: refused")
    storages = {storage: file.read(storage) for storage in {tensor.storage for tensor in tensors.values()}}
    return {name: _array(name, tensor, storages[tensor.storage], file.byte_order) for name, tensor in tensors.items()}


def widen_bfloat16(bits: UInt16[np.ndarray, "*shape"]) -> np.ndarray:
    """Returns the float32 numbers whose upper halves are given: bfloat16, which NumPy does not have."""
    return np.asarray(np.left_shift(bits, 16, dtype=np.uint32, casting="unsafe")).view(np.float32)


def _open_zip(data: bytes) -> TorchFile:
    try:
        records = zipfile.ZipFile(BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise InputError("its zip archive is damaged or cut off: get the file again") from error
    # PyTorch stores without compression. So the records together cannot be larger than the file, unless they overlap.
    if any(r.compress_type != zipfile.ZIP_STORED or r.flag_bits & 1 for r in records):
        raise InputError("its zip archive is compressed or encrypted, which torch.save never does: refused")
    if any(r.compress_size != r.file_size for r in records) or sum(r.file_size for r in records) > len(data):
        raise InputError("the records of its zip archive are larger than the file: refused")
    by_name = {record.filename: record for record in records}
    if len(by_name) != len(records):
        raise InputError("its zip archive has two records of one name: refused")
    folder = records[0].filename.split("/")[0] if records else ""
    if f"{folder}/constants.pkl" in by_name:
        raise InputError("it is a TorchScript archive, expected weights: save model.state_dict() instead")
    if f"{folder}/data.pkl" not in by_name:
        raise InputError("its zip archive has no record data.pkl, expected a file of torch.save")

    @functools.cache
    def read_record(name: str) -> memoryview:
        if f"{folder}/{name}" not in by_name:
            raise InputError(f"its zip archive lacks the record {name[:80]!r}: get the file again")
        return _record(data, by_name[f"{folder}/{name}"])

    def read_storage(storage: StorageReference) -> memoryview:
        return _part(storage, read_record(f"data/{storage.key}"))

    byte_order = bytes(read_record("byteorder")) if f"{folder}/byteorder" in by_name else b"little"
    if byte_order not in (b"little", b"big"):
        raise InputError(f"its record byteorder says {byte_order[:20]!r}, expected little or big")
    content = read_pickle(BytesIO(read_record("data.pkl"))).content
    return TorchFile(content, read_storage, "<" if byte_order == b"little" else ">", len(data))


def _record(data: bytes, info: zipfile.ZipInfo) -> memoryview:
    header = data[info.header_offset : info.header_offset + 30] if info.header_offset >= 0 else b""
    if len(header) < 30 or not header.startswith(ZIP_SIGNATURE):
        raise InputError("its zip archive is damaged: get the file again")
    name_length, extra_length = struct.unpack("<HH", header[26:])
    start = info.header_offset + 30 + name_length + extra_length
    record = memoryview(data)[start : start + info.file_size]
    if len(record) != info.file_size or zlib.crc32(record) != info.CRC:
        raise InputError(f"the record {info.filename[:80]!r} of its zip archive is damaged: get the file again")
    return record


def _open_stream(data: bytes) -> TorchFile:
    stream = BytesIO(data)
    if read_pickle(stream).content != _STREAM_MAGIC or read_pickle(stream).content != _STREAM_PROTOCOL:
        raise InputError("it is no file of torch.save: expected the magic number and protocol 1001 at its beginning")
    read_pickle(stream)  # the writer's byte order and integer sizes: storages are little-endian whatever it says
    content, references = read_pickle(stream)
    keys = read_pickle(stream).content
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise InputError("its list of storages is damaged: get the file again")

    raw: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        if key not in references:
            raise InputError(f"nothing refers to its storage {key[:80]!r}: refused")
        count = int.from_bytes(data[position : position + 8], "little")
        start = position + 8
        position = start + count * _stored_type(references[key].element_type).itemsize
        if position > len(data):
            raise InputError(f"its storage {key[:80]!r} reaches beyond the end of the file: get the file again")
        raw[key] = memoryview(data)[start:position]

    def read_storage(storage: StorageReference) -> memoryview:
        if storage.key not in raw:
            raise InputError(f"it lacks the storage {storage.key[:80]!r}: get the file again")
        return _part(storage, raw[storage.key])

    return TorchFile(content, read_storage, "<", len(data))


def _part(storage: StorageReference, stored: memoryview) -> memoryview:
    itemsize = _stored_type(storage.element_type).itemsize
    if len(stored) != storage.stored * itemsize:
        raise InputError(
            f"its storage {storage.key[:80]!r} has {len(stored)} bytes, expected {storage.stored * itemsize}: refused"
        )
    return stored[storage.start * itemsize : (storage.start + storage.count) * itemsize]


def _array(name: str, tensor: TensorReference, storage: memoryview, byte_order: Literal["<", ">"]) -> np.ndarray:
    stored_type = _stored_type(tensor.storage.element_type)
    size, count = math.prod(tensor.shape), tensor.storage.count
    strides = tuple(stride * stored_type.itemsize for stride in tensor.strides)
    try:
        # An expanded tensor repeats elements by a stride of 0: a small file could describe one of any size.
        if size > count:
            raise ValueError
        if size == 0:
            stored = np.empty(tensor.shape, stored_type)
        else:
            # NumPy refuses what reaches beyond the storage.
            file_type = stored_type.newbyteorder(byte_order)
            stored = np.ndarray(tensor.shape, file_type, storage, tensor.offset * stored_type.itemsize, strides)
    except ValueError as error:
        raise InputError(
            f"its tensor {name[:80]!r} of shape {tensor.shape} does not fit its storage of {count} elements"
        ) from error
    match tensor.storage.element_type:
        case "bfloat16":
            return widen_bfloat16(stored.astype(stored_type, copy=False))
        case "bool":
            return np.asarray(stored != 0)
    return stored.astype(stored_type, copy=False)


def _stored_type(element_type: str) -> np.dtype:
    # NumPy has no bfloat16, and takes a boolean byte for 0 or 1 without looking.
    return np.dtype({"bfloat16": "uint16", "bool": "uint8"}.get(element_type, element_type))
