"""What is kept of a test set while it is looked at, and the report that is drawn from it, by task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fcnn import report
from fcnn.training import TaskContract
from fcnn.use.anatomy import Anatomy
from fcnn.use.classification_findings import ClassificationFindings
from fcnn.use.segmentation_findings import SegmentationFindings


@runtime_checkable
class Findings(Protocol):
    """What is kept of a test set."""

    def first_image(self) -> np.ndarray | None:
        """Returns the first image of the set; None of one without images."""
        ...

    def visit(self, batch: dict[str, Any], predictions: Any) -> None:
        """Keeps what the report needs of some examples and the predictions for them."""
        ...

    def report(
        self, folder: Path, title: str, network: Anatomy, metrics: dict[str, float], totals: dict[str, Any]
    ) -> Path:
        """Writes the report, and returns the path of its page."""
        ...


class PlainFindings:
    """Of a task that the library does not know: its report has curves and the network."""

    def __init__(self, task: TaskContract, examined: str):
        """Takes the task, and what the examples are."""
        self._task, self._examined = task, examined
        self._first: list[np.ndarray] = []

    def first_image(self) -> np.ndarray | None:
        """Returns the first image of the set; None of one without images."""
        return self._first[0] if self._first else None

    def visit(self, batch: dict[str, Any], predictions: Any) -> None:
        """Keeps the first image."""
        if not self._first and "image" in batch:
            self._first.append(batch["image"][0])

    def report(
        self, folder: Path, title: str, network: Anatomy, metrics: dict[str, float], totals: dict[str, Any]
    ) -> Path:
        """Writes the report."""
        best = self._task.best.removeprefix("-")
        headline = (
            {f"{best.replace('_', ' ')} of the {self._examined}": f"{metrics[best]:.4g}"} if best in metrics else {}
        )
        others = {name.replace("_", " "): f"{value:.4g}" for name, value in metrics.items() if name != best}
        return report.report_task(
            folder,
            title=title,
            panels=report.metric_panels(self._task.best),
            headline=headline | others,
            facts=network.facts,
            kernels=network.kernels,
            example=network.example,
            feature_maps=network.feature_maps,
        )


def findings_of(task: TaskContract, class_names: Sequence[str], shown: int, examined: str) -> Findings:
    """Returns what keeps the findings of a task.

    Args:
        task: the task; one that the library does not know gets a report without sections of its own.
        class_names: names of the classes, where the task has some.
        shown: number of examples to show with their predictions.
        examined: what the examples are.
    """
    if task.name == "classification":
        return ClassificationFindings(class_names, shown, examined)
    if task.name == "segmentation":
        return SegmentationFindings(class_names, examined)
    return PlainFindings(task, examined)
