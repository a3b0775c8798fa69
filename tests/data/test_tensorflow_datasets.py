"""Sets of TensorFlow Datasets, prepared here by hand and read without TensorFlow."""

import io
import json
import sys

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from fcnn.data import load_dataset
from fcnn.data.tensorflow_datasets import stack_examples
from fcnn.errors import InputError

FEATURES = "tensorflow_datasets.core.features"
LABEL = {
    "pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel",
    "classLabel": {"numClasses": "3"},
}
IMAGE = {
    "pythonClassName": f"{FEATURES}.image_feature.Image",
    "image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}, "encodingFormat": "png"},
}


def example_bytes(image, label):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    example = tf_example_pb2.Example()
    example.features.feature["image"].bytes_list.value.append(file.getvalue())
    example.features.feature["label"].int64_list.value.append(label)
    return example.SerializeToString()


def write_prepared(data_dir, splits, features=None, file_format="array_record"):
    """Writes what TFDS leaves behind when it has prepared the set `shapes`."""
    folder = data_dir / "shapes" / "1.0.0"
    folder.mkdir(parents=True)
    for split, examples in splits.items():
        writer = ArrayRecordWriter(str(folder / f"shapes-{split}.{file_format}-00000-of-00001"), "group_size:1")
        for image, label in examples:
            writer.write(example_bytes(image, label))
        writer.close()
    info = {
        "name": "shapes",
        "version": "1.0.0",
        "fileFormat": file_format,
        "splits": [
            {
                "name": split,
                "numBytes": "1",
                "shardLengths": [str(len(examples))],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
            for split, examples in splits.items()
        ],
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    description = {
        "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": features or {"image": IMAGE, "label": LABEL}},
    }
    (folder / "features.json").write_text(json.dumps(description))
    (folder / "label.labels.txt").write_text("circle\nsquare\ntriangle\n")
    return folder


def examples(count, shape=(4, 5, 3), seed=0):
    generator = np.random.default_rng(seed)
    return [(generator.integers(0, 256, shape, np.uint8), i % 3) for i in range(count)]


@pytest.mark.parametrize("test", ["test", "validation"])
def test_reads_a_prepared_set(tmp_path, test):
    splits = {"train": examples(7), test: examples(4, seed=1)}
    write_prepared(tmp_path, splits)
    dataset = load_dataset("tfds:shapes", data_dir=tmp_path)
    for split, expected in [(dataset.train, splits["train"]), (dataset.test, splits[test])]:
        np.testing.assert_array_equal(split.images, np.stack([image for image, _ in expected]))
        assert split.labels.tolist() == [label for _, label in expected]
        assert split.labels.dtype == np.int32
    assert dataset.name == "tfds:shapes"
    assert dataset.num_classes == 3
    assert dataset.class_names == ("circle", "square", "triangle")
    assert "tensorflow" not in sys.modules


def test_the_test_split_comes_before_validation(tmp_path):
    write_prepared(tmp_path, {"train": examples(3), "validation": examples(2), "test": examples(1)})
    assert len(load_dataset("tfds:shapes", tmp_path).test.labels) == 1


def message_of(tmp_path):
    with pytest.raises(InputError) as caught:
        load_dataset("tfds:shapes", tmp_path)
    assert "\n" not in str(caught.value)
    assert "shapes" in str(caught.value)
    return str(caught.value)


def test_refuses_images_of_several_shapes(tmp_path):
    write_prepared(tmp_path, {"train": examples(3) + examples(1, (6, 5, 3)), "test": examples(1)})
    assert "images of one shape, found (4, 5, 3) and, at position 3, (6, 5, 3)" in message_of(tmp_path)


def test_refuses_a_test_split_of_another_shape(tmp_path):
    write_prepared(tmp_path, {"train": examples(3), "test": examples(2, (6, 5, 3))})
    assert "(4, 5, 3), found (6, 5, 3)" in message_of(tmp_path)


def test_refuses_a_set_without_a_test_split(tmp_path):
    write_prepared(tmp_path, {"train": examples(3)})
    assert "expected the splits train and test or validation, found train" in message_of(tmp_path)


def test_refuses_what_is_no_classification(tmp_path):
    write_prepared(tmp_path, {"train": examples(3), "test": examples(3)}, features={"image": IMAGE, "mask": IMAGE})
    assert "no image classification set" in message_of(tmp_path)


def test_refuses_labels_outside_the_classes(tmp_path):
    write_prepared(tmp_path, {"train": [(examples(1)[0][0], -1)], "test": examples(3)})
    assert "expected labels from 0 to 2, found -1 at position 0" in message_of(tmp_path)


def test_refuses_a_truncated_file(tmp_path):
    folder = write_prepared(tmp_path, {"train": examples(50), "test": examples(3)})
    file = folder / "shapes-train.array_record-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-2000])
    assert "split train" in message_of(tmp_path)
    file.unlink()
    assert "missing" in message_of(tmp_path)


def test_refuses_a_format_that_needs_tensorflow(tmp_path):
    write_prepared(tmp_path, {"train": examples(3), "test": examples(3)}, file_format="tfrecord")
    assert "array_record" in message_of(tmp_path)


def test_refuses_images_that_are_not_bytes():
    with pytest.raises(InputError, match="depth: expected uint8 images, found float32"):
        stack_examples([{"image": np.zeros((2, 2, 1), np.float32), "label": 0}], "depth", 3)


def test_refuses_no_examples():
    with pytest.raises(InputError, match="void: expected examples, found none"):
        stack_examples([], "void", 3)


def test_an_unknown_name_shows_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"unknown data set 'tfds:cifar_10': did you mean tfds:cifar10"):
        load_dataset("tfds:cifar_10", tmp_path)
    with pytest.raises(InputError, match=r"cannot find it.*only: 3\.0\.1"):
        load_dataset("tfds:mnist:9.9.9", tmp_path)
