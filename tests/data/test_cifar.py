"""The binary form of CIFAR-10 and CIFAR-100, with fewer records a file."""

import numpy as np
import pytest

from fcnn.data import load_dataset
from fcnn.data.cifar import BINARY_FORMS, load_cifar
from fcnn.errors import InputError

SMALL = {name: form._replace(train_records=4, test_records=3) for name, form in BINARY_FORMS.items()}


def record(labels, image):
    """An example as the page of CIFAR describes it: labels, then the red, the green and the blue plane by rows."""
    return bytes(labels) + b"".join(image[:, :, channel].tobytes() for channel in range(3))


def write(folder, name):
    form = SMALL[name]
    generator = np.random.default_rng(0)
    images, labels = [], []
    for file in (*form.train_files, *form.test_files):
        records = form.train_records if file in form.train_files else form.test_records
        content = b""
        for _ in range(records):
            images.append(generator.integers(0, 256, (32, 32, 3), np.uint8))
            labels.append(int(generator.integers(form.num_classes)))
            # The coarse class of CIFAR-100, out of the fine one's range to show that it is not used.
            content += record([200] * (form.label_bytes - 1) + [labels[-1]], images[-1])
        (folder / file).write_bytes(content)
    (folder / form.names_file).write_text("\n".join(f"class{i}" for i in range(form.num_classes)) + "\n\n")
    return np.stack(images), labels


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("nested", [False, True])
def test_reads_the_binary_form(tmp_path, name, nested):
    form = SMALL[name]
    folder = tmp_path / form.folder if nested else tmp_path
    folder.mkdir(exist_ok=True)
    images, labels = write(folder, name)
    dataset = load_cifar(name, tmp_path, form)
    np.testing.assert_array_equal(np.concatenate([dataset.train.images, dataset.test.images]), images)
    assert np.concatenate([dataset.train.labels, dataset.test.labels]).tolist() == labels
    assert len(dataset.test.labels) == 3
    assert dataset.class_names[-1] == f"class{form.num_classes - 1}"
    assert dataset.num_classes == form.num_classes


def test_the_published_sizes_are_required(tmp_path):
    write(tmp_path, "cifar10")
    with pytest.raises(InputError, match=r"data_batch_1\.bin: truncated: expected 30730000 bytes.*found 12292"):
        load_dataset("cifar10", tmp_path)
    write(tmp_path, "cifar100")
    with pytest.raises(InputError, match=r"train\.bin: truncated: expected 153700000 bytes.*found 12296"):
        load_dataset("cifar100", tmp_path)


def test_refuses_damaged_files(tmp_path):
    write(tmp_path, "cifar10")
    batch = tmp_path / "data_batch_3.bin"
    good = batch.read_bytes()
    for content, words in {
        good[:-1]: "data_batch_3.bin: truncated: expected 12292 bytes",
        good + b"\x00": "data_batch_3.bin: trailing bytes",
        good[:3073] + b"\x0a" + good[3074:]: "data_batch_3.bin: expected labels from 0 to 9, found 10 at position 1",
    }.items():
        batch.write_bytes(content)
        with pytest.raises(InputError, match=words):
            load_cifar("cifar10", tmp_path, SMALL["cifar10"])
    batch.unlink()
    with pytest.raises(InputError, match=r"data_batch_3\.bin: no such file"):
        load_cifar("cifar10", tmp_path, SMALL["cifar10"])


def test_refuses_names_of_other_classes(tmp_path):
    write(tmp_path, "cifar10")
    (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\n")
    with pytest.raises(InputError, match=r"batches\.meta\.txt: expected the names of 10 classes, found 2"):
        load_cifar("cifar10", tmp_path, SMALL["cifar10"])
