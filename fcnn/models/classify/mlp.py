"""The fully connected network that the course starts from (Nielsen, "Neural Networks and Deep Learning", chapter 1)."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fcnn.models.initializers import he_normal, lecun_normal
from fcnn.models.layers import Dense, activation_named


class MLP(nn.Module):
    """Fully connected layers over all pixels: 784-30-10 by default, 23,860 parameters.

    Attributes:
        num_classes: number of logits.
        hidden: widths of the hidden layers.
        activation: "sigmoid" (the course's), "relu" or "tanh".
        dropout_rate: share of each hidden layer's units that are dropped in training.
        kernel_init: initializer of all kernels; None takes He's for "relu" and LeCun's for the others.
        dtype: type of the computation; parameters and logits stay float32.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (30,)
    activation: str = "sigmoid"
    dropout_rate: float = 0.0
    kernel_init: nn.initializers.Initializer | None = None
    dtype: DTypeLike = jnp.float32

    input_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)
    heads: ClassVar[tuple[str, ...]] = ("output",)

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Returns the logits of images of any one size."""
        activate = activation_named(self.activation)
        kernel_init = self.kernel_init or (he_normal if self.activation == "relu" else lecun_normal)
        x = images.reshape(images.shape[0], -1)
        for i, width in enumerate(self.hidden):
            x = activate(Dense(width, kernel_init=kernel_init, dtype=self.dtype, name=f"hidden{i + 1}")(x))
            x = nn.Dropout(self.dropout_rate, deterministic=not train, name=f"dropout{i + 1}")(x)
        return Dense(self.num_classes, kernel_init=kernel_init, dtype=self.dtype, name="output")(x).astype(jnp.float32)
