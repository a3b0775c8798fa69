"""The networks of stock_networks.py in PyTorch, layer by layer, and torchvision's where pixels are labelled."""

from collections.abc import Callable

import torch
from torch import nn


class Residual(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self, before: int, width: int, stride: int, projects: bool):
        super().__init__()
        self.stride, self.more = stride, width - before
        self.inner = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.projection = None
        if projects and (stride > 1 or self.more):
            self.projection = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the sum."""
        around = x
        if self.projection is not None:
            around = self.projection(x)
        elif self.more:
            half = self.more // 2
            around = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))
        return nn.functional.relu(around + self.inner(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of one pixel, and what goes around them."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width),
        )  # fmt: skip
        self.projection = nn.Identity()
        if before != 4 * width:
            convolution = nn.Conv2d(before, 4 * width, 1, stride, bias=False)
            self.projection = nn.Sequential(convolution, nn.BatchNorm2d(4 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the sum."""
        return nn.functional.relu(self.projection(x) + self.inner(x))


def resnet(classes: int, widths: tuple[int, ...], blocks: tuple[int, ...], bottleneck: bool = False) -> nn.Module:
    """Returns a residual network: for CIFAR with three stages, for ImageNet with four."""
    imagenet = len(widths) == 4
    layers = [
        nn.Conv2d(3, widths[0], *((7, 2, 3) if imagenet else (3, 1, 1)), bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    layers += [nn.MaxPool2d(3, 2, 1)] if imagenet else []
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks[stage]):
            stride = 2 if stage > 0 and block == 0 else 1
            if bottleneck:
                layers.append(Bottleneck(before, width, stride))
            else:
                layers.append(Residual(before, width, stride, imagenet))
            before = 4 * width if bottleneck else width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def vgg(classes: int, stages: tuple[int, ...]) -> nn.Module:
    """Returns a VGG with batch normalisation, of so many convolutions in each stage."""
    layers, before = [], 3
    for width, convolutions in zip((64, 128, 256, 512, 512), stages, strict=True):
        for _ in range(convolutions):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(),
        nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout(),
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, classes),
    )  # fmt: skip


def alexnet(classes: int) -> nn.Module:
    """Returns AlexNet in one tower."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Dropout(), nn.Linear(256 * 36, 4096), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, classes),
    )  # fmt: skip


def lenet(classes: int) -> nn.Module:
    """Returns LeNet-5."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def fcn_resnet50(classes: int) -> nn.Module:
    """Returns torchvision's FCN on ResNet-50, with its auxiliary head."""
    # Only this network needs torchvision.
    from torchvision.models import segmentation

    return segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "lenet": lenet,
    "resnet20": lambda classes: resnet(classes, (16, 32, 64), (3, 3, 3)),
    "resnet18": lambda classes: resnet(classes, (64, 128, 256, 512), (2, 2, 2, 2)),
    "resnet50": lambda classes: resnet(classes, (64, 128, 256, 512), (3, 4, 6, 3), bottleneck=True),
    "vgg11_bn": lambda classes: vgg(classes, (1, 1, 2, 2, 2)),
    "vgg16_bn": lambda classes: vgg(classes, (2, 2, 3, 3, 3)),
    "alexnet": alexnet,
    "fcn_resnet50": fcn_resnet50,
}
