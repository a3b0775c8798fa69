"""FCN on VGG: Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation"."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.errors import InputError
from fcnn.models.classify.vgg import classifier_names
from fcnn.models.initializers import he_normal
from fcnn.models.layers import Conv, MaxPool, ReLU, batch_norm


class FCNVGG(nn.Module):
    """A fully convolutional network on VGG (section 4), laid out as in the authors' published Caffe networks.

    The scores of the last layer, and in the finer forms those of pools before it, are enlarged by fixed bilinear
    interpolation and added. Layers bear Caffe's names: `conv1_1`, `fc6`, `score_fr`, and `upscore` for the enlargement
    of the 32s form, `upscore2` and `upscore16` of the 16s, `upscore2`, `upscore_pool4` and `upscore8` of the 8s.

    Images get so much padding that the scores cover them, whatever the layers cut off. Pools count a last window that
    is not whole.

    Attributes:
        stage_sizes: number of 3x3 convolutions in each stage, after each of which a pool halves the maps; (2, 2, 3, 3,
            3) is VGG-16.
        stride: the factor of the last enlargement: 32, 16 or 8 pixels for no, one or two skips with five stages; 2 to
            the number of stages, or a power of two below.
        num_classes: number of logits a pixel; the published weights have Pascal VOC's 20 and the background, 0.
        widths: channels of the stages.
        hidden: channels of the two layers that are linear in VGG.
        grid: height and width of the kernel of the first of them: of the map that VGG's classifier sees.
        first_padding: pixels of zeros around the image.
        batch_norm: whether each 3x3 convolution is followed by batch normalisation, which the paper has not.
        dropout_rate: share of units dropped after each hidden layer in training.
        kernel_init: initializer of the kernels; those of the scores start at zero (section 4.3).
        dtype: type of the computation; parameters and logits stay float32.
    """

    stage_sizes: tuple[int, ...]
    stride: int
    num_classes: int = 21
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    grid: int = 7
    first_padding: int = 100
    batch_norm: bool = False
    dropout_rate: float = 0.5
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    task: ClassVar[str] = "segmentation"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the classifier's layers are made for."""
        side = self.grid * 2 ** len(self.stage_sizes)
        return side, side, 3

    @property
    def heads(self) -> tuple[str, ...]:
        """The layers whose arrays have as many channels as there are classes."""
        skips, ups = self._skips(), self._enlargements()
        return ("score_fr", *(f"score_pool{stage}" for stage in skips), *ups)

    def _skips(self):
        """Returns the numbers of the pools that have scores of their own, the last one first."""
        stages = len(self.stage_sizes)
        finest = self.stride.bit_length() - 1
        if not 1 <= finest <= stages or self.stride != 2**finest:
            strides = ", ".join(str(2**n) for n in range(stages, 0, -1))
            raise InputError(f"stride must be one of {strides} with {stages} stages, got {self.stride}")
        return range(stages - 1, finest - 1, -1)

    def _enlargements(self):
        """Returns the names of the layers that enlarge scores, in their order."""
        skips = self._skips()
        if not skips:
            return ("upscore",)
        # With few stages, the last factor may be that of the first.
        last = "upscore" if self.stride == 2 else f"upscore{self.stride}"
        return ("upscore2", *(f"upscore_pool{stage}" for stage in skips[:-1]), last)

    def classifier_layer(self, layer: str) -> str | None:
        """Returns the name that a layer has in a VGG for classification; None if it has none there."""
        return classifier_names(self.stage_sizes, batch_norm=self.batch_norm).get(layer)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height width class"]:
        """Returns the logits of each pixel of images of any size; the shapes below are those of 224x224.

        Raises:
            InputError: if the stride is none that so many stages have, or the padding is too small.
        """
        conv = partial(Conv, kernel_init=self.kernel_init, dtype=self.dtype)
        score = partial(Conv, self.num_classes, (1, 1), kernel_init=nn.initializers.zeros, dtype=self.dtype)
        enlarge = partial(BilinearUpsampling, dtype=self.dtype)
        self._check_sizes()

        x, pools = images, {}
        for stage, (size, width) in enumerate(zip(self.stage_sizes, self.widths, strict=True), start=1):
            for i in range(1, size + 1):
                padding = self.first_padding if stage == i == 1 else 1
                x = conv(width, (3, 3), padding=padding, name=f"conv{stage}_{i}")(x)
                if self.batch_norm:
                    x = batch_norm(f"bn{stage}_{i}", train=train, dtype=self.dtype)(x)
                x = ReLU(name=f"relu{stage}_{i}")(x)
            x = MaxPool((2, 2), ceil_mode=True, name=f"pool{stage}")(x)  # 211, 106, 53, 27, 14
            pools[stage] = x
        x = conv(self.hidden, (self.grid, self.grid), padding=0, name="fc6")(x)  # [batch, 8, 8, 4096]
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="drop6")(ReLU(name="relu6")(x))
        x = conv(self.hidden, (1, 1), name="fc7")(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="drop7")(ReLU(name="relu7")(x))

        x = score(name="score_fr")(x)
        *ups, last = self._enlargements()
        offsets, offset = self._offsets()
        for up, stage, start in zip(ups, self._skips(), offsets, strict=True):
            finer = score(name=f"score_pool{stage}")(pools[stage])
            x = enlarge(2, name=up)(x)  # 18, then 38
            x += finer[:, start : start + x.shape[1], start : start + x.shape[2]]
        _, height, width, _ = images.shape
        return enlarge(self.stride, name=last)(x, (height, width), offset).astype(jnp.float32)

    def _offsets(self):
        """Returns where each skip, and at the end the image, begins in what it is added to or cut out of.

        A pixel i of the scores lies over pixel `scale * i + start` of the image, where each layer has its part in
        `start`: Caffe's offsets, 5, 9 and 31 for VGG-16. The scores of the last layer are (grid - 1) / 2 pixels from
        those of the last pool.
        """
        doubled, offsets = self.grid - 1, []
        for _ in self._skips():
            doubled = 2 * doubled - 2
            offsets.append(doubled // 2)
        return offsets, self.first_padding - 1 + (self.stride - self.stride * doubled) // 2

    def _check_sizes(self):
        """Refuses what would leave pixels of the image, or of a skip, without scores."""
        stages, skips = len(self.stage_sizes), len(self._skips())
        smallest_grid = next(grid for grid in range(2, 6) if 5 - grid <= 2 ** (2 - skips))
        if self.grid < smallest_grid:
            raise InputError(f"grid must be at least {smallest_grid} with {skips} skips, got {self.grid}")
        smallest = 1 + 2 ** (stages - 1) * (self.grid - 2)
        if self.first_padding < smallest:
            raise InputError(
                f"first_padding must be at least {smallest} with {stages} stages and a grid of {self.grid}, so that "
                f"the scores cover the image, got {self.first_padding}"
            )


class BilinearUpsampling(nn.Module):
    """A transposed convolution without bias whose kernel is fixed, and holds bilinear interpolation as it starts.

    The kernel is among the parameters, as it is among the published weights, but gets no gradient. It is no "kernel"
    by name, so that nothing decays it.

    Attributes:
        stride: the factor by which images become larger.
        dtype: type of the computation.
    """

    stride: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channel"],
        size: tuple[int, int] | None = None,
        offset: int = 0,
    ) -> Float[Array, "batch out_h out_w channel"]:
        """Returns the enlarged images, or the part of a size that begins at an offset in both directions."""
        shape = (2 * self.stride, 2 * self.stride, x.shape[-1], x.shape[-1])
        kernel = lax.stop_gradient(self.param("fixed_kernel", bilinear_kernel, shape))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return ops.conv2d_transpose(x, kernel, (self.stride, self.stride), size, (offset, offset))


def bilinear_kernel(key, shape, dtype=jnp.float32) -> Array:
    """Returns the kernel that interpolates each channel of images by itself; an initializer, which draws nothing.

    Source: `surgery.py` of the authors' published code.
    """
    lines = []
    for size in shape[:2]:
        factor = (size + 1) // 2
        centre = factor - (1 if size % 2 else 0.5)
        lines.append(1 - np.abs(np.arange(size) - centre) / factor)
    return jnp.asarray(np.multiply.outer(np.multiply.outer(*lines), np.eye(*shape[2:])), dtype)
