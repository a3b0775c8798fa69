"""What a run is taken to be made of, by those who save it."""

from typing import Any, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class State(Protocol):
    """What is saved: a named tuple of trees of arrays, two of which have a meaning here."""

    @property
    def step(self) -> Any:
        """Number of updates done; a checkpoint has it for its name."""
        ...

    @property
    def key(self) -> Any:
        """A random key."""
        ...

    def _replace(self, **entries: Any) -> Any: ...


StateT = TypeVar("StateT", bound=State)
