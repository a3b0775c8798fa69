"""Image classification sets of TensorFlow Datasets (TFDS), read without TensorFlow."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnn.data.dataset import Dataset, Split
from fcnn.data.idx_folder import check_image_shapes
from fcnn.errors import InputError


def load_tensorflow_dataset(name: str, data_dir: Path | None) -> Dataset:
    """Returns a data set of TFDS, prepared first if need be; its test split is `test`, else `validation`.

    Args:
        name: its name in TFDS, as `mnist` or `cifar10_corrupted/fog_3`.
        data_dir: the folder of the prepared data sets; None for TFDS's own, `~/tensorflow_datasets`.

    Raises:
        InputError: TFDS has no such set, it cannot be prepared, or it is not one of uint8 images of one shape, each
            with one label.
    """
    # Imported here because it takes long, as TFDS does below, and only users of TFDS should wait.
    from fcnn.data.prepare_tfds import prepare

    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        prepare(builder, name)
    label = _label_feature(builder.info.features, name)
    splits = list(builder.info.splits)
    test_name = "test" if "test" in splits else "validation"
    if "train" not in splits or test_name not in splits:
        raise InputError(f"tfds:{name}: expected the splits train and test or validation, found {', '.join(splits)}")
    train = _read_split(builder, name, "train", label.num_classes)
    test = _read_split(builder, name, test_name, label.num_classes)
    check_image_shapes(train, test, f"tfds:{name}")
    class_names = tuple(label.names or map(str, range(label.num_classes)))
    return Dataset(f"tfds:{name}", train, test, label.num_classes, class_names)


def stack_examples(examples: Sequence, source: str, num_classes: int) -> Split:
    """Returns decoded examples as a split.

    Args:
        examples: each with a uint8 `image` [height, width, channel] and an integer `label`.
        source: where they come from, for the messages.
        num_classes: number of classes.

    Raises:
        InputError: there are none, or their images differ in shape, are not uint8, or have a label outside the classes.
    """
    if not len(examples):
        raise InputError(f"{source}: expected examples, found none")
    shape = examples[0]["image"].shape
    images = np.empty((len(examples), *shape), np.uint8)
    labels = np.empty(len(examples), np.int32)
    for i, example in enumerate(examples):
        image, label = example["image"], int(example["label"])
        if image.dtype != np.uint8:
            raise InputError(f"{source}: expected uint8 images, found {image.dtype}")
        if image.shape != shape:
            raise InputError(
                f"{source}: expected images of one shape, found {shape} and, at position {i}, {image.shape}; "
                f"only sets of one image size can be loaded"
            )
        if not 0 <= label < num_classes:
            raise InputError(f"{source}: expected labels from 0 to {num_classes - 1}, found {label} at position {i}")
        images[i], labels[i] = image, label
    return Split(images, labels)


def _label_feature(features: Any, name: str) -> Any:
    import tensorflow_datasets as tfds

    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = found.get("image"), found.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        kinds = ", ".join(f"{key!r}: {type(feature).__name__}" for key, feature in found.items())
        raise InputError(
            f"tfds:{name} is no image classification set: expected the features 'image': Image and "
            f"'label': ClassLabel, found {kinds or type(features).__name__}"
        )
    return label


def _builder(name: str, data_dir: Path | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        # Only this file format can be read without TensorFlow.
        return tfds.builder(name, data_dir=data_dir, file_format="array_record", try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean tfds:{' or tfds:'.join(nearest)}?" if nearest else "see tensorflow.org/datasets/catalog"
        raise InputError(f"unknown data set 'tfds:{name}': {hint}") from error
    except Exception as error:
        # TFDS raises errors of every kind here: a version, a configuration or an option that does not exist.
        raise InputError(f"tfds:{name}: TensorFlow Datasets cannot find it: {' '.join(str(error).split())}") from error


def _read_split(builder: Any, name: str, split: str, num_classes: int) -> Split:
    source = f"tfds:{name}, split {split}, in {builder.data_path}"
    try:
        return stack_examples(builder.as_data_source(split), source, num_classes)
    except NotImplementedError as error:
        raise InputError(
            f"{source}: expected the file format array_record, found {builder.info.file_format.value}; "
            f"remove the folder, or give another data_dir, to prepare it anew"
        ) from error
    except (RuntimeError, OSError) as error:
        raise InputError(f"{source}: missing, truncated or corrupt files: {' '.join(str(error).split())}") from error
