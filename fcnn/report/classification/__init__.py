"""The report of a classifier: confusion matrix, predictions, mistakes."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn.report.classification.confusion import draw_confusion
    from fcnn.report.classification.mistakes import Mistakes, draw_mistakes
    from fcnn.report.classification.predictions import Predictions, draw_predictions
    from fcnn.report.classification.results import (
        PANELS,
        classification_sections,
        confusion_matrix,
        find_mistakes,
        report_run,
    )

__all__ = [
    "PANELS",
    "Mistakes",
    "Predictions",
    "classification_sections",
    "confusion_matrix",
    "draw_confusion",
    "draw_mistakes",
    "draw_predictions",
    "find_mistakes",
    "report_run",
]

__getattr__, __dir__ = lazy_exports(__name__)
