"""The report on a network that labels every pixel: IoU of classes, confusion of pixels, images with their masks."""

from typing import TYPE_CHECKING

from fcnn.lazy import lazy_exports

if TYPE_CHECKING:
    from fcnn.report.segmentation.forms import draw_predicted_masks
    from fcnn.report.segmentation.images import SegmentedImage, draw_segmented_images
    from fcnn.report.segmentation.iou import class_iou, image_mean_iou, mean_iou, pixel_confusion
    from fcnn.report.segmentation.overlay import draw_overlay
    from fcnn.report.segmentation.palette import encode_mask, voc_palette
    from fcnn.report.segmentation.results import PANELS, report_segmentation, segmentation_sections

__all__ = [
    "PANELS",
    "SegmentedImage",
    "class_iou",
    "draw_overlay",
    "draw_predicted_masks",
    "draw_segmented_images",
    "encode_mask",
    "image_mean_iou",
    "mean_iou",
    "pixel_confusion",
    "report_segmentation",
    "segmentation_sections",
    "voc_palette",
]

__getattr__, __dir__ = lazy_exports(__name__)
