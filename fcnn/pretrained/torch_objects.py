"""What the pickles of PyTorch's weight files may name, and what stands for it: descriptions, no code of PyTorch's.

The errors say what is wrong with the pickle; whoever reads the file adds its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fcnn.errors import InputError

ELEMENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "torch.DoubleStorage": "float64",
        "torch.FloatStorage": "float32",
        "torch.HalfStorage": "float16",
        "torch.BFloat16Storage": "bfloat16",
        "torch.LongStorage": "int64",
        "torch.IntStorage": "int32",
        "torch.ShortStorage": "int16",
        "torch.CharStorage": "int8",
        "torch.ByteStorage": "uint8",
        "torch.BoolStorage": "bool",
    }
)

# Values of a checkpoint beside its weights; they are carried along as names and mean nothing here.
_DTYPES = frozenset(f"torch.{name}" for name in ELEMENT_TYPES.values())

# Python's hash of an integer is the integer below this bound; larger ones can be chosen to collide.
_MAX_INTEGER_KEY = 2**60
_MAX_SIZE = 2**48
_MAX_DIMENSIONS = 32


@dataclass(frozen=True)
class StorageReference:
    """Names a storage of the file: `count` elements from element `start` on of the `stored` ones under `key`."""

    key: str
    element_type: str
    stored: int
    start: int
    count: int


@dataclass(frozen=True)
class TensorReference:
    """Describes a tensor: a strided view of a storage; offset and strides count elements."""

    storage: StorageReference
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """A name of the list, such as a function to call or a storage's type."""

    name: str


def allowed_global(name: str) -> Global:
    """Returns what stands for an imported name.

    Args:
        name: the module and the name in it, joined by a full stop.

    Raises:
        InputError: the name is not on the list.
    """
    if name not in _CONSTRUCTORS and name not in ELEMENT_TYPES and name not in _DTYPES:
        raise InputError(
            f"its pickle names {name[:80]!r}, which weights do not need and which could run code: refused, nothing "
            "has run (with PyTorch, save model.state_dict() alone)"
        )
    return Global(name)


def construct(function: object, arguments: object) -> object:
    """Returns what a call of an imported name describes.

    Args:
        function: what the pickle calls.
        arguments: what it calls it with.

    Raises:
        InputError: this is no call of a function of the list with arguments of its kind.
    """
    if type(function) is not Global or function.name not in _CONSTRUCTORS or type(arguments) is not tuple:
        called = function.name if type(function) is Global else type(function).__name__
        raise InputError(f"its pickle calls {called[:80]!r}: refused, nothing has run")
    try:
        return _CONSTRUCTORS[function.name](arguments)
    except InputError as error:
        raise InputError(f"its pickle calls {function.name} with unfit arguments: {error}") from error


def _ordered_dict(arguments: tuple) -> dict:
    result: dict = {}
    if not arguments:
        return result
    # Python 2 writes OrderedDict([[key, value], ...]).
    pairs = arguments[0]
    if len(arguments) > 1 or type(pairs) not in (list, tuple):
        raise InputError("expected pairs of key and value")
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise InputError("expected pairs of key and value")
    set_items(result, [item for pair in pairs for item in pair])
    return result


def _tensor(arguments: tuple) -> TensorReference:
    # (storage, offset, shape, strides, requires_grad, backward_hooks, metadata): from the fifth on for training only
    if len(arguments) < 4:
        raise InputError(f"expected a storage, offset, shape and strides, found {len(arguments)} arguments")
    storage, offset, shape, strides = arguments[:4]
    if type(storage) is not StorageReference:
        raise InputError(f"expected a storage, found a {type(storage).__name__}")
    if not (_is_size(offset) and _are_sizes(shape) and _are_sizes(strides) and len(shape) == len(strides)):
        raise InputError("expected an offset, a shape and as many strides")
    return TensorReference(storage, offset, shape, strides)


def _first_tensor(arguments: tuple) -> TensorReference:
    if not arguments or type(arguments[0]) is not TensorReference:
        raise InputError("expected a tensor")
    return arguments[0]


def _first_tuple(arguments: tuple) -> tuple:
    if len(arguments) != 1 or type(arguments[0]) is not tuple:
        raise InputError("expected one tuple")
    return arguments[0]


_CONSTRUCTORS: Mapping[str, Callable[[tuple], object]] = MappingProxyType(
    {
        "collections.OrderedDict": _ordered_dict,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _first_tensor,
        "torch.Size": _first_tuple,
    }
)


def storage_reference(identifier: object) -> StorageReference:
    """Returns the storage that a persistent identifier names.

    Args:
        identifier: what the pickle gives for something outside it.

    Raises:
        InputError: it names no storage, or one of impossible size.
    """
    # ("storage", type, key, location, number of elements), and in the older format a view: (key, offset, number)
    if type(identifier) is not tuple or len(identifier) not in (5, 6) or identifier[0] != "storage":
        raise InputError("its pickle refers to something beside the file's storages: refused")
    _, storage_type, key, _, stored, *view = identifier
    if type(storage_type) is not Global or storage_type.name not in ELEMENT_TYPES or type(key) is not str:
        raise InputError("its pickle refers to a storage without a type and a key: refused")
    start, count = 0, stored
    if view and view[0] is not None:
        if type(view[0]) is not tuple or len(view[0]) != 3:
            raise InputError("its pickle refers to a view of a storage without an offset and a size: refused")
        _, start, count = view[0]
    if not (_is_size(stored) and _is_size(start) and _is_size(count) and start + count <= stored):
        raise InputError(f"its pickle refers to a storage of impossible size under the key {key[:80]!r}: refused")
    return StorageReference(key, ELEMENT_TYPES[storage_type.name], stored, start, count)


def set_items(target: dict, items: list) -> None:
    """Adds keys and values in turn to a dict.

    Raises:
        InputError: a value is missing, or a key is of a type whose hashing could be made to take forever.
    """
    if len(items) % 2:
        raise InputError("its pickle has a key without a value: refused")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str and not (type(key) is int and abs(key) < _MAX_INTEGER_KEY):
            raise InputError(f"its pickle has a {type(key).__name__} as the key of a dict: refused")
        target[key] = value


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_SIZE


def _are_sizes(values: object) -> bool:
    return type(values) is tuple and len(values) <= _MAX_DIMENSIONS and all(map(_is_size, values))
