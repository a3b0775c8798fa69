"""What is known of each published weight file: where it is, which images it expects, what it reaches."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

from fcnn.errors import InputError

PUBLISHED_ADDRESS = "https://download.pytorch.org/models/"


class PublishedWeights(NamedTuple):
    """Weights trained by torchvision, with the evaluation transform that belongs to them.

    The numbers are those of torchvision's documentation: of classification on ImageNet's 50,000 validation images, of
    segmentation on those of COCO's val2017 that show Pascal VOC's classes, labels resized with their images.

    GoogLeNet and Inception v3 were trained on other mean and deviation than the rest: torchvision normalises by
    ImageNet's, which its option `transform_input` then undoes inside the network,
    (x * 0.229 + 0.485 - 0.5) / 0.5 for the first channel. Both steps together are (pixel - 0.5) / 0.5, which is what
    stands here: `create_model` keeps its default `transform_input=False`.

    Attributes:
        network: name for `create_model`.
        version: "V1", or "V2" for torchvision's newer training recipe.
        file_name: the published name; its last 8 hexadecimal digits begin the file's SHA-256.
        resize: length of the image's shorter side after the resizing, in pixels.
        crop: side of the square cut from its centre, in pixels; None where the network sees the whole image.
        metrics: what the weights reach, in percent: "top1", the accuracy, and "top5", the share of images whose class
            is among the five best, in classification; "mean_iou" and "pixel_accuracy" in segmentation.
        mean: of the pixels between 0 and 1, per channel, subtracted.
        std: of the pixels, per channel, divided by.
        classes: number of logits; of a pixel in segmentation.
        interpolation: of the resizing; antialiased.
        task: "classification" or "segmentation".
    """

    network: str
    version: str
    file_name: str
    resize: int
    crop: int | None
    metrics: Mapping[str, float]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    classes: int = 1000
    interpolation: str = "bilinear"
    task: str = "classification"

    @property
    def top1(self) -> float:
        """The accuracy of classification, in percent."""
        return self.metrics["top1"]

    @property
    def top5(self) -> float:
        """The share of images whose class is among the five best, in percent."""
        return self.metrics["top5"]

    @property
    def address(self) -> str:
        """Where the file is published."""
        return PUBLISHED_ADDRESS + self.file_name

    @property
    def hash_prefix(self) -> str:
        """The first 8 hexadecimal digits of the file's SHA-256."""
        return self.file_name.removesuffix(".pth")[-8:]


_HALF = (0.5, 0.5, 0.5)


def _on_imagenet(network, version, file_name, resize, crop, top1, top5, *normalisation):
    metrics = {"top1": top1, "top5": top5}
    return PublishedWeights(network, version, file_name, resize, crop, metrics, *normalisation)


def _on_coco(network, file_name, mean_iou, pixel_accuracy):
    metrics = {"mean_iou": mean_iou, "pixel_accuracy": pixel_accuracy}
    return PublishedWeights(network, "V1", file_name, 520, None, metrics, classes=21, task="segmentation")


PUBLISHED_WEIGHTS = (
    _on_imagenet("alexnet", "V1", "alexnet-owt-7be5be79.pth", 256, 224, 56.522, 79.066),
    _on_imagenet("googlenet", "V1", "googlenet-1378be20.pth", 256, 224, 69.778, 89.530, _HALF, _HALF),
    _on_imagenet("inception_v3", "V1", "inception_v3_google-0cc3c7bd.pth", 342, 299, 77.294, 93.450, _HALF, _HALF),
    _on_imagenet("resnet18", "V1", "resnet18-f37072fd.pth", 256, 224, 69.758, 89.078),
    _on_imagenet("resnet34", "V1", "resnet34-b627a593.pth", 256, 224, 73.314, 91.420),
    _on_imagenet("resnet50", "V1", "resnet50-0676ba61.pth", 256, 224, 76.130, 92.862),
    _on_imagenet("resnet50", "V2", "resnet50-11ad3fa6.pth", 232, 224, 80.858, 95.434),
    _on_imagenet("resnet101", "V1", "resnet101-63fe2227.pth", 256, 224, 77.374, 93.546),
    _on_imagenet("resnet101", "V2", "resnet101-cd907fc2.pth", 232, 224, 81.886, 95.780),
    _on_imagenet("resnet152", "V1", "resnet152-394f9c45.pth", 256, 224, 78.312, 94.046),
    _on_imagenet("resnet152", "V2", "resnet152-f82ba261.pth", 232, 224, 82.284, 96.002),
    _on_imagenet("vgg11", "V1", "vgg11-8a719046.pth", 256, 224, 69.020, 88.628),
    _on_imagenet("vgg11_bn", "V1", "vgg11_bn-6002323d.pth", 256, 224, 70.370, 89.810),
    _on_imagenet("vgg13", "V1", "vgg13-19584684.pth", 256, 224, 69.928, 89.246),
    _on_imagenet("vgg13_bn", "V1", "vgg13_bn-abd245e5.pth", 256, 224, 71.586, 90.374),
    _on_imagenet("vgg16", "V1", "vgg16-397923af.pth", 256, 224, 71.592, 90.382),
    _on_imagenet("vgg16_bn", "V1", "vgg16_bn-6c64b313.pth", 256, 224, 73.360, 91.516),
    _on_imagenet("vgg19", "V1", "vgg19-dcbb9e9d.pth", 256, 224, 72.376, 90.876),
    _on_imagenet("vgg19_bn", "V1", "vgg19_bn-c79401a0.pth", 256, 224, 74.218, 91.842),
    _on_coco("fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth", 60.5, 91.4),
    _on_coco("fcn_resnet101", "fcn_resnet101_coco-7ecb50ca.pth", 63.7, 91.9),
)


def published_weights(name: str, version: str | None = None) -> PublishedWeights:
    """Returns the facts of a network's published weights.

    Args:
        name: name of the network.
        version: "V1" or "V2"; the newest if None.

    Raises:
        InputError: no weights are published for the network, or not in this version.
    """
    by_version = {weights.version: weights for weights in PUBLISHED_WEIGHTS if weights.network == name}
    if not by_version:
        networks = dict.fromkeys(weights.network for weights in PUBLISHED_WEIGHTS)
        raise InputError(f"no weights are published for {name!r}, only for {', '.join(networks)}")
    if version is None:
        return by_version[max(by_version)]
    if version not in by_version:
        raise InputError(
            f"there are no published weights of version {version!r} for {name}: expected {' or '.join(by_version)}"
        )
    return by_version[version]


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1000 classes in the order of the logits.

    Each is the first word of its WordNet synset; "crane" and "maillot", of which there are two, are told apart as in
    torchvision.
    """
    return tuple(resources.files("fcnn.pretrained").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines())
