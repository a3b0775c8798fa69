"""What training needs of a model, a task, an augmentation and a loader: anything that has it will do."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Integer, Key

from fcnn.arrays import Examples

Augmentation = Callable[[Key[Array, ""], Any], Any]


@runtime_checkable
class Model(Protocol):
    """A network: a Flax module, or anything else that is applied as one.

    `apply(variables, images, train=False)` returns its outputs; with `train=True`, `rngs` and `mutable` it returns
    (outputs, updates of its statistics).
    """

    @property
    def apply(self) -> Callable[..., Any]:
        """`(variables, images, train=...) -> outputs`."""
        ...


@runtime_checkable
class TaskContract(Protocol):
    """A task; `fcnn.tasks.Task` says what each entry is."""

    # The first four leave open what the functions take: pyright holds a function in a named tuple for a method of it.

    @property
    def apply(self) -> Callable[..., tuple[Any, Mapping[str, Any]]]:
        """`(model, variables, batch, *, train, rngs) -> (outputs, updates)`."""
        ...

    @property
    def losses(self) -> Callable[..., Mapping[str, Float[Array, " batch"]]]:
        """`(outputs, batch) -> {name: [batch]}`."""
        ...

    @property
    def predict(self) -> Callable[..., Any]:
        """`outputs -> predictions`."""
        ...

    @property
    def measure(self) -> Callable[..., Mapping[str, Array]]:
        """`(predictions, batch) -> {name: sums}`."""
        ...

    @property
    def metrics(self) -> Callable[..., Mapping[str, float]] | None:
        """`totals -> {name: float}`, or `(totals, records) -> ...`."""
        ...

    @property
    def best(self) -> str:
        """The metric that chooses the best checkpoint."""
        ...

    @property
    def name(self) -> str:
        """Names the task in messages and reports."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """Of the losses by name."""
        ...

    @property
    def size(self) -> Callable[[Any], Array] | None:
        """`batch -> [batch]`, how many things the losses of an example are sums over."""
        ...

    @property
    def evaluation_losses(self) -> Callable[[Any, Any], Mapping[str, Float[Array, " batch"]]] | None:
        """The losses of evaluation, where they differ."""
        ...

    @property
    def auxiliary_weight(self) -> float | None:
        """Weight of the losses of auxiliary heads."""
        ...

    @property
    def record(self) -> Callable[[Any, Any], Any] | None:
        """`(predictions, batch) -> records`."""
        ...

    @property
    def check(self) -> Callable[[Mapping[str, Any]], None] | None:
        """Raises an error for a batch that cannot be used."""
        ...

    @property
    def shown(self) -> Mapping[str, str]:
        """Format of each metric that is shown while a network trains."""
        ...


@runtime_checkable
class Loader(Protocol):
    """The training batches by epoch, such as `fcnn.Loader`."""

    @property
    def batch_size(self) -> int:
        """Examples in a batch."""
        ...

    if TYPE_CHECKING:  # it may raise an error, which a check at run time would meet

        @property
        def steps_per_epoch(self) -> int:
            """Batches in an epoch."""
            ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yields the batches of an epoch from number `start` on, as NumPy arrays by name."""
        ...


@runtime_checkable
class ResidentLoader(Loader, Protocol):
    """A loader whose examples may be put on the device whole: each step gathers its batch there."""

    @property
    def split(self) -> Examples:
        """The examples, as named arrays or a pair of images and labels."""
        ...

    def indices(self, epoch: int) -> Integer[np.ndarray, "step batch"]:
        """Returns which examples make each batch of an epoch."""
        ...
