"""The pictures of segmentation encode the data: colours, texts and what is left out are read back."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import SegmentedImage, draw_overlay, encode_mask, image_mean_iou, voc_palette
from fcnn.report.feature_maps import draw_feature_maps
from fcnn.report.segmentation import class_iou, draw_segmented_images, mean_iou, pixel_confusion
from fcnn.report.segmentation.confusion import draw_pixel_confusion
from fcnn.report.segmentation.iou import draw_class_iou
from fcnn.report.segmentation.legend import Entry, legend_entries
from fcnn.report.segmentation.output import output_layer
from fcnn.report.segmentation.palette import class_colours
from fcnn.report.style import BLUE, VERMILION, encode_png

NAMES = ["background", "cat", "dog", "bird"]
# 30 pixels of background, all right; 10 of cats, 4 taken for dogs; no dogs, no birds.
CONFUSION = np.array([[30, 0, 0, 0], [0, 6, 4, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(encode_png(figure))))


def test_palette_is_vocs():
    palette = voc_palette()

    assert palette.shape == (256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    known |= {16: (0, 64, 0), 20: (0, 64, 128), 21: (128, 64, 128), 255: (224, 224, 192)}
    assert {number: tuple(palette[number].tolist()) for number in known} == known
    assert len(np.unique(palette, axis=0)) == 256


def test_mask_file_holds_numbers_and_shows_colours():
    labels = np.array([[0, 1, 255], [15, 20, 2]], np.int64)

    with Image.open(io.BytesIO(encode_mask(labels))) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        np.testing.assert_array_equal(np.asarray(image), labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), voc_palette()[labels])


@pytest.mark.parametrize("number", [-1, 256])
def test_numbers_that_no_mask_holds(number):
    with pytest.raises(InputError, match="from 0 to 255, found"):
        encode_mask(np.array([[0, number]]))


def test_pixels_without_a_label_are_striped_white_and_light_grey():
    labels = np.full((100, 160), 255)
    labels[:50] = 3
    colours = class_colours(labels)

    np.testing.assert_array_equal(colours[:50], np.broadcast_to([128, 128, 0], (50, 160, 3)))
    assert np.unique(colours[50:]).tolist() == [205, 255]
    assert (colours[60, :4, 0] != colours[60, 2:6, 0]).all()  # stripes of two pixels
    np.testing.assert_array_equal(class_colours(labels, None)[99, 0], voc_palette()[255])


def test_legend_has_what_occurs_largest_first():
    masks = [np.array([[0, 0, 2], [2, 2, 255]]), np.array([[7]])]

    found = legend_entries(masks, NAMES, 255)
    assert found == [Entry(2, "dog"), Entry(0, "background"), Entry(7, "class 7"), Entry(None, "not labelled")]
    assert Entry(255, "class 255") in legend_entries(masks, NAMES, None)


def test_iou_leaves_out_what_does_not_occur_and_punishes_what_is_only_predicted():
    np.testing.assert_array_equal(class_iou(CONFUSION), [1, 0.6, 0, np.nan])
    assert mean_iou(CONFUSION) == pytest.approx(1.6 / 3)
    assert np.isnan(mean_iou(np.zeros((2, 2), int)))


def test_pixels_of_an_image_count_where_they_have_a_label(random):
    label = random.integers(0, 3, (20, 30)).astype(np.uint8)
    label[:5] = 255
    prediction = random.integers(0, 3, (20, 30)).astype(np.int32)

    expected = np.zeros((3, 3), int)
    for row in range(5, 20):
        for column in range(30):
            expected[label[row, column], prediction[row, column]] += 1
    np.testing.assert_array_equal(pixel_confusion(label, prediction, 3), expected)
    assert image_mean_iou(label, prediction, 3) == pytest.approx(mean_iou(expected))


def test_bars_are_sorted_with_the_mean_and_without_what_does_not_occur():
    figure = draw_class_iou(CONFUSION[[1, 0, 2, 3]][:, [1, 0, 2, 3]], ["cat", "background", "dog", "bird"])
    (axes,) = figure.axes

    names = [text for text in texts(figure) if text in NAMES]
    assert names == ["background", "cat", "dog"]
    bars = [patch for patch in axes.patches if patch.get_facecolor()[:3] == to_rgb(BLUE)]
    widths = np.array([bar.get_width() for bar in bars])
    np.testing.assert_allclose(widths / widths[0], [1, 0.6, 0])
    assert bars[0].get_y() < bars[1].get_y() < bars[2].get_y()
    assert {"100.0 %", "60.0 %", "0.0 %", "mean 53.3 %", "75.0 %", "25.0 %", "none"} <= set(texts(figure))


def test_bars_of_many_classes_are_the_best_and_the_worst():
    counts = np.diag(np.arange(1, 61))
    counts[:, 0] += 5
    written = texts(draw_class_iou(counts, [f"thing {index}" for index in range(60)]))

    assert "20 classes in between" in written
    assert sum(text.startswith("thing") for text in written) == 40
    assert "thing 59" in written
    assert "thing 30" not in written


def test_confusion_is_of_rows_and_of_classes_that_occur():
    figure = draw_pixel_confusion(CONFUSION, NAMES)
    (axes,) = figure.axes

    assert [text.get_text() for text in axes.get_yticklabels()] == ["background", "cat", "dog"]
    assert [text.get_text() for text in axes.texts] == ["100", "60", "40", "none"]
    np.testing.assert_allclose(axes.images[0].get_array()[1, 2, :3], to_rgb(VERMILION), atol=0.01)


def shown(random):
    image = random.integers(64, 256, (20, 40, 3), np.uint8)
    label = np.zeros((20, 40), int)
    label[:, 20:] = 1
    label[:2] = 255
    prediction = label.copy()
    prediction[:10, 20:] = 2
    return SegmentedImage(image, label, prediction)


def test_image_truth_prediction_and_mistakes_stand_in_a_row(random):
    image, label, prediction = shown(random)
    figure = draw_segmented_images([SegmentedImage(image, label, prediction)], NAMES)
    mosaic = figure.axes[0].images[0].get_array()

    side = mosaic.shape[1] // 4
    factor = 2  # images of fewer than 48 pixels are enlarged
    rows = slice(1, 20 * factor, factor)
    parts = [mosaic[rows, index * side + 1 : index * side + 40 * factor : factor, :3] for index in range(4)]
    np.testing.assert_array_equal(parts[0], image)
    np.testing.assert_array_equal(parts[1][2:], voc_palette()[label[2:]])
    assert set(np.unique(parts[1][:2])) == {205, 255}
    np.testing.assert_array_equal(parts[2][:2, :20], np.broadcast_to(voc_palette()[255], (2, 20, 3)))
    np.testing.assert_array_equal(parts[2][2:], voc_palette()[prediction[2:]])
    vermilion = (parts[3] == np.round(255 * np.array(to_rgb(VERMILION)))).all(axis=-1)
    np.testing.assert_array_equal(vermilion, (label != prediction) & (label != 255))


def test_images_are_captioned_with_their_own_numbers_and_classes(random):
    first = shown(random)
    second = SegmentedImage(first.image[:, :10], np.full((20, 10), 3), np.full((20, 10), 3))
    written = texts(draw_segmented_images([first, second], NAMES))

    # 720 labelled pixels; 160 of the 360 of cats are taken for dogs: (1 + 200/360 + 0) / 3.
    assert [text for text in written if text.endswith("%")] == [
        "mean IoU 51.9 %",
        "22.2 %",
        "mean IoU 100.0 %",
        "0.0 %",
    ]
    legend = ["background", "cat", "dog", "not labelled", "bird"]
    assert [text for text in written if text in legend] == legend
    assert written[:4] == ["image", "truth", "prediction", "wrong pixels"]


def test_prediction_of_a_class_beyond_the_names_counts_as_wrong():
    label = np.full((4, 8), 1, np.uint8)
    prediction = label.copy()
    prediction[:2] = 255
    written = texts(draw_segmented_images([SegmentedImage(np.zeros((4, 8, 1), np.uint8), label, prediction)], NAMES, 7))

    # Half of the cats are right, the class 255 has no label: (1/2 + 0) / 2.
    assert {"mean IoU 25.0 %", "50.0 %", "cat", "class 255"} <= set(written)


def test_large_photo_is_shrunk_with_its_labels():
    photo = np.full((1000, 5000, 3), 200, np.uint8)
    labels = np.zeros((1000, 5000), np.uint8)
    labels[:, 2500:] = 1
    labels[0, 0] = 3  # too small to be seen, and still named
    figure = draw_overlay(photo, labels, NAMES, opacity=1.0)

    below, above = figure.axes[0].images
    assert below.get_array().shape[:2] == above.get_array().shape[:2] == (334, 1667)
    assert texts(figure) == ["cat", "bird"]
    np.testing.assert_allclose(pixels(figure)[100, [300, 1000]], [[200] * 3, [128, 0, 0]], atol=1)


def test_image_and_labels_of_two_sizes(random):
    image, label, prediction = shown(random)

    with pytest.raises(InputError, match=r"image's size \(20, 40\), found \(20, 40\) and \(19, 40\)"):
        draw_segmented_images([SegmentedImage(image, label, prediction[1:])], NAMES)
    with pytest.raises(InputError, match=r"each pixel of \(20, 40\), found labels of \(20, 39\)"):
        draw_overlay(image, label[:, 1:], NAMES)


@pytest.mark.parametrize(("height", "dtype"), [(30, np.int32), (120, np.uint8)])
def test_overlay_blends_classes_into_the_photo(height, dtype):
    photo = np.full((height, 60, 3), 200, np.uint8)
    labels = np.zeros((height, 60), dtype)
    labels[:, 20:40] = 2
    labels[:, 40:] = 255
    figure = draw_overlay(photo, labels, NAMES, opacity=0.5)
    picture = pixels(figure)

    width = round(192 * min(7, 8 * 60 / height))
    assert picture.shape[1] == max(width, 3 * 192)
    middle = round(width / 60 * height / 2)
    np.testing.assert_allclose(picture[middle, width // 6], 200, atol=1)
    np.testing.assert_allclose(picture[middle, width // 2], [100, 164, 100], atol=1)  # halfway to (0, 128, 0)
    np.testing.assert_allclose(picture[middle, width * 5 // 6], 200, atol=1)
    contour = picture[middle, width // 3 - 5 : width // 3 + 5]
    assert contour.min(axis=-1).max() > 230
    assert texts(figure) == ["dog"]
    below = picture[round(width / 60 * height) + 2 :]
    assert (below == [0, 128, 0]).all(axis=-1).sum() > 300  # the legend's swatch has the full colour


def test_overlay_without_a_class_says_so():
    photo = np.full((10, 10, 3), 90, np.uint8)

    assert texts(draw_overlay(photo, np.zeros((10, 10), int), NAMES)) == ["no class found"]
    assert texts(draw_overlay(photo, np.zeros((10, 10), int), NAMES, background=None)) == ["background"]


def test_overlay_of_a_single_row():
    assert texts(draw_overlay(np.zeros((1, 9, 3), np.uint8), np.ones((1, 9), int), NAMES)) == ["cat"]


def test_scores_are_drawn_with_names_the_winners_first():
    scores = np.zeros((4, 4, 30))
    scores[..., 20] = 1
    scores[0, 0, 10] = 2
    names = [f"thing {index}" for index in range(30)]
    maps = {"c1": np.zeros((4, 4, 2)), "score": scores}
    figure = draw_feature_maps(np.zeros((8, 8, 3), np.uint8), maps, output_layer(maps, names))

    captions = [text for text in figure.findobj(Text) if text.get_text().startswith("thing")]
    assert [text.get_text() for text in captions[:3]] == ["thing 20", "thing 10", "thing 0"]
    assert [text.get_weight() for text in captions[:3]] == ["bold", "bold", "normal"]
    assert len(captions) == 16
    assert "16 of 30" in texts(figure)
    assert output_layer({"score": scores}, names[:29]) == {}
