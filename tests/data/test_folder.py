"""Photos in class folders: what is found, split, cut, skipped and refused."""

import numpy as np
import pytest
from PIL import Image

import fcnn
from fcnn.data.folder_loader import random_resized_crop
from fcnn.pretrained import EvaluationTransform

COLOURS = {"ants": (200, 30, 30), "bees": (30, 30, 200)}


def save_photos(folder, count, endings=("jpg",), size=(40, 30)):
    """Saves photos of one colour a class, of growing size."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            photo = Image.new("RGB", (size[0] + i, size[1]), colour)
            photo.save(folder / name / f"{i}.{endings[i % len(endings)]}")


@pytest.fixture
def photos(tmp_path):
    """Returns a folder with 5 photos a class to train on and 2 to evaluate on."""
    save_photos(tmp_path / "train", 5, ("jpg", "png", "JPEG"))
    save_photos(tmp_path / "val", 2)
    return tmp_path


def load(folder, **options):
    return fcnn.load_dataset(f"folder:{folder}", **options)


def test_classes_are_the_folders_in_alphabetical_order(photos):
    data = load(photos)
    assert (data.class_names, data.num_classes) == (("ants", "bees"), 2)
    assert data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert [path.parent.name for path in data.train.paths] == ["ants"] * 5 + ["bees"] * 5
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.test.images.shape == (4, 224, 224, 3)
    for image, label in zip(data.test.images, data.test.labels, strict=True):
        np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), list(COLOURS.values())[label], atol=3)


def test_the_transform_of_published_weights_cuts_the_photos(photos):
    transform = EvaluationTransform(20, 16, (0, 0, 0), (1, 1, 1))
    data = load(photos, transform=transform.cut)
    with Image.open(photos / "val" / "bees" / "1.jpg") as photo:
        np.testing.assert_array_equal(data.test.images[3], np.asarray(transform.cut(photo)))
    assert data.train.decode(transform.cut).images.shape == (10, 16, 16, 3)


def test_the_default_cut_is_that_from_256_to_224(tmp_path):
    gradient = np.broadcast_to(np.linspace(0, 255, 256)[:, None], (256, 400)).astype(np.uint8)
    photo = Image.fromarray(gradient).convert("RGB")
    reference = EvaluationTransform(256, 224, (0, 0, 0), (1, 1, 1)).cut(photo)
    np.testing.assert_allclose(np.asarray(fcnn.data.evaluation_crop(photo), int), np.asarray(reference, int), atol=1)


def test_folders_without_train_are_split_by_the_seed(tmp_path):
    save_photos(tmp_path, 10)
    data = load(tmp_path, test_share=0.3, seed=1)
    assert np.bincount(data.train.labels).tolist() == [7, 7]
    assert np.bincount(data.test.labels).tolist() == [3, 3]
    assert load(tmp_path, test_share=0.3, seed=1).train.paths == data.train.paths
    assert load(tmp_path, test_share=0.3, seed=2).train.paths != data.train.paths


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("training", "validation"), ("train", "valid")])
def test_other_names_of_the_two_folders(photos, train, test):
    (photos / "train").rename(photos / train)
    (photos / "val").rename(photos / test)
    data = load(photos)
    assert (data.class_names, len(data.train.labels), len(data.test.labels)) == (("ants", "bees"), 10, 4)


def test_of_three_folders_val_is_to_validate_and_test_to_test(photos):
    save_photos(photos / "test", 3)
    data = load(photos, transform=small)
    assert (len(data.validation.labels), len(data.test.labels)) == (4, 6)
    with pytest.raises(
        fcnn.InputError, match="has a folder to validate on beside train and test: leave out validation=2"
    ):
        load(photos, validation=2)
    (photos / "val" / "bees").rename(photos / "val" / "wasps")
    with pytest.raises(fcnn.InputError, match="only one has bees, wasps"):
        load(photos)


@pytest.mark.parametrize("validation", [4, 0.4])
def test_a_part_of_the_photos_to_train_on_is_held_out(photos, validation):
    whole, data = load(photos, transform=small), load(photos, transform=small, validation=validation, seed=3)
    assert whole.validation is None
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3
    assert data.validation.labels.tolist() == [0] * 2 + [1] * 2
    rows = np.array([whole.train.paths.index(path) for path in data.train.paths])
    np.testing.assert_array_equal(data.validation.images, np.delete(whole.train.decode(small).images, rows, axis=0))
    np.testing.assert_array_equal(data.test.images, whole.test.images)
    with pytest.raises(fcnn.InputError, match="split of 0 to 9 of its 10 training examples, got validation=10"):
        load(photos, validation=10)


def test_hidden_files_and_other_endings_are_no_photos(photos):
    (photos / "train" / "ants" / "._0.jpg").write_bytes(b"Mac OS X")
    (photos / "train" / "ants" / "notes.txt").write_text("not a photo")
    (photos / "train" / ".cache").mkdir()
    assert len(load(photos).train.labels) == 10


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("damage", [lambda content: content[:-200], lambda content: b"", lambda content: b"GIF89a" * 9])
def test_a_broken_photo_is_named_and_refused_or_skipped(photos, split, damage):
    random = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    broken = photos / split / "bees" / "noise.jpg"
    Image.fromarray(random).save(broken)
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(fcnn.InputError, match=r"bees/noise\.jpg: (is not|cannot be read as) a JPEG or PNG image.*skip"):
        load(photos)
    with pytest.warns(UserWarning, match=r"skipped .*bees/noise\.jpg"):
        data = load(photos, broken="skip")
    assert (len(data.train.labels), len(data.test.labels)) == (10, 4)
    assert broken not in data.train.paths


def test_several_broken_photos_are_counted_and_each_is_skipped_by_name(photos):
    for name in ("0.jpg", "3.jpg"):
        (photos / "train" / "ants" / name).write_bytes(b"?")
    with pytest.raises(fcnn.InputError, match=r"ants/0\.jpg: .*the first of 2 such files"):
        load(photos)
    with pytest.warns(UserWarning, match="skipped") as warned:
        load(photos, broken="skip")
    assert [str(warning.message).count(".jpg") for warning in warned] == [1, 1]


def test_a_class_without_readable_photos_is_refused(photos):
    for photo in (photos / "val" / "ants").iterdir():
        photo.write_bytes(b"?")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(fcnn.InputError, match="to evaluate on, found none of ants"),
    ):
        load(photos, broken="skip")


def test_grey_deep_and_transparent_images_become_rgb(photos):
    folder = photos / "train" / "ants"
    Image.new("L", (30, 30), 128).save(folder / "grey.png")
    Image.fromarray(np.full((30, 30), 128 * 257, np.uint16)).save(folder / "deep.png")
    Image.new("RGBA", (30, 30), (128, 128, 128, 10)).save(folder / "transparent.png")
    data = load(photos)
    named = dict(zip([path.stem for path in data.train.paths], data.train.decode(small).images, strict=True))
    for name in ("grey", "deep", "transparent"):
        assert (named[name] == 128).all()


def small(image):
    return fcnn.data.evaluation_crop(image, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "val").rename(folder / "later"),
            r"expected val, validation, valid, test beside train, found none of them; folder:.*train splits",
        ),
        (lambda folder: (folder / "val" / "bees").rename(folder / "val" / "wasps"), "only one has bees, wasps"),
        (lambda folder: (folder / "train" / "flies").mkdir(), "flies: expected images .*found none"),
    ],
)
def test_a_folder_that_is_laid_out_otherwise_is_refused(photos, change, message):
    change(photos)
    with pytest.raises(fcnn.InputError, match=message):
        load(photos)


def test_wrong_arguments_are_refused(photos, tmp_path):
    for options, message in [
        ({"brokn": "skip"}, "unknown option of folder:PATH 'brokn': did you mean broken"),
        ({"broken": "ignore"}, "unknown treatment of broken images 'ignore'"),
        ({"test_share": 1.0}, "must be between 0 and 1, got 1.0"),
        ({"data_dir": "x"}, "leave out data_dir 'x'"),
        ({"transform": lambda image: image}, "the transform must give images of one size"),
    ]:
        with pytest.raises(fcnn.InputError, match=message):
            load(photos, **options)
    with pytest.raises(fcnn.InputError, match="nowhere: no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(fcnn.InputError, match="'mnist' takes no options"):
        fcnn.load_dataset("mnist", broken="skip")


def test_batches_are_uint8_of_one_size_in_the_order_of_the_seed(photos):
    loader = fcnn.FolderLoader(load(photos).train, 4, seed=3, size=16)
    assert loader.steps_per_epoch == 2
    batches = list(loader.batches(epoch=1))
    for batch, rows in zip(batches, fcnn.data.epoch_order(3, 1, 10)[:8].reshape(2, 4), strict=True):
        assert (batch["image"].dtype, batch["image"].shape) == (np.uint8, (4, 16, 16, 3))
        np.testing.assert_array_equal(batch["label"], loader.files.labels[rows])
        for image, label in zip(batch["image"], batch["label"], strict=True):
            np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), list(COLOURS.values())[label], atol=3)
    with pytest.raises(fcnn.InputError, match="batch size must be from 1 to 10"):
        list(loader._replace(batch_size=11).batches(0))


def test_how_an_example_is_cut_depends_on_seed_epoch_and_example_alone(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.roll(noise, 7 * i, axis=0)).save(tmp_path / name / f"{i}.png")
    files = load(tmp_path).train

    def images(seed, epoch, batch_size, start=0):
        loader = fcnn.FolderLoader(files, batch_size, seed, size=12)
        return np.concatenate([batch["image"] for batch in loader.batches(epoch, start)])

    whole = images(0, 0, 2)
    np.testing.assert_array_equal(images(0, 0, 3), whole)
    np.testing.assert_array_equal(images(0, 0, 2, start=2), whole[4:])
    in_order = whole[np.argsort(fcnn.data.epoch_order(0, 0, 6))]
    next_epoch = images(0, 1, 2)[np.argsort(fcnn.data.epoch_order(0, 1, 6))]
    other_seed = images(1, 0, 2)[np.argsort(fcnn.data.epoch_order(1, 0, 6))]
    for other in (next_epoch, other_seed):
        assert (in_order != other).any(axis=(1, 2, 3)).all()


def test_random_parts_have_the_areas_ratios_and_places_of_their_definition():
    """The photo's pixels tell where they come from: red is the column, green the row."""
    rows, columns = np.mgrid[:200, :200].astype(np.uint8)
    photo = Image.fromarray(np.stack([columns, rows, rows], axis=-1))
    shares, ratios, lefts, mirrored = [], [], [], 0
    for numbers in np.random.default_rng(0).random((400, 41)):
        part = np.asarray(random_resized_crop(photo, 256, numbers)).astype(float)
        red, green = part[..., 0].mean(axis=0), part[..., 1].mean(axis=1)
        width, height = np.ptp(red) + 1, np.ptp(green) + 1
        shares.append(width * height / 200**2)
        ratios.append(width / height)
        lefts.append(red.min() / max(200 - width, 1))
        mirrored += red[0] > red[-1]
    assert 0.07 < min(shares) < 0.12
    assert 0.9 < max(shares) <= 1
    assert min(ratios) == pytest.approx(3 / 4, abs=0.03)
    assert max(ratios) == pytest.approx(4 / 3, abs=0.05)
    assert np.mean(np.log(ratios)) == pytest.approx(0, abs=0.03)
    assert np.mean(lefts) == pytest.approx(0.5, abs=0.05)
    assert mirrored == pytest.approx(200, abs=40)


@pytest.mark.parametrize("size", [(3000, 20), (20, 3000)])
def test_a_long_photo_gives_the_most_of_its_centre(size):
    stripes = Image.new("RGB", size)
    middle = (size[0] // 2 - 15, size[1] // 2 - 15, size[0] // 2 + 15, size[1] // 2 + 15)
    stripes.paste((255, 255, 255), middle)
    part = random_resized_crop(stripes, 8, np.full(41, 0.99))
    assert np.asarray(part).min() > 200


def test_fit_streams_photos(photos, key):
    data = load(photos, transform=small)
    model = fcnn.create_model("mlp", num_classes=2, hidden=())
    tx = fcnn.make_optimizer("sgd", 0.1)
    state = fcnn.create_state(model, tx, key=key, input_shape=(1, 8, 8, 3))
    loader = fcnn.FolderLoader(data.train, 5, size=8)
    state, rows = fcnn.fit(state, fcnn.make_train_step(model, tx), loader, epochs=6)
    assert state.step == 12
    assert rows[-1]["train_top1"] == 1
    assert fcnn.evaluate(state, fcnn.make_eval_step(model), data.test, batch_size=3)["top1"] == 1


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_photo_that_the_transform_refuses_is_named_and_skipped_like_a_broken_one(photos, split):
    long = photos / split / "ants" / "long.png"
    Image.new("RGB", (500, 1)).save(long)
    cut = EvaluationTransform(20, 16, (0, 0, 0), (1, 1, 1)).cut
    with pytest.raises(fcnn.InputError, match=f"{long}: an image has 500x1 pixels"):
        load(photos, transform=cut)
    with pytest.warns(UserWarning, match=f"skipped {long}"):
        data = load(photos, transform=cut, broken="skip")
    assert long not in data.train.paths
    data.train.decode(cut)


def test_photos_in_hidden_folders_are_no_photos(photos):
    hidden = photos / "train" / "ants" / ".cache" / "deep"
    hidden.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(hidden / "copy.png")
    assert len(load(photos).train.paths) == 10


def test_who_takes_photos_for_arrays_is_told_what_to_do(photos):
    with pytest.raises(fcnn.InputError, match="photos stay in their files: train on them by experiments/transfer.py"):
        load(photos).train.images  # noqa: B018
