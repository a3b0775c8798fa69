"""The report of a run: its curves, confusion matrix, mistakes, kernels and feature maps on one page."""

from fcnn.report.comparison import comparison_table, draw_comparison
from fcnn.report.feature_maps import FeatureMap
from fcnn.report.metrics import read_metrics
from fcnn.report.mistakes import Mistakes
from fcnn.report.predictions import Predictions, draw_predictions
from fcnn.report.results import confusion_matrix, find_mistakes, report_run
from fcnn.report.write import save_picture, write_report

__all__ = [
    "FeatureMap",
    "Mistakes",
    "Predictions",
    "comparison_table",
    "confusion_matrix",
    "draw_comparison",
    "draw_predictions",
    "find_mistakes",
    "read_metrics",
    "report_run",
    "save_picture",
    "write_report",
]
