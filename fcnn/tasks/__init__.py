"""What a network is trained for: losses, predictions and numbers of a batch."""

from fcnn.tasks.classification import classification, cross_entropy, smooth_labels
from fcnn.tasks.segmentation import segmentation
from fcnn.tasks.task import Task, apply_to_images, masked_sum

__all__ = ["Task", "apply_to_images", "classification", "cross_entropy", "masked_sum", "segmentation", "smooth_labels"]
