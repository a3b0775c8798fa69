"""What training needs of a model, a task, an augmentation and a loader: anything that has it will do."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

Augmentation = Callable[[Key[Array, ""], Any], Any]


@runtime_checkable
class Model(Protocol):
    """A network: a Flax module, or anything else that is applied as one.

    `apply(variables, images, train=False)` returns its outputs; with `train=True`, `rngs` and `mutable` it returns
    (outputs, updates of its statistics).
    """

    apply: Callable[..., Any]


@runtime_checkable
class TaskContract(Protocol):
    """A task; `fcnn.tasks.Task` says what each entry is."""

    apply: Callable[..., tuple[Any, Mapping[str, Any]]]
    losses: Callable[[Any, Any], Mapping[str, Float[Array, " batch"]]]
    predict: Callable[[Any], Any]
    measure: Callable[[Any, Any], Mapping[str, Array]]
    metrics: Callable[..., Mapping[str, float]] | None
    best: str
    name: str
    weights: Mapping[str, float]
    size: Callable[[Any], Array] | None
    evaluation_losses: Callable[[Any, Any], Mapping[str, Float[Array, " batch"]]] | None
    auxiliary_weight: float | None
    record: Callable[[Any, Any], Any] | None
    check: Callable[[Mapping[str, Any]], None] | None
    shown: Mapping[str, str]


@runtime_checkable
class Loader(Protocol):
    """The training batches by epoch, such as `fcnn.Loader`.

    One with `split`, the examples as named arrays or a pair of images and labels, and `indices(epoch)`, which of them
    make each batch [step, batch], may be put on the device whole.

    Attributes:
        batch_size: examples in a batch.
        steps_per_epoch: batches in an epoch.
    """

    batch_size: int
    if TYPE_CHECKING:  # it may raise an error, which a check at run time would meet
        steps_per_epoch: int

    def batches(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yields the batches of an epoch from number `start` on, as NumPy arrays by name."""
        ...
