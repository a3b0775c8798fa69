"""Files that are there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file to write to that takes the place of `path` when the block ends without an error.

    It is written beside its place and moved there, so that nobody reads half of it; after an error nothing has changed.

    Args:
        path: where the file will be.

    Raises:
        OSError: if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | str) -> None:
    """Writes a file that appears whole or not at all.

    Args:
        path: of the file.
        content: bytes, or text to write as UTF-8.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
