"""`fcnn list` and `fcnn summary`: which networks there are, and what one is made of."""

from dataclasses import dataclass

from tyro.conf import Positional

from fcnn.errors import InputError
from fcnn.models import create_model, list_models, summary
from fcnn.pretrained import PUBLISHED_WEIGHTS

_METRICS = {"top1": "top-1", "top5": "top-5", "mean_iou": "mean IoU", "pixel_accuracy": "pixel accuracy"}


@dataclass(frozen=True)
class List:
    """Lists the networks and their published weights."""

    def run(self) -> None:
        """Prints the list."""
        print(f"{'network':<19}{'weights':<9}{'reaches':<40}file")
        for name in list_models():
            published = [weights for weights in PUBLISHED_WEIGHTS if weights.network == name]
            for weights in published:
                reached = ", ".join(f"{_METRICS[metric]} {value:.2f}%" for metric, value in weights.metrics.items())
                print(f"{name:<19}{weights.version:<9}{reached:<40}{weights.file_name}")
            if not published:
                print(name)


@dataclass(frozen=True)
class Summary:
    """Prints the layers of a network with their output shapes, parameters and multiply-adds."""

    name: Positional[str]
    """Name of the network."""
    input_shape: tuple[int, int, int] | None = None
    """Height, width and channels of the images; without it, as published for the network."""

    def run(self) -> None:
        """Prints the table.

        Raises:
            InputError: there is no such network, or it does not take such images.
        """
        model = create_model(self.name)
        input_shape = self.input_shape or getattr(model, "input_shape", None)
        if input_shape is None:
            raise InputError(f"{self.name} takes images of any shape: give --input-shape HEIGHT WIDTH CHANNELS")
        summary(model, (1, *input_shape))
