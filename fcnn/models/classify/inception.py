"""Inception v3: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", as in torchvision."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.models.auxiliary import AuxiliaryLogits
from fcnn.models.classify.inception_blocks import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE
from fcnn.models.classify.inception_layers import ConvNormReLU, from_imagenet_range, max_pool_3x3
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, AvgPool, Conv, Dense, batch_norm, check_image_size


class AuxiliaryHead(nn.Module):
    """A small classifier on the 17x17 maps, which regularises in training (section 4).

    Attributes:
        num_classes: number of logits.
        conv: makes a convolution with normalisation and rectification.
        dense: makes a linear layer.
    """

    num_classes: int
    conv: Callable
    dense: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch class"]:
        """Returns the head's logits."""
        # The 5x5 convolution needs 5x5 maps, which this pooling leaves of 17x17. Of less, which images under 299x299
        # give, torchvision makes an error.
        pool = AvgPool((5, 5), strides=(3, 3), name="pool") if min(x.shape[1:3]) >= 17 else AdaptiveAvgPool((5, 5))
        x = pool(x)  # [batch, 5, 5, 768]
        x = self.conv(128, (1, 1), name="conv0")(x)
        x = self.conv(768, (5, 5), padding=0, name="conv1")(x)  # [batch, 1, 1, 768]
        x = x.mean(axis=(1, 2))
        return self.dense(self.num_classes, name="fc")(x).astype(jnp.float32)


class InceptionV3(nn.Module):
    """Inception v3: 27,161,264 parameters with 1000 classes.

    Attributes:
        num_classes: number of logits.
        blocks_a: channels of the pooling branch of each of the blocks A, Mixed_5b to 5d.
        blocks_c: channels within the branches of each of the blocks C, Mixed_6b to 6e.
        blocks_e: number of blocks E, Mixed_7b and 7c.
        width_divisor: what all numbers of channels are divided by.
        padding: pixels on each side of the layers of the stem and of the blocks B and D that have none in the paper;
            with 1, images of 32x32 are large enough.
        auxiliary_heads: whether there is a head on the last block C in training.
        auxiliary_weights: the weight of the head's loss (torchvision's).
        transform_input: whether images come normalised by ImageNet's mean and deviation and are turned into
            (pixel - 0.5) / 0.5 first, which the published weights need.
        dropout_rate: share of the last features that are dropped in training.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    num_classes: int = 1000
    blocks_a: tuple[int, ...] = (32, 64, 64)
    blocks_c: tuple[int, ...] = (128, 160, 160, 192)
    blocks_e: int = 2
    width_divisor: int = 1
    padding: int = 0
    auxiliary_heads: bool = True
    auxiliary_weights: tuple[float] = (0.4,)
    transform_input: bool = False
    dropout_rate: float = 0.5
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (299, 299, 3)
    heads: ClassVar[tuple[str, ...]] = ("fc", "AuxLogits/fc")

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"] | AuxiliaryLogits:
        """Returns the logits of images of at least 75x75 pixels, in training with those of the auxiliary head.

        The shapes below are those of 299x299.

        Raises:
            InputError: if the images are smaller and there is no `padding`.
        """
        check_image_size("Inception v3", images, 1 if self.padding else 75)
        conv_norm_relu = partial(
            ConvNormReLU,
            conv=partial(Conv, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype),
            norm=partial(batch_norm, train=train, epsilon=1e-3, dtype=self.dtype),
        )
        dense = partial(Dense, kernel_init=self.kernel_init, dtype=self.dtype)

        def conv(width, *args, **options):
            return conv_norm_relu(width // self.width_divisor, *args, **options)

        padding = self.padding
        x = from_imagenet_range(images) if self.transform_input else images
        x = conv(32, (3, 3), strides=2, padding=padding, name="Conv2d_1a_3x3")(x)  # [batch, 149, 149, 32]
        x = conv(32, (3, 3), padding=padding, name="Conv2d_2a_3x3")(x)  # [batch, 147, 147, 32]
        x = conv(64, (3, 3), name="Conv2d_2b_3x3")(x)  # [batch, 147, 147, 64]
        x = max_pool_3x3("maxpool1", padding=padding)(x)  # [batch, 73, 73, 64]
        x = conv(80, (1, 1), name="Conv2d_3b_1x1")(x)  # [batch, 73, 73, 80]
        x = conv(192, (3, 3), padding=padding, name="Conv2d_4a_3x3")(x)  # [batch, 71, 71, 192]
        x = max_pool_3x3("maxpool2", padding=padding)(x)  # [batch, 35, 35, 192]
        for letter, projection in zip("bcd", self.blocks_a, strict=False):
            x = InceptionA(projection, conv, name=f"Mixed_5{letter}")(x)  # [batch, 35, 35, 288]
        x = InceptionB(padding, conv, name="Mixed_6a")(x)  # [batch, 17, 17, 768]
        for letter, width in zip("bcde", self.blocks_c, strict=False):
            x = InceptionC(width, conv, name=f"Mixed_6{letter}")(x)  # [batch, 17, 17, 768]
        auxiliary = ()
        if self.auxiliary_heads and (train or self.is_initializing()):
            auxiliary = (AuxiliaryHead(self.num_classes, conv, dense, name="AuxLogits")(x),)
        x = InceptionD(padding, conv, name="Mixed_7a")(x)  # [batch, 8, 8, 1280]
        for letter in "bc"[: self.blocks_e]:
            x = InceptionE(conv, name=f"Mixed_7{letter}")(x)  # [batch, 8, 8, 2048]

        x = AdaptiveAvgPool(name="avgpool")(x)  # [batch, 1, 1, 2048]
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        logits = dense(self.num_classes, name="fc")(x).astype(jnp.float32)
        return AuxiliaryLogits(logits, auxiliary, self.auxiliary_weights) if train and auxiliary else logits
