"""The preparation of a data set of TensorFlow Datasets (TFDS): offline it must fail at once, with what to do."""

import contextlib
import importlib.util
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from fcnn.errors import InputError

_TIMEOUT = 4.0


def prepare(builder: Any, name: str) -> None:
    """Downloads and prepares a data set of TFDS, MNIST from the files that come with the package.

    Args:
        builder: its `tfds.core.DatasetBuilder`.
        name: its name in TFDS.

    Raises:
        InputError: TensorFlow is not installed, files are needed that cannot be downloaded, or TFDS fails.
    """
    import tensorflow_datasets as tfds

    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(
            f"tfds:{name} is not prepared in {builder.data_path}, and TensorFlow, which prepares it, is not installed: "
            f"pip install 'fcnn[prepare]'"
        )
    with _manual_folder(builder) as folder:
        _check_files(builder, name, folder)
        try:
            builder.download_and_prepare(
                file_format="array_record",
                download_config=tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False),
            )
        except Exception as error:
            # Anything can fail in the code of a data set; what it raises names the cause, and stays chained.
            raise InputError(f"tfds:{name} could not be prepared: {' '.join(str(error).split())}") from error


def missing_files(url_infos: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Returns which registered downloads are not among the files laid down by hand.

    Args:
        url_infos: what TFDS registers for each address; `filename` is the name of its file, if it is known.
        folder: TFDS's `manual_dir`.

    Returns:
        For each address that has to be downloaded the name of its file.
    """
    names = {url: info.filename or urlsplit(url).path.rpartition("/")[2] for url, info in url_infos.items()}
    return {url: name for url, name in names.items() if not (folder / name).exists()}


def any_server_answers(urls: Iterable[str], timeout: float) -> bool:
    """Returns whether at least one server of these addresses answers, through a proxy where one is set.

    Each is asked once, in a thread of its own: the look-up of a server's name can take longer than any timeout of the
    connection. What the answer says does not matter.

    Args:
        urls: addresses of files on the web.
        timeout: seconds after which the result is False.
    """
    one_of_each_server = {urlsplit(url).netloc: url for url in urls}.values()
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for url in one_of_each_server:
        threading.Thread(target=_ask, args=(url, timeout, answers), daemon=True).start()
    deadline = time.monotonic() + timeout
    for _ in one_of_each_server:
        try:
            if answers.get(timeout=max(0.0, deadline - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return False


def _ask(url: str, timeout: float, answers: "queue.SimpleQueue[bool]") -> None:
    try:
        requests.head(url, timeout=timeout, allow_redirects=False).close()
    except requests.RequestException:
        answers.put(False)
    else:
        answers.put(True)


def _check_files(builder: Any, name: str, folder: Path) -> None:
    """Refuses what TFDS would try for minutes."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not (folder.is_dir() and any(folder.iterdir())):
        raise InputError(
            f"tfds:{name} is made from files that are downloaded by hand: put those that "
            f"https://www.tensorflow.org/datasets/catalog/{builder.name} names into {folder}"
        )
    missing = missing_files(builder.url_infos, folder)
    if missing and not any_server_answers(missing, _TIMEOUT):
        names = list(missing.values())
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        raise InputError(
            f"tfds:{name} is not prepared in {builder.data_path}, and the server of its files does not answer: "
            f"put {', '.join(names[:4])}{more} into {folder}"
        )


@contextlib.contextmanager
def _manual_folder(builder: Any) -> Iterator[Path]:
    if builder.name == "mnist":
        with resources.as_file(resources.files("fcnn.data").joinpath("mnist")) as folder:
            yield folder
    else:
        yield Path(builder.data_dir_root) / "downloads" / "manual"
