"""`fcnn predict` with a network that labels pixels: pictures and masks of photos of several sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image, ImageOps

import fcnn
from fcnn.commands.main import main
from fcnn.data.mask_folder import VOC_CLASS_NAMES
from fcnn.pretrained import EvaluationTransform
from fcnn.report import voc_palette

NAME = "fcn_resnet_tiny"
CLASSES = 4
ROTATED = 6  # EXIF: the camera was turned by a quarter


def save_weights(path, classes=CLASSES, channels=3):
    model = fcnn.create_model(NAME, num_classes=classes)
    images = jnp.zeros((1, 32, 32, channels))
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(1))
    safetensors.numpy.save_file(fcnn.export_torchvision(NAME, variables), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder with weights of 4 classes and photos, one of which the camera has noted to be rotated."""
    folder = tmp_path_factory.mktemp("photos")
    save_weights(folder / "weights.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    photo = Image.fromarray(pixels).resize((160, 120), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    photo.save(folder / "one.png", exif=exif)
    photo.crop((0, 0, 50, 90)).convert("L").save(folder / "two.jpg")
    (folder / "sub").mkdir()
    photo.save(folder / "sub" / "one.jpg")
    save_weights(folder / "grey.safetensors", channels=1)
    photo.resize((300, 2)).save(folder / "line.png")
    (folder / "taken_2.png").mkdir()
    (folder / "names.txt").write_text("wall\ncat\n$dog$\nelk\n")
    (folder / "three_names.txt").write_text("wall\ncat\ndog\n")
    return folder


@pytest.fixture
def small_sizes(monkeypatch):
    """Photos are seen with the shorter side at 64 pixels, not 520."""
    from fcnn.commands import predict

    kinds = {name: kind._replace(own_size=lambda name: (64, None)) for name, kind in predict._kinds().items()}
    monkeypatch.setattr(predict, "_kinds", lambda: kinds)


def predicted(folder, *arguments):
    return main(["predict", NAME, "--weights", str(folder / "weights.safetensors"), *map(str, arguments)])


def expected_classes(folder, path):
    """Returns the classes by the definition: logits of the whole photo, interpolated to its size, the highest wins."""
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    transform = EvaluationTransform(64, None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    variables = fcnn.load_pretrained(NAME, folder / "weights.safetensors")
    model = fcnn.create_model(NAME, num_classes=CLASSES)
    logits = model.apply(variables, jnp.asarray(transform(photo)[None]), train=False)
    return np.asarray(
        jax.image.resize(logits[0], (photo.height, photo.width, CLASSES), "linear", antialias=False)
    ).argmax(-1)


def test_pictures_and_masks_are_of_the_upright_photos(folder, small_sizes, tmp_path, capsys):
    photos = [folder / "one.png", folder / "two.jpg"]
    options = ["--output", tmp_path / "seen.png", "--masks", tmp_path / "masks", "--class-names", folder / "names.txt"]
    assert predicted(folder, *photos, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    written = [
        tmp_path / "seen_1.png",
        tmp_path / "masks" / "one.png",
        tmp_path / "seen_2.png",
        tmp_path / "masks" / "two.png",
    ]
    assert lines[-4:] == [str(path) for path in written]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)

    names = ["wall", "cat", "$dog$", "elk"]
    sizes = [(120, 160), (50, 90)]
    for number, (photo, size) in enumerate(zip(photos, sizes, strict=True)):
        classes = expected_classes(folder, photo)
        with Image.open(written[2 * number + 1]) as mask:
            assert (mask.mode, mask.size) == ("P", size)
            np.testing.assert_array_equal(np.reshape(mask.getpalette(), (-1, 3))[:CLASSES], voc_palette()[:CLASSES])
            found = np.asarray(mask)
        assert np.mean(found == classes) > 0.999
        with Image.open(written[2 * number]) as picture:
            # The photo's shape, with a legend below it.
            width, height = picture.size
            assert 0 < height - width * size[1] / size[0] < 200
        shares = np.bincount(found.ravel(), minlength=CLASSES) / found.size
        start = lines.index(str(photo)) + 1
        count = np.count_nonzero(shares)
        assert count > 1
        printed = dict(reversed(line.split()) for line in lines[start : start + count])
        assert list(printed) == [names[i] for i in np.argsort(-shares, kind="stable")[:count]]
        for name, text in printed.items():
            share = shares[names.index(name)]
            assert text == f"{share:.1%}" if share >= 0.0005 else text == "<0.1%"


def test_one_photo_has_the_picture_that_is_named(folder, small_sizes, tmp_path, capsys):
    assert predicted(folder, folder / "two.jpg", "--output", tmp_path / "seen.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(folder / "two.jpg")
    assert lines[1].split()[1:] in [["class", str(number)] for number in range(CLASSES)]
    assert lines[-1] == str(tmp_path / "seen.png")
    assert list(tmp_path.iterdir()) == [tmp_path / "seen.png"]


def test_21_classes_are_those_of_voc(folder, small_sizes, tmp_path, capsys):
    save_weights(tmp_path / "weights.safetensors", classes=21)
    assert predicted(tmp_path, folder / "two.jpg", "--output", tmp_path / "seen.png") == 0
    printed = {line.split()[1] for line in capsys.readouterr().out.splitlines()[1:-1]}
    assert printed <= set(VOC_CLASS_NAMES)
    assert printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: cannot be read as an image: No such file"),
        (
            ["one.png", "--class-names", "three_names.txt"],
            "expected 4 class names, as many as the weights have, found 3",
        ),
        (["one.png", "--weights", "names.txt"], "names.txt: is neither safetensors nor"),
        (["one.png", "--weights", "grey.safetensors"], "do not take images of 3 channels"),
        (["one.png", "--masks", "names.txt"], "names.txt: is no folder"),
        (["one.png", "--masks", "."], "one.png: would be replaced"),
        (["one.png", "--output", "one.png"], "one.png: would be replaced"),
        (["one.png", "sub/one.jpg", "--masks", "new"], "new/one.png: would be written for two photos of one name"),
        (["one.png", "--masks", "new/deep"], "new/deep: cannot be written: No such file"),
        (["one.png", "--masks", "new", "--output", "no/folder/seen.png"], "seen.png: cannot be written: No such file"),
        (["one.png", "two.jpg", "--output", "taken.png", "--masks", "new"], "taken_2.png: is a folder"),
        (["line.png"], "line.png: an image has 300x2 pixels"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(folder, small_sizes, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path != folder}
    assert predicted(folder, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert after == before


def test_a_network_that_classifies_has_no_masks(folder, capsys):
    assert main(["predict", "resnet_tiny", str(folder / "two.jpg"), "--masks", str(folder)]) == 2
    assert "resnet_tiny gives a class for a photo and no masks: leave out --masks" in capsys.readouterr().err


def test_weights_of_another_network_are_refused(folder, capsys):
    weights = str(folder / "weights.safetensors")
    assert main(["predict", "fcn_resnet50", "--weights", weights, str(folder / "two.jpg")]) == 2
    error = capsys.readouterr().err
    assert "the weights do not fit fcn_resnet50" in error
    assert error.count("\n") == 1


def test_published_weights_see_the_shorter_side_at_520_pixels(folder):
    from fcnn.commands import predict

    for name in ("fcn_resnet50", NAME):
        transform = predict._transform(name, None, predict._kinds()[fcnn.models.task_of(name)])
        assert transform.cut(Image.open(folder / "two.jpg")).size == (520, 936)
        assert transform.mean == (0.485, 0.456, 0.406)
