"""Weight files of all formats give the arrays that were written."""

import hashlib
import json
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from fcnn.errors import InputError
from fcnn.pretrained.weight_files import read_weights

FIXTURES = Path(__file__).parent / "fixtures"

NUMBERS = np.arange(24, dtype="<f4")


@pytest.fixture(params=["zip", "stream"])
def write(request, torch_writer, tmp_path):
    """Returns a function that writes a file of one format, from tensors (type, key, stored, shape, strides, offset)."""

    def write(content, storages, itemsize=4, wrap=lambda tensors: tensors):
        view = () if request.param == "zip" else (None,)
        tensors = OrderedDict((name, torch_writer.tensor(*t, view=view)) for name, t in content.items())
        path = tmp_path / "weights.pth"
        if request.param == "zip":
            path.write_bytes(torch_writer.zip_file(wrap(tensors), storages))
        else:
            path.write_bytes(torch_writer.stream_file(wrap(tensors), storages, itemsize))
        return path

    return write


def test_strided_offset_and_shared_tensors(write):
    path = write(
        {
            "whole": ("FloatStorage", "7", 24, (2, 3, 4), (12, 4, 1)),
            "transposed": ("FloatStorage", "7", 24, (4, 2, 3), (1, 12, 4)),
            "slice": ("FloatStorage", "7", 24, (2, 2), (12, 2), 5),
            "scalar": ("FloatStorage", "8", 1, (), ()),
            "empty": ("FloatStorage", "9", 0, (0, 3), (3, 1)),
        },
        {"7": NUMBERS.tobytes(), "8": np.float32(2.5).tobytes(), "9": b""},
    )
    read = read_weights(path)
    whole = NUMBERS.reshape(2, 3, 4)
    assert list(read) == ["whole", "transposed", "slice", "scalar", "empty"]
    np.testing.assert_array_equal(read["whole"], whole)
    np.testing.assert_array_equal(read["transposed"], whole.transpose(2, 0, 1))
    np.testing.assert_array_equal(read["slice"], [[5, 7], [17, 19]])
    assert read["scalar"].shape == ()
    assert read["scalar"] == 2.5
    assert read["empty"].shape == (0, 3)
    assert all(array.dtype == np.float32 for array in read.values())


@pytest.mark.parametrize(
    ("storage_type", "stored", "expected"),
    [
        ("DoubleStorage", np.array([1.5, -2], "<f8"), np.array([1.5, -2], np.float64)),
        ("HalfStorage", np.array([1.5, -2], "<f2"), np.array([1.5, -2], np.float16)),
        ("BFloat16Storage", np.array([0x3FC0, 0xC000], "<u2"), np.array([1.5, -2], np.float32)),
        ("LongStorage", np.array([1, -(2**40)], "<i8"), np.array([1, -(2**40)], np.int64)),
        ("IntStorage", np.array([1, -2], "<i4"), np.array([1, -2], np.int32)),
        ("ShortStorage", np.array([1, -2], "<i2"), np.array([1, -2], np.int16)),
        ("CharStorage", np.array([1, -2], "i1"), np.array([1, -2], np.int8)),
        ("ByteStorage", np.array([1, 254], "u1"), np.array([1, 254], np.uint8)),
        ("BoolStorage", np.array([1, 0], "u1"), np.array([True, False])),
    ],
)
@pytest.mark.parametrize("shape", [(2,), ()])
def test_types(write, storage_type, stored, expected, shape):
    strides = (1,) * len(shape)
    content = {"a": (storage_type, "0", 2, shape, strides)}
    read = read_weights(write(content, {"0": stored.tobytes()}, stored.itemsize))["a"]
    expected = expected if shape else np.asarray(expected[0])
    assert isinstance(read, np.ndarray)
    assert read.dtype == expected.dtype
    assert read.shape == expected.shape
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(("storage_type", "big"), [("FloatStorage", ">f4"), ("LongStorage", ">i8")])
def test_big_endian_zip_file(torch_writer, tmp_path, storage_type, big):
    path = tmp_path / "big.pth"
    content = {"a": torch_writer.tensor(storage_type, "0", 3, (3,), (1,))}
    path.write_bytes(torch_writer.zip_file(content, {"0": np.array([1, 2, 300], big).tobytes()}, "big"))
    read = read_weights(path)["a"]
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, [1, 2, 300])


def test_big_endian_bfloat16(torch_writer, tmp_path):
    path = tmp_path / "big.pth"
    content = {"a": torch_writer.tensor("BFloat16Storage", "0", 2, (2,), (1,))}
    path.write_bytes(torch_writer.zip_file(content, {"0": b"\x3f\xc0\xc0\x00"}, "big"))
    np.testing.assert_array_equal(read_weights(path)["a"], [1.5, -2])


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_checkpoint_with_other_values(write, torch_writer, key):
    size = torch_writer.Reduce(torch_writer.Global("torch", "Size"), ((2, 3),))

    def wrap(tensors):
        rest = {"epoch": 3, "lr": [0.1, None, True], "optimizer": {0: tensors["a"]}, "size": size}
        return rest | {"dtype": torch_writer.Global("torch", "float32"), key: tensors}

    path = write({"a": ("FloatStorage", "0", 2, (2,), (1,))}, {"0": NUMBERS[:2].tobytes()}, wrap=wrap)
    read = read_weights(path)
    assert list(read) == ["a"]
    np.testing.assert_array_equal(read["a"], [0, 1])


def test_prefix_of_data_parallel_is_dropped(write):
    tensor = ("FloatStorage", "0", 1, (1,), (1,))
    path = write({"module.a.weight": tensor, "module.module.b": tensor}, {"0": NUMBERS[:1].tobytes()})
    assert list(read_weights(path)) == ["a.weight", "module.b"]


def test_prefix_of_some_keys_is_kept(write):
    tensor = ("FloatStorage", "0", 1, (1,), (1,))
    path = write({"module.a": tensor, "b": tensor}, {"0": NUMBERS[:1].tobytes()})
    assert list(read_weights(path)) == ["module.a", "b"]


def test_python_2_strings_ordered_dict_and_parameter(torch_writer, tmp_path):
    w = torch_writer
    storage = w.Persistent(
        (w.Raw(b"U\x07storage"), w.Global("torch", "FloatStorage"), w.Raw(b"U\x010"), w.Raw(b"U\x03cpu"), 4, None)
    )
    tensor = w.Reduce(w.Global("torch._utils", "_rebuild_tensor"), (storage, 0, (2, 2), (2, 1)))
    parameter = w.Reduce(w.Global("torch._utils", "_rebuild_parameter"), (tensor, True, None))
    pairs = [[w.Raw(b"U\x01a"), tensor], [w.Raw(b"U\x01b"), parameter]]
    content = w.Reduce(w.Global("collections", "OrderedDict"), (pairs,))
    path = tmp_path / "old.pth"
    path.write_bytes(w.stream_file(content, {"0": NUMBERS[:4].tobytes()}))
    read = read_weights(path)
    np.testing.assert_array_equal(read["a"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(read["b"], [[0, 1], [2, 3]])


def test_storage_view_of_the_stream_format(torch_writer, tmp_path):
    path = tmp_path / "view.pth"
    content = {"a": torch_writer.tensor("FloatStorage", "0", 24, (2, 2), (2, 1), 1, view=(("v", 10, 6),))}
    path.write_bytes(torch_writer.stream_file(content, {"0": NUMBERS.tobytes()}))
    np.testing.assert_array_equal(read_weights(path)["a"], [[11, 12], [13, 14]])


@pytest.mark.parametrize("name", ["made_by_torch_zip.pth", "made_by_torch_stream.pth", "made_by_torch_protocol_4.pth"])
def test_files_that_torch_made(name):
    # Made by torch 2.13: torch.save of a module's state dict and some tensors, see the values below.
    read = read_weights(FIXTURES / name)
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert list(read) == ["linear.weight", "linear.bias", "transposed", "half", "bfloat16", "counter"]
    np.testing.assert_array_equal(read["linear.weight"], matrix)
    np.testing.assert_array_equal(read["linear.bias"], [0.5, -0.5])
    np.testing.assert_array_equal(read["transposed"], matrix.T)
    np.testing.assert_array_equal(read["half"], np.array([0.25, 3], np.float16))
    np.testing.assert_array_equal(read["bfloat16"], [0.25, 3])
    assert read["counter"] == 7
    assert read["counter"].dtype == np.int64


def test_safetensors(tmp_path):
    path = tmp_path / "weights.safetensors"
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3), "c": np.array([1.5], np.float16)}
    safetensors.numpy.save_file(arrays, path)
    read = read_weights(path)
    assert read.keys() == arrays.keys()
    for key, array in arrays.items():
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)


def _safetensors(entries, data):
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_safetensors_bfloat16(tmp_path):
    path = tmp_path / "weights.safetensors"
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    path.write_bytes(_safetensors({"a": entry}, b"\xc0\x3f\x00\xc0"))
    np.testing.assert_array_equal(read_weights(path)["a"], [1.5, -2])


@pytest.mark.parametrize(
    "content",
    [
        _safetensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, b""),
        _safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        _safetensors({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"1"),
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"{]",
    ],
)
def test_damaged_safetensors(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        read_weights(path)


def test_the_hash_in_the_name_is_checked(write):
    path = write({"a": ("FloatStorage", "0", 1, (1,), (1,))}, {"0": NUMBERS[:1].tobytes()})
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    right = path.rename(path.with_name(f"net-{digits}.pth"))
    assert list(read_weights(right)) == ["a"]
    wrong = right.rename(path.with_name("net-00000000.pth"))
    with pytest.raises(InputError, match=f"SHA-256 begins with {digits}, expected 00000000"):
        read_weights(wrong)


def test_missing_file_folder_and_other_content(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(InputError, match="is no file"):
        read_weights(tmp_path)
    for content in (b"", b"PK", b"hello world", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "other.pth").write_bytes(content)
        with pytest.raises(InputError, match="neither safetensors nor"):
            read_weights(tmp_path / "other.pth")
