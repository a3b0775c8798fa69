"""The networks of throughput.py as one writes them in plain flax.linen, for comparison."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channel"]
Logits = Float[Array, "batch class"]


class LeNet(nn.Module):
    """LeNet-5 on images of 32x32 pixels."""

    classes: int

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        x = nn.max_pool(nn.relu(nn.Conv(6, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Conv(120, (5, 5), padding="VALID")(x)).reshape(x.shape[0], -1)
        return nn.Dense(self.classes)(nn.relu(nn.Dense(84)(x)))


class Residual(nn.Module):
    """Two convolutions and what goes around them."""

    width: int
    stride: int
    projects: bool

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Images:
        """Returns the sum."""
        stride = (self.stride, self.stride)
        y = nn.Conv(self.width, (3, 3), stride, padding=1, use_bias=False)(x)
        y = nn.relu(nn.BatchNorm(use_running_average=not train)(y))
        y = nn.Conv(self.width, (3, 3), padding=1, use_bias=False)(y)
        y = nn.BatchNorm(use_running_average=not train)(y)
        if x.shape != y.shape and self.projects:
            x = nn.Conv(self.width, (1, 1), stride, use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train)(x)
        elif x.shape != y.shape:
            more = self.width - x.shape[-1]
            x = x[:, :: self.stride, :: self.stride]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network of basic blocks: for CIFAR with three stages, for ImageNet with four."""

    classes: int
    widths: tuple[int, ...]
    blocks: int
    imagenet: bool

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        kernel, stride = ((7, 7), (2, 2)) if self.imagenet else ((3, 3), (1, 1))
        x = nn.Conv(self.widths[0], kernel, stride, padding=kernel[0] // 2, use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        if self.imagenet:
            # Flax takes pads too, without an annotation that says so.
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                x = Residual(width, 2 if stage > 0 and block == 0 else 1, self.imagenet)(x, train)
        return nn.Dense(self.classes)(x.mean(axis=(1, 2)))


class VGG11(nn.Module):
    """VGG-11 with batch normalisation."""

    classes: int

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        for widths in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
            for width in widths:
                x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(width, (3, 3), padding=1)(x)))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return _classify(x, (7, 7), self.classes, train, dropout_first=False)


class AlexNet(nn.Module):
    """AlexNet in one tower."""

    classes: int

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        x = nn.max_pool(nn.relu(nn.Conv(64, (11, 11), (4, 4), padding=2)(x)), (3, 3), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(192, (5, 5), padding=2)(x)), (3, 3), (2, 2))
        for width in (384, 256, 256):
            x = nn.relu(nn.Conv(width, (3, 3), padding=1)(x))
        return _classify(nn.max_pool(x, (3, 3), (2, 2)), (6, 6), self.classes, train, dropout_first=True)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "lenet": LeNet,
    "resnet20": lambda classes: ResNet(classes, (16, 32, 64), 3, imagenet=False),
    "resnet18": lambda classes: ResNet(classes, (64, 128, 256, 512), 2, imagenet=True),
    "vgg11_bn": VGG11,
    "alexnet": AlexNet,
}


def _classify(x, grid, classes, train, *, dropout_first):
    """The three fully connected layers, on a grid of a fixed size as torchvision's adaptive pooling gives it."""
    x = jax.image.resize(x, (x.shape[0], *grid, x.shape[-1]), "nearest").reshape(x.shape[0], -1)
    for width in (4096, 4096):
        if dropout_first:
            x = nn.relu(nn.Dense(width)(nn.Dropout(0.5, deterministic=not train)(x)))
        else:
            x = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(width)(x)))
    return nn.Dense(classes)(x)
