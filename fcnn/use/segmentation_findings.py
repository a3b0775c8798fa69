"""What is kept of a test set for the report on a network that labels pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnn import report
from fcnn.use.anatomy import Anatomy, as_bytes

_SHOWN = 6
_IGNORE = -1


class SegmentationFindings:
    """The first images of the set, and the worst ones: a set of photos would not fit into memory."""

    def __init__(self, class_names: Sequence[str], examined: str):
        """Takes the names of the classes, and what the examples are."""
        self._class_names, self._examined = class_names, examined
        self._first: list[report.SegmentedImage] = []
        self._worst: list[tuple[float, report.SegmentedImage]] = []

    def first_image(self) -> np.ndarray:
        """Returns the first image of the set."""
        return self._first[0].image

    def visit(self, batch: dict[str, Any], predictions: np.ndarray) -> None:
        """Keeps the first and the worst of what was seen so far."""
        classes = predictions.shape[-1]
        for image, label, found in zip(as_bytes(batch["image"]), batch["label"], predictions.argmax(-1), strict=True):
            # Whatever number stands for pixels without a label.
            label = np.asarray(label, np.int32)
            label = np.where((label >= 0) & (label < classes), label, _IGNORE)
            example = _without_margin(report.SegmentedImage(image, label, found))
            if len(self._first) < _SHOWN:
                self._first.append(example)
            score = report.image_mean_iou(example.label, example.prediction, classes, _IGNORE)
            if np.isfinite(score):
                self._worst = sorted([*self._worst, (score, example)], key=lambda pair: pair[0])[:_SHOWN]

    def report(
        self, folder: Path, title: str, network: Anatomy, metrics: dict[str, float], totals: dict[str, Any]
    ) -> Path:
        """Writes the report."""
        confusion = totals["confusion"]
        return report.report_segmentation(
            folder,
            title=title,
            facts=network.facts,
            class_names=self._class_names or tuple(f"class {index}" for index in range(len(confusion))),
            confusion=confusion,
            examples=self._first,
            worst=[example for _, example in self._worst],
            kernels=network.kernels,
            example=network.example,
            feature_maps=network.feature_maps,
            ignore=_IGNORE,
            examined=self._examined,
        )


def _without_margin(example):
    """Returns an example without the rows and columns at its end that only fill up its batch's size."""
    inside = example.label != _IGNORE
    if not inside.any():
        return example
    rows, columns = (int(np.flatnonzero(inside.any(axis=axis))[-1]) + 1 for axis in (1, 0))
    return report.SegmentedImage(*(array[:rows, :columns] for array in example))
