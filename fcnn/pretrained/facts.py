"""What is known of each published weight file: where it is, which images it expects, what it reaches on ImageNet."""

from functools import cache
from importlib import resources
from typing import NamedTuple

from fcnn.errors import InputError

PUBLISHED_ADDRESS = "https://download.pytorch.org/models/"


class PublishedWeights(NamedTuple):
    """Weights trained on ImageNet by torchvision, with the evaluation transform that belongs to them.

    The numbers are those of torchvision's documentation. GoogLeNet and Inception v3 were trained on other mean and
    deviation than the rest: torchvision normalises by ImageNet's, which its option `transform_input` then undoes
    inside the network, (x * 0.229 + 0.485 - 0.5) / 0.5 for the first channel. Both steps together are
    (pixel - 0.5) / 0.5, which is what stands here: `create_model` keeps its default `transform_input=False`.

    Attributes:
        network: name for `create_model`.
        version: "V1", or "V2" for torchvision's newer training recipe.
        file_name: the published name; its last 8 hexadecimal digits begin the file's SHA-256.
        resize: length of the image's shorter side after the resizing, in pixels.
        crop: side of the square cut from its centre, in pixels.
        top1: accuracy on ImageNet's 50,000 validation images, in percent.
        top5: share of them whose class is among the five best, in percent.
        mean: of the pixels between 0 and 1, per channel, subtracted.
        std: of the pixels, per channel, divided by.
        classes: number of logits.
        interpolation: of the resizing; antialiased.
    """

    network: str
    version: str
    file_name: str
    resize: int
    crop: int
    top1: float
    top5: float
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    classes: int = 1000
    interpolation: str = "bilinear"

    @property
    def address(self) -> str:
        """Where the file is published."""
        return PUBLISHED_ADDRESS + self.file_name

    @property
    def hash_prefix(self) -> str:
        """The first 8 hexadecimal digits of the file's SHA-256."""
        return self.file_name.removesuffix(".pth")[-8:]


_HALF = (0.5, 0.5, 0.5)

PUBLISHED_WEIGHTS = (
    PublishedWeights("alexnet", "V1", "alexnet-owt-7be5be79.pth", 256, 224, 56.522, 79.066),
    PublishedWeights("googlenet", "V1", "googlenet-1378be20.pth", 256, 224, 69.778, 89.530, _HALF, _HALF),
    PublishedWeights("inception_v3", "V1", "inception_v3_google-0cc3c7bd.pth", 342, 299, 77.294, 93.450, _HALF, _HALF),
    PublishedWeights("resnet18", "V1", "resnet18-f37072fd.pth", 256, 224, 69.758, 89.078),
    PublishedWeights("resnet34", "V1", "resnet34-b627a593.pth", 256, 224, 73.314, 91.420),
    PublishedWeights("resnet50", "V1", "resnet50-0676ba61.pth", 256, 224, 76.130, 92.862),
    PublishedWeights("resnet50", "V2", "resnet50-11ad3fa6.pth", 232, 224, 80.858, 95.434),
    PublishedWeights("resnet101", "V1", "resnet101-63fe2227.pth", 256, 224, 77.374, 93.546),
    PublishedWeights("resnet101", "V2", "resnet101-cd907fc2.pth", 232, 224, 81.886, 95.780),
    PublishedWeights("resnet152", "V1", "resnet152-394f9c45.pth", 256, 224, 78.312, 94.046),
    PublishedWeights("resnet152", "V2", "resnet152-f82ba261.pth", 232, 224, 82.284, 96.002),
    PublishedWeights("vgg11", "V1", "vgg11-8a719046.pth", 256, 224, 69.020, 88.628),
    PublishedWeights("vgg11_bn", "V1", "vgg11_bn-6002323d.pth", 256, 224, 70.370, 89.810),
    PublishedWeights("vgg13", "V1", "vgg13-19584684.pth", 256, 224, 69.928, 89.246),
    PublishedWeights("vgg13_bn", "V1", "vgg13_bn-abd245e5.pth", 256, 224, 71.586, 90.374),
    PublishedWeights("vgg16", "V1", "vgg16-397923af.pth", 256, 224, 71.592, 90.382),
    PublishedWeights("vgg16_bn", "V1", "vgg16_bn-6c64b313.pth", 256, 224, 73.360, 91.516),
    PublishedWeights("vgg19", "V1", "vgg19-dcbb9e9d.pth", 256, 224, 72.376, 90.876),
    PublishedWeights("vgg19_bn", "V1", "vgg19_bn-c79401a0.pth", 256, 224, 74.218, 91.842),
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
