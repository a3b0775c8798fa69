"""What the networks of throughput.py are trained on, and how its processes answer."""

import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Workload:
    """Images of a size, their number in a batch, how many steps make a round, and whether each pixel has a label."""

    batch_size: int
    size: int
    channels: int
    classes: int
    steps: int
    labels_pixels: bool = False

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of the labels of one image."""
        return (self.size, self.size) if self.labels_pixels else ()


WORKLOADS = {
    "lenet": Workload(128, 32, 1, 10, 39),
    "resnet20": Workload(128, 32, 3, 10, 2),
    "resnet18": Workload(16, 224, 3, 1000, 1),
    "resnet50": Workload(16, 224, 3, 1000, 1),
    "vgg11_bn": Workload(16, 64, 3, 1000, 2),
    "alexnet": Workload(16, 224, 3, 1000, 2),
    "fcn_resnet50": Workload(2, 240, 3, 21, 1, labels_pixels=True),
}


def workload_of(network: str) -> tuple[str, Workload]:
    """Returns the name of a network, and what it is trained on.

    Args:
        network: a name, or "resnet18@64x16" for 16 images of 64x64 pixels in a batch, with rounds of about 64 images.
    """
    name, _, case = network.partition("@")
    if not case:
        return name, WORKLOADS[name]
    size, batch_size = map(int, case.split("x"))
    return name, replace(WORKLOADS[name], size=size, batch_size=batch_size, steps=max(1, 64 // batch_size))


def answer_each_line(work: Callable[[], None], lines: Iterable[str]) -> None:
    """Does a round of work for each line, and answers with the most memory that the process had so far, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    for _ in lines:
        work()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit, flush=True)
