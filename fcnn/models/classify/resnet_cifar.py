"""The residual networks for CIFAR-10: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.models.classify.resnet import BasicBlock
from fcnn.models.initializers import he_normal
from fcnn.models.layers import AdaptiveAvgPool, Conv, Dense, ReLU, batch_norm


def padded_identity(x, width, stride, conv, norm):
    """Returns every `stride`-th pixel of a block's input, padded with channels of zeros (section 3.3, option A)."""
    x = x[:, ::stride, ::stride]
    # Joined rather than padded: XLA would ask for every channel whether it is padding.
    return jnp.concatenate([x, jnp.zeros((*x.shape[:3], width - x.shape[-1]), x.dtype)], axis=-1)


class CifarResNet(nn.Module):
    """A residual network for images of 32x32 with 6 n + 2 layers: three stages of n blocks, shortcuts without weights.

    Attributes:
        blocks_per_stage: n; 3 is ResNet-20.
        num_classes: number of logits.
        widths: channels of the stages.
        zero_init_residual: whether the scale of each block's last normalisation starts at zero, so that the block
            starts as the identity (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1).
        kernel_init: initializer of all kernels.
        dtype: type of the computation; parameters and logits stay float32.
    """

    blocks_per_stage: int
    num_classes: int = 10
    widths: tuple[int, int, int] = (16, 32, 64)
    zero_init_residual: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (32, 32, 3)
    heads: ClassVar[tuple[str, ...]] = ("fc",)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images of any size; the shapes below are those of 32x32."""
        conv = partial(Conv, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype)
        norm = partial(batch_norm, train=train, dtype=self.dtype)
        block = partial(
            BasicBlock,
            conv=conv,
            norm=norm,
            last_scale_init=nn.initializers.zeros if self.zero_init_residual else nn.initializers.ones,
            shortcut=padded_identity,
        )

        x = conv(self.widths[0], (3, 3), padding=1, name="conv1")(images)  # [batch, 32, 32, 16]
        x = ReLU(name="relu")(norm("bn1")(x))
        # [batch, 32, 32, 16], [batch, 16, 16, 32], [batch, 8, 8, 64]
        for stage, width in enumerate(self.widths):
            for i in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and i == 0 else 1
                x = block(width, stride, name=f"layer{stage + 1}_{i}")(x)
        x = AdaptiveAvgPool(name="avgpool")(x)  # [batch, 1, 1, 64]
        x = x.reshape(x.shape[0], -1)
        return Dense(self.num_classes, kernel_init=self.kernel_init, dtype=self.dtype, name="fc")(x).astype(jnp.float32)
