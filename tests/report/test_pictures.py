"""The pictures that every task has encode the data: what is drawn is read back from the figures."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from fcnn.report.feature_maps import draw_feature_maps
from fcnn.report.kernels import draw_kernels
from fcnn.report.style import BLUE, VERMILION, diverging_colours, encode_png, image_colours, text_width


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def count_frames(figure):
    return sum(len(collection.get_paths()) for axes in figure.axes for collection in axes.collections)


@pytest.mark.parametrize(
    ("shape", "drawn"), [((5, 5, 1, 6), 6), ((28, 28, 1, 30), 30), ((7, 7, 3, 96), 64), ((3, 3, 2, 1), 1)]
)
def test_number_of_kernels_drawn(shape, drawn):
    figure = draw_kernels(np.random.default_rng(0).normal(size=shape))

    assert count_frames(figure) == drawn


def test_kernel_colours_are_symmetric_about_zero():
    colours = diverging_colours(np.array([-0.5, 0.0, 0.5, np.nan]), limit=1.0)

    np.testing.assert_allclose(colours[0] / 255, to_rgb(VERMILION), atol=0.01)
    np.testing.assert_array_equal(colours[1], 255)
    np.testing.assert_allclose(colours[2] / 255, to_rgb(BLUE), atol=0.01)
    np.testing.assert_array_equal(colours[3], 255)


def test_digits_are_ink_on_paper_and_photographs_stay():
    digit = np.zeros((1, 4, 4, 1), np.uint8)
    digit[0, 1, 1] = 200
    photograph = np.full((1, 4, 4, 3), 90, np.uint8)

    assert image_colours(digit)[0, 1, 1].tolist() == [55, 55, 55]
    assert image_colours(digit)[0, 0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(image_colours(photograph), photograph)


def test_images_of_two_channels_are_drawn_as_their_mean_and_of_more_as_their_first_three():
    random = np.random.default_rng(0)
    two, five = (random.integers(64, 256, (1, 4, 4, channels), np.uint8) for channels in (2, 5))

    expected = two.mean(axis=-1).astype(np.uint8)
    assert all(np.array_equal(image_colours(two)[..., channel], expected) for channel in range(3))
    np.testing.assert_array_equal(image_colours(five), five[..., :3])


def test_feature_maps_name_layers_and_say_what_is_left_out():
    random = np.random.default_rng(0)
    feature_maps = {
        "c1": random.normal(size=(28, 28, 6)),
        "c3": random.normal(size=(10, 10, 64)),
        "c5": random.normal(size=(1, 1, 120)),
        "f6": random.normal(size=4096),
        "output": np.array([-1.2345, 0.5]),
    }
    figure = draw_feature_maps(np.zeros((28, 28, 1), np.uint8), feature_maps)

    written = texts(figure)
    assert {"input", *feature_maps} <= set(written)
    assert {"16 of 64", "128 of 4096"} <= set(written)
    assert "28 \N{MULTIPLICATION SIGN} 28 \N{MULTIPLICATION SIGN} 6" in written
    assert {"\N{MINUS SIGN}1.23", "0.5"} <= set(written)
    assert len(encode_png(figure)) > 0


def test_layer_is_drawn_as_a_task_says():
    drawn = []

    def draw(axes, top, name, values):
        drawn.append((name, values.shape))
        return top + 2.5

    maps = {"first": np.zeros((4, 4, 2)), "second": np.zeros(3)}
    example = np.zeros((8, 8, 3), np.uint8)
    own = draw_feature_maps(example, maps, {"second": draw}).get_size_inches()

    assert drawn == [("second", (3,))]
    np.testing.assert_allclose(own - draw_feature_maps(example, maps).get_size_inches(), [0, 2.5 - 0.3])


def test_width_of_a_text_is_the_one_it_is_drawn_with():
    from matplotlib.figure import Figure

    figure = Figure(dpi=192)
    text = figure.text(0, 0.5, "validation 12.3 %", fontsize=8)
    encode_png(figure)

    assert text_width("validation 12.3 %", 8) == pytest.approx(text.get_window_extent().width / 192, rel=0.03)
