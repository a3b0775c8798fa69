"""Several ways to train, compared over random seeds: as a table and as a picture."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from fcnn.report.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, WIDTH

_ROW = 0.42  # inches
_LEFT = 0.17  # share of the width for the names


def comparison_table(results: Mapping[str, Sequence[float]]) -> str:
    """Returns a line for each way: its mean, deviation (that of a sample) and range, in percent.

    Args:
        results: {name: a result between 0 and 1 for each seed}, at least two each.
    """
    width = max(map(len, results))
    lines = [f"{'':<{width}}  {'mean':>7}  {'deviation':>9}  {'lowest':>7}  {'highest':>7}"]
    for name, values in results.items():
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        lines.append(f"{name:<{width}}  {mean:7.2%}  {deviation:9.2%}  {min(values):7.2%}  {max(values):7.2%}")
    return "\n".join(lines)


def draw_comparison(results: Mapping[str, Sequence[float]], quantity: str) -> Figure:
    """Draws a row for each way: a dot for each seed, a stroke at the mean, a band of the deviation to both sides.

    Args:
        results: as for `comparison_table`.
        quantity: what is compared, for the axis.
    """
    height = _ROW * len(results) + 0.75
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((_LEFT, 0.5 / height, 0.66, (height - 0.6) / height))
    for row, values in enumerate(results.values()):
        percent = [100 * value for value in values]
        mean, deviation = statistics.mean(percent), statistics.stdev(percent)
        axes.barh(row, 2 * deviation, left=mean - deviation, height=0.36, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot([mean, mean], [row - 0.24, row + 0.24], color=BLUE, linewidth=2)
        axes.plot(percent, [row] * len(percent), "o", color=BLUE, markersize=4, alpha=0.7, markeredgewidth=0)
        axes.annotate(
            f"{mean:.1f} ± {deviation:.1f} %",
            (1.015, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL + 0.5,
            color=INK,
            annotation_clip=False,
        )
    axes.use_sticky_edges = False
    axes.set_yticks(range(len(results)), list(results), fontsize=NORMAL, color=INK)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlabel(f"{quantity}, %", fontsize=SMALL, color=MUTED)
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=MUTED, color=FAINT, length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    return figure
