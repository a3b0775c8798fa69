"""FCN on a ResNet: Long, Shelhamer and Darrell 2015, on a dilated trunk as torchvision has it."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn import ops
from fcnn.models.auxiliary import AuxiliaryLogits
from fcnn.models.classify.resnet import ResNetTrunk
from fcnn.models.initializers import he_normal
from fcnn.models.layers import Conv, ReLU, batch_norm


class FCNResNet(nn.Module):
    """A fully convolutional network on a residual one, whose logits are an eighth of the image's size at first.

    The last two stages have dilated kernels in place of strides (`fcnn.models.classify.resnet.residual_stages`). The
    logits are enlarged by bilinear interpolation. Layers bear torchvision's names.

    Attributes:
        stage_sizes: number of blocks in each stage; (3, 4, 6, 3) with `Bottleneck` is ResNet-50.
        block: `BasicBlock` or `Bottleneck`.
        num_classes: number of logits a pixel; torchvision's weights have Pascal VOC's 20 and the background, 0.
        widths: width of the blocks of each stage.
        auxiliary_heads: whether there is a head on the last stage but one in training.
        auxiliary_weights: the weight of that head's loss.
        dropout_rate: share of the features that are dropped before the logits in training.
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    stage_sizes: tuple[int, ...]
    block: Callable[..., nn.Module]
    num_classes: int = 21
    widths: tuple[int, ...] = (64, 128, 256, 512)
    auxiliary_heads: bool = True
    auxiliary_weights: tuple[float] = (0.5,)
    dropout_rate: float = 0.1
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    task: ClassVar[str] = "segmentation"
    input_shape: ClassVar[tuple[int, int, int]] = (520, 520, 3)
    heads: ClassVar[tuple[str, ...]] = ("classifier_4", "aux_classifier_4")

    def classifier_layer(self, layer: str) -> str | None:
        """Returns the path that a layer has in a ResNet for classification; None if it has none there."""
        return layer.removeprefix("backbone/") if layer.startswith("backbone/") else None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height width class"] | AuxiliaryLogits:
        """Returns the logits of each pixel of images of any size, in training with those of the auxiliary head."""
        conv = partial(Conv, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype)
        norm = partial(batch_norm, train=train, dtype=self.dtype)
        trunk = ResNetTrunk(
            self.stage_sizes, self.widths, self.block, conv=conv, norm=norm, output_stride=8, name="backbone"
        )

        _, height, width, _ = images.shape

        def logits_of(x, head):
            x = conv(x.shape[-1] // 4, (3, 3), padding=1, name=f"{head}_0")(x)
            x = ReLU(name=f"{head}_2")(norm(f"{head}_1")(x))
            x = nn.Dropout(self.dropout_rate, deterministic=not train, name=f"{head}_3")(x)
            x = conv(self.num_classes, (1, 1), use_bias=True, name=f"{head}_4")(x)
            return ops.resize_bilinear(x.astype(jnp.float32), (height, width))

        *_, before_last, last = trunk(images)  # [batch, height / 8, width / 8, 1024] and [..., 2048]
        logits = logits_of(last, "classifier")
        if not (self.auxiliary_heads and (train or self.is_initializing())):
            return logits
        auxiliary = logits_of(before_last, "aux_classifier")
        return AuxiliaryLogits(logits, (auxiliary,), self.auxiliary_weights) if train else logits
