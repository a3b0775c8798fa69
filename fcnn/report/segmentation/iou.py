"""Intersection over union: of each class from a confusion matrix, of one image, and as bars."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure

from fcnn.report.segmentation.legend import draw_swatch
from fcnn.report.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, WIDTH, crop, new_canvas, shorten

MOST_CLASSES = 40  # of more, the best and the worst are drawn
_ROW = 0.21  # inches
_LEFT, _RIGHT = 1.75, 5.35  # of the bars
_TOP = 0.42
_LONGEST_NAME = 20  # characters
_ON_WHITE = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2}, "zorder": 5}


def class_iou(confusion: Integer[np.ndarray, "label prediction"]) -> Float[np.ndarray, " label"]:
    """Returns each class's pixels that are both labelled and predicted as it, as a share of those that are either.

    A class that no pixel is labelled or predicted as has NaN, and is not part of a mean, as on the server of the VOC
    challenge; one that is only predicted has 0.

    Args:
        confusion: number of pixels for each label and prediction.
    """
    right = np.diagonal(confusion).astype(np.float64)
    either = confusion.sum(axis=0, dtype=np.float64) + confusion.sum(axis=1, dtype=np.float64) - right
    return np.divide(right, either, out=np.full(len(right), np.nan), where=either > 0)


def mean_iou(confusion: Integer[np.ndarray, "label prediction"]) -> float:
    """Returns the mean over the classes that occur, NaN if none does."""
    values = class_iou(confusion)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def pixel_confusion(
    label: Integer[np.ndarray, "height width"],
    prediction: Integer[np.ndarray, "height width"],
    num_classes: int,
    ignore: int | None = 255,
) -> Integer[np.ndarray, "{num_classes} {num_classes}"]:
    """Returns how many pixels of each class of one image were taken for each class.

    Args:
        label: the class of each pixel.
        prediction: what the network takes it for.
        num_classes: number of classes.
        ignore: the number of pixels without a label, which do not count.
    """
    known = np.full(label.shape, True) if ignore is None else label != ignore
    pairs = label[known].astype(np.int64) * num_classes + prediction[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def image_mean_iou(
    label: Integer[np.ndarray, "height width"],
    prediction: Integer[np.ndarray, "height width"],
    num_classes: int,
    ignore: int | None = 255,
) -> float:
    """Returns the mean IoU of one image, by which the worst are found; arguments as for `pixel_confusion`."""
    return mean_iou(pixel_confusion(label, prediction, num_classes, ignore))


def draw_class_iou(confusion: Integer[np.ndarray, "label prediction"], class_names: Sequence[str]) -> Figure:
    """Draws a bar for the IoU of each class that occurs, best first, the mean as a line through them.

    Beside a bar stands the share of the labelled pixels that are of the class.

    Args:
        confusion: number of pixels for each label and prediction.
        class_names: names of the classes.
    """
    values = class_iou(confusion)
    shares = confusion.sum(axis=1) / max(1, confusion.sum())
    order = [int(index) for index in np.argsort(-values, kind="stable") if np.isfinite(values[index])]
    half = MOST_CLASSES // 2
    shown = order if len(order) <= MOST_CLASSES else [*order[:half], None, *order[-half:]]
    mean = float(np.mean(values[order])) if order else 0.0
    figure, axes = new_canvas()
    length = _RIGHT - _LEFT
    bottom = _TOP + _ROW * len(shown)
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = _LEFT + length * share
        axes.vlines(place, _TOP - 0.04, bottom, color=FAINT, linewidth=0.5, zorder=0)
        axes.text(place, bottom + 0.05, f"{100 * share:.0f} %", ha="center", va="top", fontsize=SMALL, color=MUTED)
    for row, index in enumerate(shown):
        middle = _TOP + _ROW * (row + 0.5)
        if index is None:
            between = f"{len(order) - 2 * half} classes in between"
            axes.text(_LEFT + 0.05, middle, between, va="center_baseline", fontsize=SMALL, color=MUTED, **_ON_WHITE)
            continue
        draw_swatch(axes, index, left=_LEFT - 0.22, top=middle - 0.065, side=0.13)
        text = {"va": "center_baseline", "parse_math": False}
        name = shorten(class_names[index], _LONGEST_NAME)
        axes.text(_LEFT - 0.3, middle, name, ha="right", fontsize=NORMAL - 0.5, color=INK, **text)
        axes.barh(middle, length * values[index], left=_LEFT, height=0.13, color=BLUE, linewidth=0)
        axes.text(
            _RIGHT + 0.62, middle, f"{100 * values[index]:.1f} %", ha="right", fontsize=NORMAL - 0.5, color=INK, **text
        )
        axes.text(WIDTH - 0.1, middle, _share(shares[index]), ha="right", fontsize=NORMAL - 0.5, color=MUTED, **text)
    place = _LEFT + length * mean
    axes.vlines(place, _TOP - 0.1, bottom, color=INK, linewidth=1.2)
    place = min(place, _RIGHT - 0.1)  # beside it stands the heading of the numbers
    axes.text(place, _TOP - 0.13, f"mean {100 * mean:.1f} %", ha="center", va="bottom", fontsize=NORMAL, color=INK)
    axes.text(_RIGHT + 0.62, _TOP - 0.13, "IoU", ha="right", va="bottom", fontsize=SMALL, color=MUTED)
    axes.text(WIDTH - 0.1, _TOP - 0.13, "share of labels", ha="right", va="bottom", fontsize=SMALL, color=MUTED)
    crop(figure, axes, bottom + 0.27)
    return figure


def _share(share: float) -> str:
    return "none" if share == 0 else "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"
