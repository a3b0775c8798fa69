"""A run that is asked to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class InterruptedRun(KeyboardInterrupt):
    """Training was asked to stop by Ctrl-C or a termination signal; the state is saved and the message says where."""


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """Yields an event that is set by the first Ctrl-C or SIGTERM; the second one stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number, frame):
        event.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield event
    finally:
        restore()
