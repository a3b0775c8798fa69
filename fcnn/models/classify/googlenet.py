"""GoogLeNet: Szegedy et al. 2015, "Going Deeper with Convolutions", with batch normalisation as in torchvision."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.models.auxiliary import AuxiliaryLogits
from fcnn.models.classify.inception_layers import ConvNormReLU, from_imagenet_range, max_pool_3x3
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, Conv, Dense, MaxPool, batch_norm, check_image_size


class ModuleWidths(NamedTuple):
    """A row of the paper's table 1: the name of an inception module and the channels of its convolutions."""

    name: str
    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    projection: int


MODULES = (
    ModuleWidths("3a", 64, 96, 128, 16, 32, 32),
    ModuleWidths("3b", 128, 128, 192, 32, 96, 64),
    ModuleWidths("4a", 192, 96, 208, 16, 48, 64),
    ModuleWidths("4b", 160, 112, 224, 24, 64, 64),
    ModuleWidths("4c", 128, 128, 256, 24, 64, 64),
    ModuleWidths("4d", 112, 144, 288, 32, 64, 64),
    ModuleWidths("4e", 256, 160, 320, 32, 128, 128),
    ModuleWidths("5a", 256, 160, 320, 32, 128, 128),
    ModuleWidths("5b", 384, 192, 384, 48, 128, 128),
)
# An eighth of the channels, and only the modules that bear a head, and the last.
TINY_MODULES = tuple(
    ModuleWidths(row.name, *(width // 8 for width in row[1:])) for row in MODULES if row.name in ("4a", "4d", "5b")
)


class InceptionModule(nn.Module):
    """Four branches side by side, joined by their channels (figure 2b).

    Attributes:
        widths: channels of the convolutions.
        conv: makes a convolution with normalisation and rectification.
        large_kernel: size of the third branch's kernel.
    """

    widths: ModuleWidths
    conv: Callable
    large_kernel: tuple[int, int]

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width out_channel"]:
        """Returns the joined branches."""
        conv, widths = self.conv, self.widths
        branch1 = conv(widths.conv1x1, (1, 1), name="branch1")(x)
        branch2 = conv(widths.reduce3x3, (1, 1), name="branch2_0")(x)
        branch2 = conv(widths.conv3x3, (3, 3), name="branch2_1")(branch2)
        branch3 = conv(widths.reduce5x5, (1, 1), name="branch3_0")(x)
        branch3 = conv(widths.conv5x5, self.large_kernel, name="branch3_1")(branch3)
        branch4 = MaxPool((3, 3), strides=(1, 1), padding=((1, 1), (1, 1)), name="branch4_0")(x)
        branch4 = conv(widths.projection, (1, 1), name="branch4_1")(branch4)
        return jnp.concatenate([branch1, branch2, branch3, branch4], axis=-1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps of a module, which brings gradients there in training (section 5).

    Attributes:
        widths: channels of the convolution and of the hidden linear layer.
        num_classes: number of logits.
        dropout_rate: share of the hidden units that are dropped.
        conv: makes a convolution with normalisation and rectification.
        dense: makes a linear layer.
    """

    widths: tuple[int, int]
    num_classes: int
    dropout_rate: float
    conv: Callable
    dense: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"], *, train: bool) -> Float[Array, "batch class"]:
        """Returns the head's logits."""
        x = AdaptiveAvgPool((4, 4), name="avgpool")(x)
        x = self.conv(self.widths[0], (1, 1), name="conv")(x)
        x = x.reshape(x.shape[0], -1)
        x = ops.relu(self.dense(self.widths[1], name="fc1")(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        return self.dense(self.num_classes, name="fc2")(x).astype(jnp.float32)


class GoogLeNet(nn.Module):
    """GoogLeNet: 13,004,888 parameters with 1000 classes, 6,624,904 without the auxiliary heads.

    Attributes:
        num_classes: number of logits.
        modules: the inception modules; a max-pool stands before the first of each number.
        stem_widths: channels of the three first convolutions.
        auxiliary_widths: channels of the auxiliary heads' convolution and hidden layer.
        auxiliary_heads: whether there are heads on modules 4a and 4d in training.
        auxiliary_weights: the weights of the heads' losses (section 5).
        paper_kernels: whether the third branch has the paper's 5x5 kernels; torchvision has 3x3.
        transform_input: whether images come normalised by ImageNet's mean and deviation and are turned into
            (pixel - 0.5) / 0.5 first, which the published weights need.
        dropout_rate: share of the last features that are dropped in training (the paper's is 0.4).
        auxiliary_dropout_rate: the same in the auxiliary heads.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    num_classes: int = 1000
    modules: tuple[ModuleWidths, ...] = MODULES
    stem_widths: tuple[int, int, int] = (64, 64, 192)
    auxiliary_widths: tuple[int, int] = (128, 1024)
    auxiliary_heads: bool = True
    auxiliary_weights: tuple[float, float] = (0.3, 0.3)
    paper_kernels: bool = False
    transform_input: bool = False
    dropout_rate: float = 0.2
    auxiliary_dropout_rate: float = 0.7
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (224, 224, 3)
    heads: ClassVar[tuple[str, ...]] = ("fc", "aux1/fc2", "aux2/fc2")

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"] | AuxiliaryLogits:
        """Returns the logits of images of at least 15x15 pixels, in training with those of the auxiliary heads.

        The shapes below are those of 224x224.

        Raises:
            InputError: if the images are smaller.
        """
        check_image_size("GoogLeNet", images, 15)
        conv = partial(
            ConvNormReLU,
            conv=partial(Conv, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype),
            norm=partial(batch_norm, train=train, epsilon=1e-3, dtype=self.dtype),
        )
        dense = partial(Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        module = partial(InceptionModule, conv=conv, large_kernel=(5, 5) if self.paper_kernels else (3, 3))
        pool = partial(max_pool_3x3, ceil_mode=True)

        x = from_imagenet_range(images) if self.transform_input else images
        x = conv(self.stem_widths[0], (7, 7), strides=2, padding=3, name="conv1")(x)  # [batch, 112, 112, 64]
        x = pool("maxpool1")(x)  # [batch, 56, 56, 64]
        x = conv(self.stem_widths[1], (1, 1), name="conv2")(x)
        x = conv(self.stem_widths[2], (3, 3), name="conv3")(x)  # [batch, 56, 56, 192]
        x = pool("maxpool2")(x)  # [batch, 28, 28, 192]
        outputs = {}
        for stage in ("3", "4", "5"):
            for widths in self.modules:
                if widths.name.startswith(stage):
                    x = outputs[widths.name] = module(widths, name=f"inception{widths.name}")(x)
            if stage == "3":
                x = pool("maxpool3")(x)  # [batch, 14, 14, 480]
            elif stage == "4":
                x = MaxPool((2, 2), ceil_mode=True, name="maxpool4")(x)  # [batch, 7, 7, 832]

        auxiliary = ()
        if self.auxiliary_heads and (train or self.is_initializing()):
            head = partial(
                AuxiliaryHead, self.auxiliary_widths, self.num_classes, self.auxiliary_dropout_rate, conv, dense
            )
            auxiliary = (head(name="aux1")(outputs["4a"], train=train), head(name="aux2")(outputs["4d"], train=train))

        x = AdaptiveAvgPool(name="avgpool")(x)  # [batch, 1, 1, 1024]
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        logits = dense(self.num_classes, name="fc")(x).astype(jnp.float32)
        return AuxiliaryLogits(logits, auxiliary, self.auxiliary_weights) if train and auxiliary else logits
