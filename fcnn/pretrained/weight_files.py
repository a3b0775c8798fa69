"""Weight files read as NumPy arrays: `.safetensors`, and both `.pth` formats, without PyTorch."""

import hashlib
import re
from pathlib import Path
from types import MappingProxyType

import numpy as np
import safetensors

from fcnn.errors import InputError
from fcnn.pretrained.torch_file import ZIP_SIGNATURE, open_torch_file, read_tensors, widen_bfloat16
from fcnn.pretrained.torch_objects import TensorReference

_SAFETENSORS_TYPES = MappingProxyType(
    {
        "F64": np.float64,
        "F32": np.float32,
        "F16": np.float16,
        "BF16": np.uint16,
        "I64": np.int64,
        "I32": np.int32,
        "I16": np.int16,
        "I8": np.int8,
        "U8": np.uint8,
        "BOOL": np.bool_,
    }
)

# Where checkpoints keep the weights beside the epoch, the optimizer and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model")

_PICKLE_SIGNATURE = b"\x80"


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Returns a file's state dict: PyTorch's keys with arrays of the stored type (bfloat16 as float32).

    The format follows from the content, not from the name: safetensors, or what `torch.save` wrote, as a zip archive
    or, before torch 1.6, as a stream. A checkpoint may hold the state dict under `state_dict`, `model_state_dict` or
    `model`. The prefix `module.` of `torch.nn.DataParallel` is dropped.

    Nothing in a file is ever executed, and no memory is taken beyond a small multiple of the file's size.

    Args:
        path: the file. If its name ends in a hyphen, 8 hexadecimal digits and `.pth`, as the published ones do, these
            are compared with its SHA-256.

    Raises:
        InputError: the file cannot be read, has another hash than its name says, is of no known format, damaged, or
            holds more than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is no file' if path.exists() else 'does not exist'}, expected a file of weights")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        check_hash(path.name, hashlib.sha256(data).hexdigest())
        return _without_prefix(_parse(data))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_hash(file_name: str, sha256: str) -> None:
    """Refuses content whose hash is not the one in the file's name; other names say nothing about it.

    Args:
        file_name: such as `resnet18-f37072fd.pth`.
        sha256: the content's SHA-256 in hexadecimal digits.

    Raises:
        InputError: they differ.
    """
    named = re.search(r"-([0-9a-f]{8})\.pth$", file_name)
    if named and not sha256.startswith(named[1]):
        raise InputError(
            f"its SHA-256 begins with {sha256[:8]}, expected {named[1]} as in its name: get the file again"
        )


def _parse(data: bytes) -> dict[str, np.ndarray]:
    if data.startswith((ZIP_SIGNATURE, _PICKLE_SIGNATURE)) and not _is_safetensors(data):
        file = open_torch_file(data)
        return read_tensors(file, _state_dict(file.content))
    if _is_safetensors(data):
        return _parse_safetensors(data)
    raise InputError("is neither safetensors nor a file of torch.save, or it is cut off")


def _is_safetensors(data: bytes) -> bool:
    # the length of the header in 8 bytes, then the header in JSON
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def _parse_safetensors(data: bytes) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"its safetensors header is damaged ({str(error)[:80]!r}): get the file again") from error
    tensors = {}
    for key, entry in entries:
        if entry["dtype"] not in _SAFETENSORS_TYPES:
            raise InputError(
                f"its tensor {key[:80]!r} has the type {entry['dtype']}, "
                f"expected one of {', '.join(_SAFETENSORS_TYPES)}"
            )
        stored = np.frombuffer(entry["data"], _SAFETENSORS_TYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[key] = widen_bfloat16(stored) if entry["dtype"] == "BF16" else stored
    return tensors


def _state_dict(content: object) -> dict[str, TensorReference]:
    if type(content) is dict:
        for wrapper in _WRAPPERS:
            if type(content.get(wrapper)) is dict:
                content = content[wrapper]
                break
    if type(content) is not dict or not content:
        raise InputError(f"holds a {type(content).__name__}, expected a state dict: names with their tensors")
    for key, value in content.items():
        if type(key) is not str or type(value) is not TensorReference:
            raise InputError(
                f"has a {type(value).__name__} under {str(key)[:80]!r}, expected a state dict: names with their tensors"
            )
    return content


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = "module."
    if all(key.startswith(prefix) for key in tensors):
        return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors
