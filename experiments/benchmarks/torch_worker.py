"""Trains a network in PyTorch, a round for each line of the standard input: throughput.py's other process.

The networks are those of stock_networks.py, layer by layer, and torchvision's where pixels are labelled.
"""

import sys

import torch
from torch import nn
from workloads import WORKLOADS, answer_each_line


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


def resnet(classes: int, widths: tuple[int, ...], blocks: int, imagenet: bool) -> nn.Module:
    """Returns a residual network of basic blocks."""
    layers = [
        nn.Conv2d(3, widths[0], *((7, 2, 3) if imagenet else (3, 1, 1)), bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    layers += [nn.MaxPool2d(3, 2, 1)] if imagenet else []
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(Residual(before, width, 2 if stage > 0 and block == 0 else 1, imagenet))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def vgg11(classes: int) -> nn.Module:
    """Returns VGG-11 with batch normalisation."""
    layers, before = [], 3
    for widths in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for width in widths:
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


def loss_of(outputs: torch.Tensor | dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy, with half of the auxiliary head's where there is one."""
    if isinstance(outputs, torch.Tensor):
        return nn.functional.cross_entropy(outputs, labels)
    return loss_of(outputs["out"], labels) + 0.5 * loss_of(outputs["aux"], labels)


NETWORKS = {
    "lenet": lenet,
    "resnet20": lambda classes: resnet(classes, (16, 32, 64), 3, imagenet=False),
    "resnet18": lambda classes: resnet(classes, (64, 128, 256, 512), 2, imagenet=True),
    "vgg11_bn": vgg11,
    "alexnet": alexnet,
    "fcn_resnet50": fcn_resnet50,
}


def main(network: str) -> None:
    """Does rounds of steps on random images, and answers each line with a line."""
    load = WORKLOADS[network]
    model = NETWORKS[network](load.classes).to(memory_format=torch.channels_last)
    if load.labels_pixels:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = torch.rand(load.steps, load.batch_size, load.channels, load.size, load.size)
    labels = torch.randint(0, load.classes, (load.steps, load.batch_size, *load.label_shape))

    def run():
        for image, label in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss_of(model(image.to(memory_format=torch.channels_last)), label).backward()
            optimizer.step()

    answer_each_line(run, sys.stdin)


if __name__ == "__main__":
    main(sys.argv[1])
