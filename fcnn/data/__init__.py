"""Where images come from, and in which order: NumPy arrays on the host, no model and no training."""

from fcnn.data.dataset import Dataset, Split
from fcnn.data.folder import ImageFolder, load_image_folder
from fcnn.data.folder_loader import FolderLoader
from fcnn.data.image_files import ImageFiles, evaluation_crop
from fcnn.data.load import load_dataset
from fcnn.data.loader import Loader
from fcnn.data.mask_evaluation import MaskEvaluation
from fcnn.data.mask_files import MaskFiles, read_mask
from fcnn.data.mask_folder import SegmentationFolder, load_mask_folder, load_voc2012
from fcnn.data.mask_loader import MaskLoader
from fcnn.data.order import Batch, epoch_order, prefetch
from fcnn.data.scenes import digit_boxes, digit_scenes
from fcnn.data.statistics import channel_statistics
from fcnn.data.subset import balanced_subset

__all__ = [
    "Batch",
    "Dataset",
    "FolderLoader",
    "ImageFiles",
    "ImageFolder",
    "Loader",
    "MaskEvaluation",
    "MaskFiles",
    "MaskLoader",
    "SegmentationFolder",
    "Split",
    "balanced_subset",
    "channel_statistics",
    "digit_boxes",
    "digit_scenes",
    "epoch_order",
    "evaluation_crop",
    "load_dataset",
    "load_image_folder",
    "load_mask_folder",
    "load_voc2012",
    "prefetch",
    "read_mask",
]
