"""The evaluation transform against torchvision's definition and hand-made images."""

import numpy as np
import pytest
from PIL import Image

from fcnn.errors import InputError
from fcnn.pretrained import EvaluationTransform, preprocess

IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("name", "version", "crop", "resize"),
    [
        ("resnet18", None, 224, 256),
        ("resnet50", None, 224, 232),
        ("resnet50", "V1", 224, 256),
        ("inception_v3", None, 299, 342),
    ],
)
def test_sizes(name, version, crop, resize):
    transform = preprocess(name, version)
    assert (transform.crop, transform.resize) == (crop, resize)
    result = transform(Image.new("RGB", (500, 375)))
    assert result.shape == (crop, crop, 3)
    assert result.dtype == np.float32


@pytest.mark.parametrize(("width", "height", "expected"), [(500, 375, (520, 693)), (60, 100, (866, 520))])
def test_segmentation_sees_the_whole_image(width, height, expected):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    transform = preprocess("fcn_resnet50")
    result = transform(photo)
    assert result.shape == (*expected, 3)
    resized = np.asarray(photo.resize(expected[::-1], Image.Resampling.BILINEAR), np.float32) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(result, (resized - mean) / std, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "resize"),
    [("resnet50-0676ba61.pth", 256), ("resnet50-11ad3fa6.pth", 232), ("mine.safetensors", 232)],
)
def test_the_transform_is_that_of_the_version_in_a_file_name(file, resize, tmp_path):
    assert preprocess("resnet50", path=tmp_path / file).resize == resize
    assert preprocess("resnet50", "V1", path=str(tmp_path / file)).resize == 256


def test_normalisation():
    image = Image.new("RGB", (224, 300), (255, 128, 0))
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    np.testing.assert_allclose(preprocess("resnet18")(image)[100, 100], expected, rtol=1e-6)
    np.testing.assert_allclose(preprocess("googlenet")(image)[100, 100], [1, 2 * 128 / 255 - 1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("width", "height", "left", "top"),
    # torchvision: the long side is int(8 * long / short), the corner int(round((side - 4) / 2.0)), halves to even
    [(8, 8, 2, 2), (8, 9, 2, 2), (9, 8, 2, 2), (8, 11, 2, 4), (6, 11, 2, 5), (15, 8, 6, 2), (17, 16, 2, 2)],
)
def test_the_centre_is_cut_out_as_in_torchvision(width, height, left, top):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
    short = min(width, height)
    size = (8, int(8 * height / short)) if width == short else (int(8 * width / short), 8)
    resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
    expected = resized[top : top + 4, left : left + 4]
    np.testing.assert_array_equal(EvaluationTransform(8, 4, **IDENTITY)(image), expected)


def test_downscaling_is_antialiased():
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::2] = 255
    result = EvaluationTransform(8, 8, **IDENTITY)(stripes)
    np.testing.assert_allclose(result[:, 1:-1], 0.5, atol=0.06)


def test_arrays_equal_images():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 280, 3), np.uint8)
    transform = preprocess("resnet18")
    np.testing.assert_array_equal(transform(pixels), transform(Image.fromarray(pixels)))
    grey = pixels[..., :1]
    np.testing.assert_array_equal(transform(grey), transform(np.repeat(grey, 3, axis=2)))
    np.testing.assert_array_equal(transform(grey[..., 0]), transform(grey))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_other_modes_become_rgb(mode):
    white = {"I;16": 65535, "I": 65535}.get(mode)
    image = Image.new(mode, (10, 10), white) if white else Image.new("RGB", (10, 10), "white").convert(mode)
    result = EvaluationTransform(8, 8, **IDENTITY)(image)
    np.testing.assert_allclose(result, 1, atol=0.01)


def test_sixteen_bits_are_scaled():
    image = Image.fromarray(np.full((10, 10), 257 * 100, np.uint16))
    np.testing.assert_allclose(EvaluationTransform(8, 8, **IDENTITY)(image), 100 / 255)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10, 3), np.float32),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((2, 10, 10, 3), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        Image.new("RGB", (1, 10_000)),
        Image.new("F", (10, 10)),
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(InputError, match="image"):
        preprocess("resnet18")(image)
