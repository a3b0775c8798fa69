"""VGG: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition"."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, Conv, Dense, MaxPool, ReLU, batch_norm, check_image_size


class VGG(nn.Module):
    """Stages of 3x3 convolutions with a max-pool after each, then three linear layers (table 1).

    Layers bear torchvision's names: within `features` and `classifier` they are counted through, the ones without
    parameters included.

    Attributes:
        stage_sizes: number of convolutions in each stage; (2, 2, 3, 3, 3) is VGG-16, the paper's D.
        num_classes: number of logits.
        widths: channels of the stages.
        hidden: width of the two hidden linear layers.
        grid: height and width of the map that they see, whatever the images' size.
        first_stride: stride of the first convolution, whose kernel is larger by 2: each output lies in the middle of
            the pixels that it stands for.
        batch_norm: whether each convolution is followed by batch normalisation, which the paper has not.
        hidden_batch_norm: whether the hidden linear layers are too.
        dropout_rate: share of units dropped after each hidden linear layer in training.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    stage_sizes: tuple[int, ...]
    num_classes: int = 1000
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    grid: int = 7
    first_stride: int = 1
    batch_norm: bool = False
    hidden_batch_norm: bool = False
    dropout_rate: float = 0.5
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    @property
    def heads(self) -> tuple[str, ...]:
        """The last layer."""
        return ("classifier_8" if self.hidden_batch_norm else "classifier_6",)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images of which the linear layers see the last map as it is."""
        side = self.grid * self.first_stride * 2 ** len(self.stage_sizes)
        return side, side, 3

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images of at least 32x32 pixels with five stages; the shapes below are of 224x224.

        Raises:
            InputError: if the images are smaller.
        """
        check_image_size("VGG", images, self.first_stride * 2 ** len(self.stage_sizes))
        conv = partial(Conv, padding=1, kernel_init=self.kernel_init, dtype=self.dtype)
        dense = partial(Dense, kernel_init=self.kernel_init, dtype=self.dtype)
        dropout = partial(nn.Dropout, self.dropout_rate, deterministic=not train)

        x = images
        layers, stride = 0, self.first_stride
        for size, width in zip(self.stage_sizes, self.widths, strict=True):
            for _ in range(size):
                kernel = (stride + 2, stride + 2)
                x = conv(width, kernel, strides=(stride, stride), name=f"features_{layers}")(x)
                stride = 1
                if self.batch_norm:
                    layers += 1
                    x = batch_norm(f"features_{layers}", train=train, dtype=self.dtype)(x)
                x = ReLU(name=f"features_{layers + 1}")(x)
                layers += 2
            x = MaxPool((2, 2), name=f"features_{layers}")(x)  # 112, 56, 28, 14, then [batch, 7, 7, 512]
            layers += 1
        x = AdaptiveAvgPool((self.grid, self.grid), name="avgpool")(x)

        x = x.reshape(x.shape[0], -1)  # [batch, 25088]
        layers = 0
        for _ in range(2):
            x = dense(self.hidden, name=f"classifier_{layers}")(x)
            if self.hidden_batch_norm:
                layers += 1
                x = batch_norm(f"classifier_{layers}", train=train, dtype=self.dtype)(x)
            x = dropout(name=f"classifier_{layers + 2}")(ReLU(name=f"classifier_{layers + 1}")(x))
            layers += 3
        return dense(self.num_classes, name=f"classifier_{layers}")(x).astype(jnp.float32)


def classifier_names(
    stage_sizes: Sequence[int], *, batch_norm: bool, hidden_batch_norm: bool = False
) -> dict[str, str]:
    """Returns the layers of a VGG by the names that they have in a fully convolutional network on it.

    Args:
        stage_sizes: as in `VGG`.
        batch_norm: as in `VGG`.
        hidden_batch_norm: as in `VGG`.
    """
    names, place = {}, 0
    for stage, size in enumerate(stage_sizes, start=1):
        for i in range(1, size + 1):
            for kind in ("conv", "bn", "relu") if batch_norm else ("conv", "relu"):
                names[f"{kind}{stage}_{i}"] = f"features_{place}"
                place += 1
        place += 1  # the pool
    place = 0
    for layer in (6, 7):
        for kind in ("fc", "bn", "relu") if hidden_batch_norm else ("fc", "relu"):
            names[f"{kind}{layer}"] = f"classifier_{place}"
            place += 1
        place += 1  # dropout
    return names
