"""The download of published weight files into the user's cache folder."""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from fcnn.errors import InputError
from fcnn.files import replacing
from fcnn.pretrained.facts import PUBLISHED_ADDRESS
from fcnn.pretrained.weight_files import check_hash

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 5


def cache_folder() -> Path:
    """Returns the user's folder for files that can be fetched again, as the operating system has it."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fcnn"
    # The XDG base directory specification has relative paths ignored.
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".cache") / "fcnn"


def download(file_name: str, folder: Path | None = None, base_address: str = PUBLISHED_ADDRESS) -> Path:
    """Returns the path of a published file, which is fetched unless it is there.

    The file appears under its name only when it is complete and its SHA-256 begins as the name says.

    Args:
        file_name: such as `resnet18-f37072fd.pth`.
        folder: where the file is kept; `cache_folder()` if None.
        base_address: where the file is published, with the last slash.

    Raises:
        InputError: the file cannot be fetched or kept, or is not the published one; the message says where to put a
            file that was fetched in another way.
    """
    folder = cache_folder() if folder is None else folder
    path = folder / file_name
    if path.exists():
        return path
    try:
        _fetch(base_address + file_name, path)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(base_address + file_name, path, f"the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _failed(base_address + file_name, path, str(error.reason)) from error
    except (OSError, http.client.HTTPException, InputError) as error:
        raise _failed(base_address + file_name, path, str(error) or type(error).__name__) from error
    return path


def _failed(address: str, path: Path, reason: str) -> InputError:
    reason = " ".join(reason.split())
    return InputError(f"cannot download {address} ({reason}): fetch it on any machine and put it at {path}")


def _fetch(address: str, path: Path) -> None:
    with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            check_hash(path.name, _copy(response, file, path.name))


def _copy(response: http.client.HTTPResponse, file: IO[bytes], name: str) -> str:
    expected = response.length
    received, digest = 0, hashlib.sha256()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=expected)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            progress.update(task, completed=received)
    if expected is not None and received < expected:
        raise InputError(f"the connection ended after {received:,} of {expected:,} bytes")
    return digest.hexdigest()
