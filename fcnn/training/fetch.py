"""Results on their way from the device to the host."""

from collections import deque
from collections.abc import Iterable, Iterator

import jax
from jaxtyping import PyTree


def fetch(results: Iterable[PyTree]) -> Iterator[PyTree]:
    """Yields the results of compiled calls as NumPy arrays, in their order, while the calls go on.

    On an accelerator each comes one call late, so that the device never waits for the host. A CPU is its own host, and
    a second call under way would take its memory beside the first one's: there each comes at once.

    Args:
        results: an iterator that makes the next call when it is asked for the next result.
    """
    calls_ahead = 0 if jax.default_backend() == "cpu" else 1
    under_way = deque()
    for result in results:
        under_way.append(result)
        if len(under_way) > calls_ahead:
            yield jax.device_get(under_way.popleft())
    yield from map(jax.device_get, under_way)
