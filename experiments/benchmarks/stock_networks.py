"""The networks of the benchmarks as one writes them in plain flax.linen, for comparison, and their training step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channel"]
Logits = Float[Array, "batch class"]


class LeNet(nn.Module):
    """LeNet-5 on images of 32x32 pixels."""

    classes: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        conv, dense = (partial(layer, dtype=self.dtype) for layer in (nn.Conv, nn.Dense))
        x = nn.max_pool(nn.relu(conv(6, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.relu(conv(120, (5, 5), padding="VALID")(x)).reshape(x.shape[0], -1)
        return dense(self.classes)(nn.relu(dense(84)(x))).astype(jnp.float32)


class Residual(nn.Module):
    """Two convolutions and what goes around them."""

    width: int
    stride: int
    projects: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Images:
        """Returns the sum."""
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(nn.BatchNorm, use_running_average=not train, dtype=self.dtype)
        stride = (self.stride, self.stride)
        y = nn.relu(norm()(conv(self.width, (3, 3), stride, padding=1)(x)))
        y = norm()(conv(self.width, (3, 3), padding=1)(y))
        if x.shape != y.shape and self.projects:
            x = norm()(conv(self.width, (1, 1), stride)(x))
        elif x.shape != y.shape:
            more = self.width - x.shape[-1]
            x = x[:, :: self.stride, :: self.stride]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of one pixel, and what goes around them."""

    width: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Images:
        """Returns the sum."""
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(nn.BatchNorm, use_running_average=not train, dtype=self.dtype)
        stride = (self.stride, self.stride)
        y = nn.relu(norm()(conv(self.width, (1, 1))(x)))
        y = nn.relu(norm()(conv(self.width, (3, 3), stride, padding=1)(y)))
        y = norm()(conv(4 * self.width, (1, 1))(y))
        if x.shape != y.shape:
            x = norm()(conv(4 * self.width, (1, 1), stride)(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network: for CIFAR with three stages, for ImageNet with four."""

    classes: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    bottleneck: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        imagenet = len(self.widths) == 4
        kernel, stride = ((7, 7), (2, 2)) if imagenet else ((3, 3), (1, 1))
        x = nn.Conv(self.widths[0], kernel, stride, padding=kernel[0] // 2, use_bias=False, dtype=self.dtype)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x))
        if imagenet:
            # Flax takes pads too, without an annotation that says so.
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks[stage]):
                strides = 2 if stage > 0 and block == 0 else 1
                if self.bottleneck:
                    x = Bottleneck(width, strides, self.dtype)(x, train)
                else:
                    x = Residual(width, strides, imagenet, self.dtype)(x, train)
        return nn.Dense(self.classes, dtype=self.dtype)(x.mean(axis=(1, 2))).astype(jnp.float32)


class VGG(nn.Module):
    """A VGG with batch normalisation, of so many convolutions in each stage."""

    classes: int
    stages: tuple[int, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        norm = partial(nn.BatchNorm, use_running_average=not train, dtype=self.dtype)
        for width, convolutions in zip((64, 128, 256, 512, 512), self.stages, strict=True):
            for _ in range(convolutions):
                x = nn.relu(norm()(nn.Conv(width, (3, 3), padding=1, dtype=self.dtype)(x)))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return _classify(x, (7, 7), self.classes, train, self.dtype, dropout_first=False)


class AlexNet(nn.Module):
    """AlexNet in one tower."""

    classes: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Logits:
        """Returns the logits."""
        conv = partial(nn.Conv, dtype=self.dtype)
        x = nn.max_pool(nn.relu(conv(64, (11, 11), (4, 4), padding=2)(x)), (3, 3), (2, 2))
        x = nn.max_pool(nn.relu(conv(192, (5, 5), padding=2)(x)), (3, 3), (2, 2))
        for width in (384, 256, 256):
            x = nn.relu(conv(width, (3, 3), padding=1)(x))
        x = nn.max_pool(x, (3, 3), (2, 2))
        return _classify(x, (6, 6), self.classes, train, self.dtype, dropout_first=True)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "lenet": LeNet,
    "resnet20": partial(ResNet, widths=(16, 32, 64), blocks=(3, 3, 3)),
    "resnet18": partial(ResNet, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2)),
    "resnet50": partial(ResNet, widths=(64, 128, 256, 512), blocks=(3, 4, 6, 3), bottleneck=True),
    "vgg11_bn": partial(VGG, stages=(1, 1, 2, 2, 2)),
    "vgg16_bn": partial(VGG, stages=(2, 2, 3, 3, 3)),
    "alexnet": AlexNet,
}


def begin(model: nn.Module, tx: optax.GradientTransformation, images: Images) -> list[Any]:
    """Returns the parameters, the statistics and the optimizer's state before the first step."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.jit(model.init, static_argnames="train")(keys, images, train=True)
    return [variables["params"], variables.get("batch_stats", {}), tx.init(variables["params"])]


def make_step(model: nn.Module, tx: optax.GradientTransformation, prepare: Callable = lambda images: images):
    """Returns `(parameters, statistics, optimizer's state, images, labels) -> (the three after a step, loss)`."""

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, statistics, opt_state, images, labels):
        def mean_loss(params):
            logits, updates = model.apply(
                {"params": params, "batch_stats": statistics},
                prepare(images), train=True, rngs={"dropout": jax.random.key(1)}, mutable=["batch_stats"],
            )  # fmt: skip
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss, updates.get("batch_stats", {})

        (loss, statistics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(params)
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), statistics, opt_state, loss

    return step


def _classify(x, grid, classes, train, dtype, *, dropout_first):
    """The three fully connected layers, on a grid of a fixed size as torchvision's adaptive pooling gives it."""
    if x.shape[1:3] != grid:
        x = jax.image.resize(x, (x.shape[0], *grid, x.shape[-1]), "nearest")
    x = x.reshape(x.shape[0], -1)
    for width in (4096, 4096):
        dense, dropout = nn.Dense(width, dtype=dtype), nn.Dropout(0.5, deterministic=not train)
        x = nn.relu(dense(dropout(x))) if dropout_first else dropout(nn.relu(dense(x)))
    return nn.Dense(classes, dtype=dtype)(x).astype(jnp.float32)
