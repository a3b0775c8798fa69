"""Published weights into variables, and the reading of weight files."""

from fcnn.pretrained.convert import convert_torchvision, export_torchvision
from fcnn.pretrained.facts import PUBLISHED_WEIGHTS, PublishedWeights, imagenet_class_names, published_weights
from fcnn.pretrained.load import load_pretrained
from fcnn.pretrained.preprocess import EvaluationTransform, preprocess
from fcnn.pretrained.weight_files import read_weights

__all__ = [
    "PUBLISHED_WEIGHTS",
    "EvaluationTransform",
    "PublishedWeights",
    "convert_torchvision",
    "export_torchvision",
    "imagenet_class_names",
    "load_pretrained",
    "preprocess",
    "published_weights",
    "read_weights",
]
