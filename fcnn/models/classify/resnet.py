"""ResNet: He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition"."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, Conv, Dense, MaxPool, ReLU, batch_norm


def projection(x, width, stride, conv, norm):
    """Returns the input of a block projected to its output's shape (section 3.3, option B).

    Its layers belong to the block in which it is called.
    """
    x = conv(width, (1, 1), strides=stride, padding=0, name="downsample_0")(x)
    return norm("downsample_1")(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added (figure 5, left).

    Attributes:
        width: channels of the convolutions and of the output.
        stride: stride of the first convolution.
        dilation: step between the pixels that a 3x3 kernel sees, in place of a stride of an earlier stage.
        conv: makes a convolution of the network.
        norm: makes a normalisation of the network.
        last_scale_init: initializer of the last normalisation's scale.
        shortcut: gives the input the output's shape where they differ.
    """

    expansion: ClassVar[int] = 1

    width: int
    stride: int
    conv: Callable
    norm: Callable
    last_scale_init: nn.initializers.Initializer = nn.initializers.ones
    shortcut: Callable = projection
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w out_channel"]:
        """Returns the block's output, rectified."""
        conv3x3 = partial(self.conv, self.width, (3, 3), padding=self.dilation, kernel_dilation=self.dilation)
        y = conv3x3(strides=self.stride, name="conv1")(x)
        y = ops.relu(self.norm("bn1")(y))
        y = conv3x3(name="conv2")(y)
        y = self.norm("bn2", scale_init=self.last_scale_init)(y)
        if x.shape != y.shape:
            x = self.shortcut(x, self.width, self.stride, self.conv, self.norm)
        return ops.relu(x + y)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, around which the input is added (figure 5, right).

    The stride is on the 3x3 convolution; the paper has it on the first 1x1, which throws three quarters of the input
    away and costs half a point of accuracy ("ResNet v1.5").

    Attributes: as those of `BasicBlock`; the output has four times `width` channels.
    """

    expansion: ClassVar[int] = 4

    width: int
    stride: int
    conv: Callable
    norm: Callable
    last_scale_init: nn.initializers.Initializer = nn.initializers.ones
    shortcut: Callable = projection
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w out_channel"]:
        """Returns the block's output, rectified."""
        width_out = self.expansion * self.width
        y = self.conv(self.width, (1, 1), name="conv1")(x)
        y = ops.relu(self.norm("bn1")(y))
        around = {"padding": self.dilation, "kernel_dilation": self.dilation}
        y = self.conv(self.width, (3, 3), strides=self.stride, **around, name="conv2")(y)
        y = ops.relu(self.norm("bn2")(y))
        y = self.conv(width_out, (1, 1), name="conv3")(y)
        y = self.norm("bn3", scale_init=self.last_scale_init)(y)
        if x.shape != y.shape:
            x = self.shortcut(x, width_out, self.stride, self.conv, self.norm)
        return ops.relu(x + y)


def residual_stages(
    images: Float[Array, "batch height width channel"],
    stage_sizes: Sequence[int],
    widths: Sequence[int],
    block: Callable[..., nn.Module],
    conv: Callable,
    norm: Callable,
    output_stride: int = 32,
) -> tuple[Float[Array, "batch out_h out_w out_channel"], ...]:
    """Returns the output of each stage of a residual network; the shapes below are those of ResNet-18 on 224x224.

    Its layers belong to the module in which it is called.

    Args:
        images: any size.
        stage_sizes: number of blocks in each stage.
        widths: width of the blocks of each stage.
        block: makes a block, from its width and stride.
        conv: makes a convolution without bias.
        norm: makes a normalisation.
        output_stride: the pixels of the image that lie between two of the output: 32, or less. A stage whose stride
            would go beyond has none; its kernels, and those of the stages after it, see pixels further apart instead
            (Chen et al. 2018, "DeepLab", section 3.1). Its first block still sees what the stage before saw.
    """
    x = conv(widths[0], (7, 7), strides=2, padding=3, name="conv1")(images)  # [batch, 112, 112, 64]
    x = ReLU(name="relu")(norm("bn1")(x))
    x = MaxPool((3, 3), strides=(2, 2), padding=((1, 1), (1, 1)), name="maxpool")(x)  # [batch, 56, 56, 64]
    outputs, reached, dilation = [], 4, 1
    # [batch, 56, 56, 64], [batch, 28, 28, 128], [batch, 14, 14, 256], [batch, 7, 7, 512]
    for stage, (size, width) in enumerate(zip(stage_sizes, widths, strict=True)):
        stride, first_dilation = 1, dilation
        if stage > 0 and reached < output_stride:
            stride, reached = 2, 2 * reached
        elif stage > 0:
            dilation *= 2
        for i in range(size):
            x = block(
                width,
                stride if i == 0 else 1,
                dilation=first_dilation if i == 0 else dilation,
                name=f"layer{stage + 1}_{i}",
            )(x)
        outputs.append(x)
    return tuple(outputs)


class ResNetTrunk(nn.Module):
    """A residual network up to its last stage, as the part of another network.

    Attributes: as those of `residual_stages`.
    """

    stage_sizes: tuple[int, ...]
    widths: tuple[int, ...]
    block: Callable[..., nn.Module]
    conv: Callable
    norm: Callable
    output_stride: int = 32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> tuple[Float[Array, "batch out_h out_w out_channel"], ...]:
        """Returns the output of each stage."""
        make = {"conv": self.conv, "norm": self.norm, "block": partial(self.block, conv=self.conv, norm=self.norm)}
        return residual_stages(images, self.stage_sizes, self.widths, output_stride=self.output_stride, **make)


class ResNet(nn.Module):
    """A residual network for ImageNet (table 1).

    Attributes:
        stage_sizes: number of blocks in each stage; (2, 2, 2, 2) is ResNet-18.
        block: `BasicBlock` or `Bottleneck`.
        num_classes: number of logits.
        widths: width of the blocks of each stage.
        zero_init_residual: whether the scale of each block's last normalisation starts at zero, so that the block
            starts as the identity (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1).
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    stage_sizes: tuple[int, ...]
    block: Callable[..., nn.Module]
    num_classes: int = 1000
    widths: tuple[int, ...] = (64, 128, 256, 512)
    zero_init_residual: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (224, 224, 3)
    heads: ClassVar[tuple[str, ...]] = ("fc",)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images of any size."""
        conv = partial(Conv, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype)
        norm = partial(batch_norm, train=train, dtype=self.dtype)
        block = partial(
            self.block,
            conv=conv,
            norm=norm,
            last_scale_init=nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones,
        )

        x = residual_stages(images, self.stage_sizes, self.widths, block, conv, norm)[-1]
        x = AdaptiveAvgPool(name="avgpool")(x)  # [batch, 1, 1, channel]
        x = x.reshape(x.shape[0], -1)
        return Dense(self.num_classes, kernel_init=self.kernel_init, dtype=self.dtype, name="fc")(x).astype(jnp.float32)
