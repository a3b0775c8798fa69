"""The report of a run: curves, kernels and feature maps on one page, and what its task shows beside them."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn.report.bars import Bar, draw_bars
    from fcnn.report.classification import (
        Mistakes,
        Predictions,
        confusion_matrix,
        draw_predictions,
        find_mistakes,
        report_run,
    )
    from fcnn.report.comparison import comparison_table, draw_comparison
    from fcnn.report.curves import LOSS, Panel, metric_panels
    from fcnn.report.feature_maps import FeatureMap
    from fcnn.report.metrics import read_metrics
    from fcnn.report.page import Section
    from fcnn.report.run import report_task
    from fcnn.report.segmentation import (
        SegmentedImage,
        draw_overlay,
        draw_predicted_masks,
        encode_mask,
        image_mean_iou,
        report_segmentation,
        voc_palette,
    )
    from fcnn.report.write import save_picture, write_report

__all__ = [
    "LOSS",
    "Bar",
    "FeatureMap",
    "Mistakes",
    "Panel",
    "Predictions",
    "Section",
    "SegmentedImage",
    "comparison_table",
    "confusion_matrix",
    "draw_bars",
    "draw_comparison",
    "draw_overlay",
    "draw_predicted_masks",
    "draw_predictions",
    "encode_mask",
    "find_mistakes",
    "image_mean_iou",
    "metric_panels",
    "read_metrics",
    "report_run",
    "report_segmentation",
    "report_task",
    "save_picture",
    "voc_palette",
    "write_report",
]

__getattr__, __dir__ = lazy_exports(__name__)
