"""FCN for small images: the skips of Long, Shelhamer and Darrell 2015 on a VGG whose layers keep their input's size."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.errors import InputError
from fcnn.models.classify.vgg import classifier_names
from fcnn.models.initializers import he_normal
from fcnn.models.layers import Conv, MaxPool, ReLU, batch_norm


class FCNSmall(nn.Module):
    """A fully convolutional network on VGG whose skips go down to the pixels of the image.

    It differs from `FCNVGG`, which is laid out as published, in what small images need:

    - Each layer pads its own input, the first linear one of VGG included, so that every score lies over a square of
      pixels and no part of an image is padding. The published padding would be most of an image of 96 pixels.
    - All hidden layers are followed by batch normalisation, the linear ones of VGG too.
    - The first convolution has a stride, which saves three quarters of the operations, and the finest form adds scores
      of the first stage before its pool: what is a few pixels wide, such as a digit's stroke, is mostly boundary.

    Scores start at zero, are enlarged by fixed bilinear interpolation, and are added. Layers bear the names of
    `FCNVGG`, with `score_conv1` for the scores of the first stage. Pools count a last window that is not whole.

    Attributes:
        stage_sizes: number of 3x3 convolutions in each stage, after each of which a pool halves the maps.
        stride: the factor of the last enlargement: without skips `first_stride` times 2 to the number of stages, half
            as much with one, down to `first_stride`.
        num_classes: number of logits a pixel.
        widths: channels of the stages.
        hidden: channels of the two layers that are linear in VGG.
        grid: height and width of the kernel of the first of them, an odd number.
        first_stride: stride of the first convolution, as in `VGG`.
        kernel_init: initializer of the kernels; those of the scores start at zero.
        dtype: type of the computation; parameters and logits stay float32.
    """

    stage_sizes: tuple[int, ...]
    stride: int
    num_classes: int = 21
    widths: tuple[int, ...] = (16, 48, 96)
    hidden: int = 192
    grid: int = 3
    first_stride: int = 2
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    task: ClassVar[str] = "segmentation"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the classifier's layers are made for."""
        side = self.grid * self.first_stride * 2 ** len(self.stage_sizes)
        return side, side, 3

    @property
    def heads(self) -> tuple[str, ...]:
        """The layers that have as many channels as there are classes."""
        return ("score_fr", *map(_score_name, self._skips()))

    def classifier_layer(self, layer: str) -> str | None:
        """Returns the name that a layer has in a VGG for classification; None if it has none there."""
        return classifier_names(self.stage_sizes, batch_norm=True, hidden_batch_norm=True).get(layer)

    def _skips(self):
        """Returns the numbers of the pools that have scores of their own, the last one first; 0 is before the first."""
        stages = len(self.stage_sizes)
        strides = [self.first_stride * 2**n for n in range(stages + 1)]
        if self.stride not in strides:
            known = ", ".join(map(str, reversed(strides)))
            raise InputError(f"stride must be one of {known} with {stages} stages, got {self.stride}")
        return range(stages - 1, strides.index(self.stride) - 1, -1)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height width class"]:
        """Returns the logits of each pixel of images of any size; the shapes below are those of 96x96.

        Raises:
            InputError: if the stride is none that so many stages have, or the grid is even.
        """
        if self.grid % 2 == 0:
            raise InputError(f"grid must be odd, so that scores lie in the middle of what they see, got {self.grid}")
        conv = partial(Conv, kernel_init=self.kernel_init, dtype=self.dtype)
        score = partial(Conv, self.num_classes, (1, 1), kernel_init=nn.initializers.zeros, dtype=self.dtype)

        def block(x, width, kernel, kind, place, stride=1):
            # A last pixel that no stride begins at is counted, as the pools do.
            padding = [(kernel // 2, kernel // 2 + -side % stride) for side in x.shape[1:3]]
            kernel_size = (kernel + stride - 1, kernel + stride - 1)
            x = conv(width, kernel_size, strides=(stride, stride), padding=padding, name=kind + place)(x)
            return ReLU(name=f"relu{place}")(batch_norm(f"bn{place}", train=train, dtype=self.dtype)(x))

        x, maps = images, []
        for stage, (size, width) in enumerate(zip(self.stage_sizes, self.widths, strict=True), start=1):
            for i in range(1, size + 1):
                stride = self.first_stride if stage == i == 1 else 1
                x = block(x, width, 3, "conv", f"{stage}_{i}", stride)
            maps.extend([x] if stage == 1 else [])
            x = MaxPool((2, 2), ceil_mode=True, name=f"pool{stage}")(x)  # 24, 12, then [batch, 6, 6, 96]
            maps.append(x)
        x = block(x, self.hidden, self.grid, "fc", "6")
        x = block(x, self.hidden, 1, "fc", "7")

        x = score(name="score_fr")(x)
        for stage in self._skips():
            x = ops.resize_bilinear(x, maps[stage].shape[1:3]) + score(name=_score_name(stage))(maps[stage])
        return ops.resize_bilinear(x.astype(jnp.float32), (images.shape[1], images.shape[2]))


def _score_name(stage):
    return f"score_pool{stage}" if stage else "score_conv1"
