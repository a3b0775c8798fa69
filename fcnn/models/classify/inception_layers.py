"""What GoogLeNet and Inception v3 share: their convolution, their input's range."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.models.layers import MaxPool

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class ConvNormReLU(nn.Module):
    """A convolution without bias, batch normalisation, rectification (torchvision's `BasicConv2d`).

    Attributes:
        width: number of output channels.
        kernel_size: height and width of the kernel.
        conv: makes a convolution of the network.
        norm: makes a normalisation of the network.
        strides: step of the kernel in both directions.
        padding: pixels on each side; for a stride of 1 what keeps the size, by default.
    """

    width: int
    kernel_size: tuple[int, int]
    conv: Callable
    norm: Callable
    strides: int = 1
    padding: int | str = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch out_h out_w out_channel"]:
        """Returns the rectified maps."""
        x = self.conv(self.width, self.kernel_size, strides=self.strides, padding=self.padding, name="conv")(x)
        return ops.relu(self.norm("bn")(x))


def max_pool_3x3(name: str, *, padding: int = 0, ceil_mode: bool = False) -> MaxPool:
    """Returns the max-pool that halves an image in both networks: 3x3 with stride 2."""
    return MaxPool((3, 3), strides=(2, 2), padding=((padding, padding),) * 2, ceil_mode=ceil_mode, name=name)


def from_imagenet_range(images: Float[Array, "batch height width 3"]) -> Float[Array, "batch height width 3"]:
    """Returns images normalised by ImageNet's mean and deviation as (pixel - 0.5) / 0.5, pixels from 0 to 1.

    The published weights come from TensorFlow, which feeds that range.
    """
    scale = jnp.asarray(_IMAGENET_STD) / 0.5
    offset = (jnp.asarray(_IMAGENET_MEAN) - 0.5) / 0.5
    return images * scale.astype(images.dtype) + offset.astype(images.dtype)
