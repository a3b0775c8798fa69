"""What a plan is about, and what it says."""

from typing import Any, NamedTuple

XLA = "xla"


class Convolution(NamedTuple):
    """A convolution of images without dilation.

    Attributes:
        x_shape: of the images [batch, height, width, in_channel].
        kernel_shape: [rows, columns, in_channel, out_channel].
        strides: step in pixels in height and in width.
        pads: pixels of zeros (before, after) in height and in width; negative ones cut pixels off.
        dtype: of the images.
    """

    x_shape: tuple[Any, ...]
    kernel_shape: tuple[int, ...]
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], ...]
    dtype: Any

    @property
    def padded_size(self) -> tuple[int, ...]:
        """Height and width of the padded images."""
        return tuple(size + low + high for size, (low, high) in zip(self.x_shape[1:3], self.pads, strict=True))

    @property
    def out_size(self) -> tuple[int, ...]:
        """Height and width of the output."""
        return tuple(
            (size - k) // stride + 1
            for size, k, stride in zip(self.padded_size, self.kernel_shape[:2], self.strides, strict=True)
        )

    @property
    def out_shape(self) -> tuple[Any, ...]:
        """Shape of the output [batch, out_height, out_width, out_channel]."""
        return (self.x_shape[0], *self.out_size, self.kernel_shape[3])


class Choice(NamedTuple):
    """A formulation.

    Attributes:
        name: what the dispatcher calls it.
        why: why it is chosen.
        size: how many images it takes at once, or the height and width of its blocks, where it has such a number.
    """

    name: str
    why: str
    size: int | None = None


AS_DIFFERENTIATED = Choice("as differentiated", "JAX's derivative of the output is as fast")
