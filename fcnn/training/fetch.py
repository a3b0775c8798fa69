"""Results on their way from the device to the host."""

from collections import deque
from collections.abc import Iterable, Iterator

import jax
from jaxtyping import PyTree

from fcnn.machine.memory import return_unused_memory


def fetch(results: Iterable[PyTree]) -> Iterator[PyTree]:
    """Yields the results of compiled calls as NumPy arrays, in their order, while the calls go on.

    On an accelerator each comes one call late, so that the device never waits for the host. A CPU is its own host, and
    a second call under way would take its memory beside the first one's: there each comes at once. What the first call
    leaves is returned to the system: later ones may not find their places in it, but do in what the second one leaves.

    Args:
        results: an iterator that makes the next call when it is asked for the next result.
    """
    on_cpu = jax.default_backend() == "cpu"
    calls_ahead = 0 if on_cpu else 1
    under_way = deque()
    for number, result in enumerate(results):
        under_way.append(result)
        if len(under_way) > calls_ahead:
            fetched = jax.device_get(under_way.popleft())
            if on_cpu and number == 0:
                return_unused_memory()
            yield fetched
    yield from map(jax.device_get, under_way)
