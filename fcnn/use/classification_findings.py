"""What is kept of a test set for the report of a classifier."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnn import report
from fcnn.use.anatomy import Anatomy, as_bytes


class ClassificationFindings:
    """All images with their labels and logits."""

    def __init__(self, class_names: Sequence[str], shown: int, examined: str):
        """Takes the names of the classes, how many examples are shown, and what they are."""
        self._class_names, self._shown, self._examined = class_names, shown, examined
        self._images: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []

    def first_image(self) -> np.ndarray:
        """Returns the first image of the set."""
        return self._images[0][0]

    def visit(self, batch: dict[str, Any], predictions: np.ndarray) -> None:
        """Keeps some examples and their logits."""
        labels = np.asarray(batch["label"])
        self._images.append(np.asarray(batch["image"]))
        self._labels.append(labels if labels.ndim == 1 else labels.argmax(axis=-1))
        self._logits.append(predictions)

    def report(
        self, folder: Path, title: str, network: Anatomy, metrics: dict[str, float], totals: dict[str, Any]
    ) -> Path:
        """Writes the report."""
        logits = np.concatenate(self._logits)
        return report.report_run(
            folder,
            title=title,
            facts=network.facts,
            class_names=self._class_names or tuple(f"class {index}" for index in range(logits.shape[-1])),
            images=as_bytes(np.concatenate(self._images)),
            labels=np.concatenate(self._labels),
            logits=logits,
            kernels=network.kernels,
            feature_maps=network.feature_maps,
            shown=self._shown,
            examined=self._examined,
        )
