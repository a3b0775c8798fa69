"""Processes that take turns: each answers a line with a line, so that a machine that slows down slows all of them."""

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO


class StoppedError(Exception):
    """A process has ended, or was too slow to answer; the message says which, and the last line of its errors."""


class Worker:
    """A process that answers each line of its input with a line."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], errors: IO[str] | None):
        """Starts it; `environment` is added to this process' own, and errors are written to a file if there is one."""
        self._errors = errors
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=os.environ | environment, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.stdout.close()
        self._lines.put("")

    def hear(self, seconds: float | None = None, start: str = "") -> str:
        """Returns the next line, of those that begin with `start`.

        Raises:
            StoppedError: if the process has ended, or does not answer within so many seconds.
        """
        while True:
            try:
                line = self._lines.get(timeout=None if seconds is None else max(seconds, 0.01))
            except queue.Empty:
                raise StoppedError("out of time") from None
            if not line:
                raise StoppedError(f"stopped: {self._last_error()}")
            if line.startswith(start):
                return line

    def ask(self, line: str = "round", seconds: float | None = None, start: str = "") -> str:
        """Returns the answer to a line; see `hear`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, which `hear` says
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        return self.hear(seconds, start)

    def stop(self, patience: float = 1.0) -> None:
        """Ends the process: it has nothing more to answer, and is killed with its own ones if it goes on."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(patience)

    def _last_error(self):
        if self._errors is None:
            return "run its process by itself to see why"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1][:300] if lines else f"it ended with code {self._process.wait()}"


@contextlib.contextmanager
def take_turns(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str] | None = None, *, keep_errors: bool = False
) -> Iterator[dict[str, Worker]]:
    """Starts a process for each command, and ends them all at the end, whatever happens.

    Args:
        commands: by name.
        environment: what is added to that of this process.
        keep_errors: do not show what they write to their error output, but quote its last line if they stop.
    """
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, command in commands.items():
            errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace")) if keep_errors else None
            workers[name] = Worker(command, environment or {}, errors)
            stack.callback(workers[name].stop)
        yield workers
