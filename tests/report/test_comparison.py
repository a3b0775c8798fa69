"""Results over seeds as a table and a picture."""

import numpy as np
import pytest
from PIL import Image

from fcnn.errors import InputError
from fcnn.report import comparison_table, draw_comparison, save_picture

RESULTS = {"from scratch": [0.8, 0.9], "fine-tuned": [0.94, 0.96, 0.95]}


def test_table_has_means_and_the_deviation_of_a_sample():
    lines = [line.split() for line in comparison_table(RESULTS).splitlines()]
    assert lines[0] == ["mean", "deviation", "lowest", "highest"]
    assert lines[1] == ["from", "scratch", "85.00%", "7.07%", "80.00%", "90.00%"]
    assert lines[2] == ["fine-tuned", "95.00%", "1.00%", "94.00%", "96.00%"]


def test_picture_names_all_and_has_a_dot_for_each_seed(tmp_path):
    figure = draw_comparison(RESULTS, "accuracy")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(RESULTS)
    assert axes.get_xlabel() == "accuracy, %"
    dots = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
    for found, expected in zip(dots, RESULTS.values(), strict=True):
        np.testing.assert_allclose(found, 100 * np.array(expected))
    path = save_picture(tmp_path / "picture.png", figure)
    with Image.open(path) as picture:
        assert picture.width == 1344
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot be written"):
        save_picture(tmp_path / "nowhere" / "picture.png", figure)
