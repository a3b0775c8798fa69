"""Bars: their lengths, colours, names and texts."""

from matplotlib.colors import to_hex

from fcnn.report import Bar, draw_bars
from fcnn.report.style import BLUE

GROUPS = {
    "resnet20, bfloat16": {"fcnn": Bar(1.5, "1.50   300 images/s"), "stock": Bar(1.0, "1.00   200 images/s")},
    "lenet, bfloat16": {"stock": Bar(0.25, "0.25")},
}


def test_bars_are_as_long_as_their_values_from_top_to_bottom():
    (axes,) = draw_bars(GROUPS, "times stock", ours="fcnn").axes
    bars = sorted(axes.patches, key=lambda bar: bar.get_y())
    assert [bar.get_width() for bar in bars] == [1.5, 1.0, 0.25]
    assert [to_hex(bar.get_facecolor()) == BLUE for bar in bars] == [True, False, False]
    assert axes.yaxis_inverted()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fcnn", "stock", "stock"]
    assert axes.get_xlim() == (0, 1.5)
    texts = {text.get_text(): text.xy[1] for text in axes.texts}
    assert list(texts) == ["1.50   300 images/s", "1.00   200 images/s", "0.25", *GROUPS]
    for bar, text in zip(bars, texts, strict=False):
        assert bar.get_y() < texts[text] < bar.get_y() + bar.get_height()
    assert texts["lenet, bfloat16"] < texts["0.25"] < bars[2].get_y() + bars[2].get_height()


def test_nothing_written_leaves_the_picture():
    figure = draw_bars(
        GROUPS | {"vgg": {"a name of some length": Bar(3.0, "3.00   1,234,567 images/s")}}, "", reference=1
    )
    figure.canvas.draw()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
