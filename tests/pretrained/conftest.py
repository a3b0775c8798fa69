"""Writers of weight files in PyTorch's two formats, by hand: what the bytes are is what the tests are about."""

import io
import struct
import zipfile
from collections import OrderedDict
from typing import NamedTuple

import pytest


class Global(NamedTuple):
    """A name that the pickle imports."""

    module: str
    name: str


class Reduce(NamedTuple):
    """A call of an imported name."""

    function: Global
    arguments: tuple


class Persistent(NamedTuple):
    """A reference to a storage."""

    identifier: tuple


class Raw(NamedTuple):
    """Instructions as they are."""

    instructions: bytes


def encode(value) -> bytes:
    """Returns the pickle instructions of protocol 2 that push a value."""
    match value:
        case Raw():
            return value.instructions
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Reduce():
            return encode(value.function) + encode(value.arguments) + b"R"
        case Persistent():
            return encode(value.identifier) + b"Q"
        case OrderedDict():
            # with the attribute _metadata, as the state dicts of PyTorch have
            start = encode(Reduce(Global("collections", "OrderedDict"), ()))
            return start + _items(value) + encode({"_metadata": {}}) + b"b"
        case dict():
            return b"}" + _items(value)
        case tuple():
            return b"(" + b"".join(map(encode, value)) + b"t"
        case list():
            return b"](" + b"".join(map(encode, value)) + b"e"
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            size = value.bit_length() // 8 + 1
            return bytes([0x8A, size]) + value.to_bytes(size, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case None:
            return b"N"
    raise TypeError(value)


def _items(value):
    return b"(" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"u"


def dumps(value) -> bytes:
    """Returns the pickle of a value in protocol 2."""
    return b"\x80\x02" + encode(value) + b"."


def tensor(storage_type, key, stored, shape, strides, offset=0, view=()):
    """Returns what PyTorch writes for a tensor; `view` is `(None,)` in the stream format."""
    storage = Persistent(("storage", Global("torch", storage_type), key, "cpu", stored, *view))
    hooks = Reduce(Global("collections", "OrderedDict"), ())
    return Reduce(Global("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, hooks))


def zip_file(content, storages=(), byte_order="little", compression=zipfile.ZIP_STORED, folder="archive"):
    """Returns a file of torch 1.6 and newer: `content` is a value or a pickle, `storages` pairs of key and bytes."""
    pickled = content if isinstance(content, bytes) else dumps(content)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", pickled)
        archive.writestr(f"{folder}/byteorder", byte_order)
        for key, data in dict(storages).items():
            archive.writestr(f"{folder}/data/{key}", data)
        archive.writestr(f"{folder}/version", "3\n")
    return file.getvalue()


def stream_file(content, storages=(), itemsize=4):
    """Returns a file from before torch 1.6."""
    pickled = content if isinstance(content, bytes) else dumps(content)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [dumps(0x1950A86A20F9469CFC6C), dumps(1001), dumps(system), pickled, dumps(list(dict(storages)))]
    for data in dict(storages).values():
        parts.append(struct.pack("<q", len(data) // itemsize) + data)
    return b"".join(parts)


class TorchWriter(NamedTuple):
    """The functions above for the tests."""

    Global = Global
    Reduce = Reduce
    Persistent = Persistent
    Raw = Raw
    dumps = staticmethod(dumps)
    tensor = staticmethod(tensor)
    zip_file = staticmethod(zip_file)
    stream_file = staticmethod(stream_file)


@pytest.fixture(scope="session")
def torch_writer():
    return TorchWriter
