"""Results on their way from the device to the host."""

from collections import deque
from collections.abc import Iterable, Iterator

import jax
from jaxtyping import PyTree

from fcnn.memory import return_grown_memory


def fetch(results: Iterable[PyTree]) -> Iterator[PyTree]:
    """Yields the results of compiled calls as NumPy arrays, in their order, while the calls go on.

    On an accelerator each comes one call late, so that the device never waits for the host. A CPU is its own host, and
    a second call under way would take its memory beside the first one's: there each comes at once, and what memory
    the calls have come to hold without need is returned to the system.

    Args:
        results: an iterator that makes the next call when it is asked for the next result.
    """
    on_cpu = jax.default_backend() == "cpu"
    calls_ahead = 0 if on_cpu else 1
    under_way, least_held = deque(), None
    for result in results:
        under_way.append(result)
        if len(under_way) > calls_ahead:
            fetched = jax.device_get(under_way.popleft())
            if on_cpu:
                least_held = return_grown_memory(least_held)
            yield fetched
    yield from map(jax.device_get, under_way)
