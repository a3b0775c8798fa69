"""Files made to do harm are refused with one line, and nothing of them runs."""

import builtins
import contextlib
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fcnn.errors import InputError
from fcnn.pretrained import torch_pickle
from fcnn.pretrained.weight_files import read_weights

DATA = np.arange(4, dtype="<f4").tobytes()
NO_STORAGES = MappingProxyType({})
STORAGES = MappingProxyType({"0": DATA})


class Call:
    """Is pickled as a call of a function, as the usual attack does it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def refuse(tmp_path, torch_writer):
    """Returns a function that says that a pickle is refused in both formats, and a file as it is."""

    def refuse(pickled, match=None, storages=NO_STORAGES, as_it_is=False):
        contents = [pickled] if as_it_is else [make(pickled, storages) for make in makers]
        for content in contents:
            path = tmp_path / "hostile.pth"
            path.write_bytes(content)
            with pytest.raises(InputError, match=match) as caught:
                read_weights(path)
            assert str(caught.value).startswith(str(path))
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 500

    makers = (torch_writer.zip_file, torch_writer.stream_file)
    return refuse


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "in a state dict", "as a key"])
def test_calls_do_not_run(refuse, tmp_path, monkeypatch, protocol, place):
    called = []
    monkeypatch.setattr(builtins, "eval", called.append)
    trace = tmp_path / "trace"
    for call in (Call(os.system, f"touch {trace}"), Call(eval, f"open({str(trace)!r}, 'w')"), Call(open, trace, "w")):
        content = {"alone": call, "in a state dict": {"a": call}, "as a key": {(1, call): 1}}[place]
        refuse(pickle.dumps(content, protocol))
    assert not trace.exists()
    assert not called


@pytest.mark.parametrize(
    "name",
    [
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "eval"),
        ("torch.hub", "load"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "__builtins__"),
        ("torch.storage", "_load_from_bytes"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "namedtuple"),
        ("numpy", "load"),
        ("fcnn.pretrained.torch_pickle", "read_pickle"),
        ("", ""),
    ],
)
def test_names_outside_the_list_are_named(refuse, torch_writer, name):
    refuse(torch_writer.dumps({"a": torch_writer.Global(*name)}), match=f"names '{'.'.join(name)}'")
    dumped = pickle.SHORT_BINUNICODE + bytes([len(name[0])]) + name[0].encode()
    dumped += pickle.SHORT_BINUNICODE + bytes([len(name[1])]) + name[1].encode() + pickle.STACK_GLOBAL
    refuse(b"\x80\x04" + dumped + b".", match=f"names '{'.'.join(name)}'")


@pytest.mark.parametrize(
    "instructions",
    [
        b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
        b"(cos\nsystem\nX\x04\x00\x00\x00trueo",  # OBJ
        b"(X\x04\x00\x00\x00trueios\nsystem\n",  # INST
        b"ccollections\nOrderedDict\n)\x81",  # NEWOBJ
        b"ccollections\nOrderedDict\n)}\x92",  # NEWOBJ_EX
        b"\x82\x01",  # EXT1
        b"\x83\x01\x00",  # EXT2
        b"\x84\x01\x00\x00\x00",  # EXT4
        b"Pfile\n",  # PERSID
        b"}2",  # DUP
        b"}}0",  # POP
        b"\x8f",  # EMPTY_SET
        b"(\x91",  # FROZENSET
        b"\x97",  # NEXT_BUFFER
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f",  # BYTEARRAY8
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",  # BINBYTES8
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",  # BINUNICODE8
        b"X\xff\xff\xff\xff",  # BINUNICODE
        b"T\xff\xff\xff\xff",  # BINSTRING of negative length
        b"\x8b\xff\xff\xff\x7f",  # LONG4
        b"\x8b\xff\xff\xff\xff",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",  # FRAME
        b"L" + b"9" * 5000 + b"L\n",
        b"r\xff\xff\xff\xff",  # LONG_BINPUT of an empty stack
        b"h\x07",  # BINGET of nothing
        b"t",  # TUPLE without a mark
        b"\x87",  # TUPLE3 of an empty stack
        b"a",
        b"(}X\x01\x00\x00\x00as",  # SETITEM onto a mark
        b"Na",
        b"](NNu",  # SETITEMS of a list
        b"}(Ne",  # APPENDS to a dict
        b"}(X\x01\x00\x00\x00au",  # a key without a value
        b"\x93",
        b"NN\x93",
        b"Q",
        b"NQ",
        b"",
    ],
)
def test_other_instructions(refuse, instructions):
    refuse(b"\x80\x02" + instructions + b".")
    refuse(b"\x80\x02}" + instructions + b".", "expected a state dict" if not instructions else None)


def test_protocol_6(refuse):
    refuse(b"\x80\x06}.", match="protocol 6, the latest is 5")


def test_building_sets_nothing(refuse):
    state = b"}(X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00aX\x09\x00\x00\x00__class__Nu"
    refuse(b"\x80\x02ccollections\nOrderedDict\n" + state + b"b.", match="treats a")
    refuse(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b.", match="treats a")
    refuse(b"\x80\x02]" + state + b"b.", match="treats a list as a dict")
    # a state dict has such a state, and it is dropped
    refuse(b"\x80\x02ccollections\nOrderedDict\n)R" + state + b"b.", match="holds a dict, expected a state dict")


def test_allowed_names_with_strange_arguments(refuse, torch_writer):
    w = torch_writer
    tensor = w.Global("torch._utils", "_rebuild_tensor_v2")
    ordered = w.Global("collections", "OrderedDict")
    storage = w.Persistent(("storage", w.Global("torch", "FloatStorage"), "0", "cpu", 4))
    calls = [
        w.Reduce(tensor, ()),
        w.Reduce(tensor, ("a", 0, (2,), (1,))),
        w.Reduce(tensor, (storage, None, (2,), (1,))),
        w.Reduce(tensor, (storage, 0, [2], [1])),
        w.Reduce(tensor, (storage, 0, (2, 2), (1,))),
        w.Reduce(tensor, (storage, 0, (-2,), (1,))),
        w.Reduce(tensor, (storage, 3, (2,), (-1,))),
        w.Reduce(tensor, (storage, -1, (2,), (1,))),
        w.Reduce(tensor, (storage, 0, (True,), (1,))),
        w.Reduce(tensor, (storage, 0, (2.0,), (1,))),
        w.Reduce(tensor, (storage, 0, (1,) * 100, (1,) * 100)),
        w.Reduce(tensor, (storage, 0, (2**200,), (1,))),
        w.Reduce(tensor, ((storage, 0), 0, (2,), (1,))),
        w.Reduce(ordered, (1,)),
        w.Reduce(ordered, ([1],)),
        w.Reduce(ordered, ([["a"]],)),
        w.Reduce(ordered, ([], [])),
        w.Reduce(w.Global("torch", "Size"), ()),
        w.Reduce(w.Global("torch", "FloatStorage"), (2**40,)),
        w.Reduce(w.Global("torch", "float32"), ()),
        w.Reduce(w.Global("torch._utils", "_rebuild_parameter"), (1, 2, 3)),
        w.Raw(b"ccollections\nOrderedDict\n}R"),
        w.Raw(b"NN)R"),
        w.Raw(b"(tN)R"),
    ]
    for call in calls:
        refuse(w.dumps({"a": call}), match="its pickle calls")


@pytest.mark.parametrize(
    "identifier",
    [
        "0",
        (),
        ("storage",),
        ("module", "a", "b", "c", "d"),
        ("storage", "FloatStorage", "0", "cpu", 4),
        ("storage", None, "0", "cpu", 4),
    ],
)
def test_other_persistent_identifiers(refuse, torch_writer, identifier):
    refuse(torch_writer.dumps({"a": torch_writer.Persistent(identifier)}), match="its pickle refers to")


@pytest.mark.parametrize(
    ("key", "stored", "view"),
    [
        ("0", -1, (None,)),
        ("0", 2**62, (None,)),
        ("0", 2**70, (None,)),
        ("0", 5, (None,)),
        ("0", 3, (None,)),
        ("../../etc/passwd", 4, (None,)),
        ("", 4, (None,)),
        (0, 4, (None,)),
        ("0", 4, (("v", 2, 3),)),
        ("0", 4, (("v", -1, 2),)),
        ("0", 4, (5,)),
    ],
)
def test_storages_outside_the_file(refuse, torch_writer, key, stored, view):
    tensor = torch_writer.tensor("FloatStorage", key, stored, (1,), (1,), view=view)
    refuse(torch_writer.dumps({"a": tensor}), storages=STORAGES)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((5,), (1,), 0),
        ((2,), (1,), 3),
        ((2,), (4,), 0),
        ((2, 2), (3, 2), 0),
        ((), (), 4),
        ((2**40,), (0,), 0),
        ((2**40, 2**40), (0, 0), 0),
        ((5,), (0,), 0),
        ((0, 2**40, 2**40), (1, 1, 1), 0),
        ((1,), (1,), 2**40),
    ],
)
def test_tensors_outside_their_storage(refuse, torch_writer, shape, strides, offset):
    tensor = torch_writer.tensor("FloatStorage", "0", 4, shape, strides, offset, view=(None,))
    refuse(torch_writer.dumps({"a": tensor}), "does not fit|4 times", STORAGES)


def test_a_storage_under_two_types(refuse, torch_writer):
    tensors = {t: torch_writer.tensor(t, "0", 4, (4,), (1,), view=(None,)) for t in ("FloatStorage", "DoubleStorage")}
    refuse(torch_writer.dumps(tensors), "has 16 bytes, expected 32", STORAGES)


def test_many_tensors_of_one_storage(refuse, torch_writer):
    data = bytes(200_000)
    tensors = {str(i): torch_writer.tensor("BFloat16Storage", "0", 100_000, (100_000,), (1,)) for i in range(50)}
    tracemalloc.start()
    refuse(torch_writer.zip_file(tensors, {"0": data}), match="more than 4 times the file's size", as_it_is=True)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02" + b"(" * 5_000 + b".",
        b"\x80\x02" + b"]" * 5_000 + b"a" * 4_999 + b".",
        b"\x80\x02)" + b"\x85" * 5_000 + b".",
        b"\x80\x02]" + b"".join(b"q\x00](" + b"h\x00" * 100 + b"e" for _ in range(30)) + b".",  # laughs
        b"\x80\x02)" + b"".join(b"q\x00(" + b"h\x00" * 100 + b"t" for _ in range(30)) + b".",
        b"\x80\x02}]q\x00h\x00ah\x00s.",  # a list that holds itself, as a key
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",  # a dict that holds itself
        b"\x80\x02}" + b"X\x05\x00\x00\x00modelh\x00s" * 3 + b".",
    ],
)
def test_nesting_and_sharing(refuse, pickled):
    tracemalloc.start()
    refuse(pickled)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_keys_of_equal_hash(refuse, torch_writer):
    multiples = {i * (2**61 - 1): None for i in range(1, 100)}
    refuse(torch_writer.dumps(multiples), match="key of a dict")


def test_tuples_as_keys(refuse):
    # The hash of a tuple that shares its parts twice at each of 100 levels would take 2**100 steps.
    laughs = b")" + b"".join(b"q\x00h\x00\x86" for _ in range(100))
    refuse(b"\x80\x02}" + laughs + b"Ns.", match="a tuple as the key")


def test_too_many_instructions(refuse, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_INSTRUCTIONS", 1_000)
    refuse(b"\x80\x02" + b"N" * 1_000 + b".", match="more than 1,000 instructions")


def _zip(records, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in records:
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_strange_archives(refuse, torch_writer):
    w = torch_writer
    pickled = w.dumps({"a": w.tensor("FloatStorage", "0", 4, (4,), (1,))})
    good = w.zip_file(pickled, {"0": DATA})
    for content, match in [
        (_zip([]), "neither"),  # an empty archive begins in another way
        (_zip([("x", b"")]), "no record data.pkl"),
        (_zip([("x.zip", good)]), "no record data.pkl"),
        (_zip([("a/data.pkl", good)]), "pickle"),
        (_zip([("a/b/data.pkl", pickled), ("a/b/data/0", DATA)]), "no record data.pkl"),
        (_zip([("a/data.pkl", pickled)]), "lacks the record 'data/0'"),
        (_zip([("a/data.pkl", pickled), ("a/data/0", DATA[:-1])]), "has 15 bytes, expected 16"),
        (_zip([("a/data.pkl", pickled), ("a/data/0", DATA), ("a/data/0", DATA)]), "two records of one name"),
        (_zip([("a/data.pkl", pickled), ("a/constants.pkl", b"")]), "TorchScript"),
        (w.zip_file(pickled, {"0": DATA}, byte_order="middle"), "byteorder"),
        (w.zip_file(pickled, {"0": bytes(10_000_000)}, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (w.zip_file(pickled, {"0": DATA}, compression=zipfile.ZIP_BZIP2), "compressed"),
        (good.replace(DATA, DATA[::-1]), "damaged"),
    ]:
        refuse(content, match=match, as_it_is=True)


def test_records_that_overlap(refuse, torch_writer):
    # Three entries of the directory for one record of 1 MB: larger together than the file.
    pickled = torch_writer.dumps({"a": torch_writer.tensor("FloatStorage", "0", 250_000, (1,), (1,))})
    content = _zip([("a/data.pkl", pickled), *((f"a/data/{i}", bytes(1_000_000) if i == 0 else b"") for i in range(3))])
    directory = zipfile.ZipFile(io.BytesIO(content))
    record = directory.getinfo("a/data/0")
    start = directory.start_dir
    for name in (b"a/data/1", b"a/data/2"):
        entry = content.rindex(name, start) - 46
        sizes = struct.pack("<III", record.CRC, 1_000_000, 1_000_000)
        content = content[: entry + 16] + sizes + content[entry + 28 :]
        offset = struct.pack("<I", record.header_offset)
        content = content[: entry + 42] + offset + content[entry + 46 :]
    refuse(content, match="larger than the file", as_it_is=True)


def test_a_tar_archive(refuse):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    refuse(file.getvalue(), match="neither safetensors nor", as_it_is=True)


def test_strange_streams(refuse, torch_writer):
    w = torch_writer
    pickled = w.dumps({"a": w.tensor("FloatStorage", "0", 4, (4,), (1,), view=(None,))})
    good = w.stream_file(pickled, {"0": DATA})
    count = struct.pack("<q", 4)
    for content, match in [
        (w.dumps(1) + good, "magic number"),
        (w.dumps([]), "magic number"),
        (good.replace(w.dumps(1001), w.dumps(1002)), "magic number and protocol"),
        (good.replace(count + DATA, struct.pack("<q", 2**62) + DATA), "beyond the end"),
        (good.replace(count + DATA, struct.pack("<q", -1) + DATA), "beyond the end"),
        (good.replace(count + DATA, struct.pack("<q", 3) + DATA), "has 12 bytes, expected 16"),
        (w.stream_file(pickled, {}), "lacks the storage"),
        (w.stream_file(pickled, {"1": DATA}), "nothing refers to its storage"),
        (good.replace(w.dumps(["0"]), w.dumps([0])), "list of storages"),
        (good.replace(w.dumps(["0"]), w.dumps({"0": 0})), "list of storages"),
    ]:
        refuse(content, match=match, as_it_is=True)


@pytest.mark.parametrize("content", [[1], 1, "a", None, {}, {"a": 1}, {"state_dict": {"a": 1}}, {1: 2}])
def test_other_content_than_a_state_dict(refuse, torch_writer, content):
    refuse(torch_writer.dumps(content), match="expected a state dict")


@pytest.fixture(scope="module")
def small_files(torch_writer):
    tensors = {"a": torch_writer.tensor("FloatStorage", "0", 4, (2, 2), (2, 1), view=(None,)), "b": 1.5, "c": [None]}
    checkpoint = torch_writer.dumps({"state_dict": {"a": tensors.pop("a")}, **tensors})
    return [make(checkpoint, {"0": DATA}) for make in (torch_writer.zip_file, torch_writer.stream_file)]


def test_truncated_at_every_byte(refuse, small_files):
    for content in small_files:
        for length in range(len(content)):
            refuse(content[:length], as_it_is=True)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(small_files, tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(small_files)))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.pth"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        read_weights(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instructions=st.lists(st.sampled_from([bytes([code]) for code in range(256)]), max_size=30))
def test_random_pickles_are_refused(refuse, instructions):
    refuse(b"\x80\x02" + b"".join(instructions) + b".")


def test_a_list_that_is_copied_again_and_again(refuse):
    """A call that copies a thousand pairs takes six bytes."""
    pairs = b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(1000))
    calls = b"h\x00h\x01\x85R" * 1100
    pickled = b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01(" + pairs + b"e(" + calls + b"t."
    refuse(pickled, match="copies more than 1,000,000 objects")
