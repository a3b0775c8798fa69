"""`fcnn plan`: what computes each layer of a network on a CPU, why, and how long it takes here."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from rich.console import Console
from rich.progress import track
from tyro.conf import Positional

from fcnn.errors import InputError
from fcnn.machine import has_onednn
from fcnn.models import create_model
from fcnn.models.plan import plan_network
from fcnn.ops.machine import this_cpu
from fcnn.use.plan import measure_layer


@dataclass(frozen=True)
class Plan:
    """Prints what computes each layer of a network on this CPU, and why; on GPUs and TPUs that is XLA's own way."""

    name: Positional[str]
    """Name of the network."""
    input_shape: tuple[int, int, int] | None = None
    """Height, width and channels of the images; without it, as published for the network."""
    batch_size: int = 32
    dtype: Literal["float32", "bfloat16"] = "float32"
    measure: bool = False
    """Time the convolutions here: the output in each formulation that it could have, and training beside XLA's."""

    def run(self) -> None:
        """Prints the table.

        Raises:
            InputError: there is no such network, or it does not take such images.
        """
        model = create_model(self.name, dtype=jnp.dtype(self.dtype))
        input_shape = self.input_shape or getattr(model, "input_shape", None)
        if input_shape is None:
            raise InputError(f"{self.name} takes images of any shape: give --input-shape HEIGHT WIDTH CHANNELS")
        layers = plan_network(
            model, (self.batch_size, *input_shape), cpu=this_cpu(has_onednn=has_onednn()), dtype=jnp.dtype(self.dtype)
        )
        times = self._times(layers)
        rows = [("layer", "input", "computes", "as", "why")]
        for layer in layers:
            shape = " x ".join(map(str, layer.input_shape))
            for part, choice in layer.parts.items():
                name = choice.name if choice.size is None else f"{choice.name}, {choice.size}"
                rows.append((layer.name, shape, part, name, choice.why))
                # What comes below a layer's name is of the same layer.
                layer, shape = layer._replace(name=""), ""
            if layer.convolution is not None and layer.convolution in times:
                measured = ", ".join(f"{name} {value:.2f}" for name, value in times[layer.convolution].items())
                rows.append(("", "", "milliseconds", measured, ""))
        widths = [max(len(row[i]) for row in rows if row[2] != "milliseconds") for i in range(4)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, (*widths, 0), strict=True)).rstrip())

    def _times(self, layers):
        """Returns what is measured of each convolution; layers of equal shapes are measured once."""
        if not self.measure:
            return {}
        distinct = {layer.convolution: layer for layer in layers if layer.convolution is not None}
        bar = track(distinct.items(), "measuring", console=Console(stderr=True), transient=True)
        return {convolution: measure_layer(layer) for convolution, layer in bar}
