"""The report of a run: its curves, confusion matrix, mistakes, kernels and feature maps on one page."""

from fcnn.report.feature_maps import FeatureMap
from fcnn.report.metrics import read_metrics
from fcnn.report.mistakes import Mistakes
from fcnn.report.results import confusion_matrix, find_mistakes, report_run
from fcnn.report.write import write_report

__all__ = [
    "FeatureMap",
    "Mistakes",
    "confusion_matrix",
    "find_mistakes",
    "read_metrics",
    "report_run",
    "write_report",
]
