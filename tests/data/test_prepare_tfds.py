"""The preparation of a set of TensorFlow Datasets, with TensorFlow present or absent, but not run."""

import contextlib
import hashlib
import http.server
import importlib.util
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fcnn.data import load_dataset
from fcnn.data import prepare_tfds as prepare
from fcnn.errors import InputError


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def tensorflow_present(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "tensorflow" else found(name))


class Builder(SimpleNamespace):
    """What `prepare` uses of a TFDS builder."""

    def __init__(self, data_dir, name="shapes", files=(), error=None, instructions=None):
        url_infos = {f"http://127.0.0.1:9/{file}": SimpleNamespace(filename=file) for file in files}
        super().__init__(
            name=name,
            data_path=data_dir / name / "1.0.0",
            data_dir_root=data_dir,
            url_infos=url_infos,
            error=error,
            MANUAL_DOWNLOAD_INSTRUCTIONS=instructions,
            config=None,
        )

    def download_and_prepare(self, *, file_format, download_config):
        assert file_format == "array_record"
        self.config = download_config
        if self.error:
            raise self.error


def test_says_what_to_install_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tfds:mnist is not prepared in .*pip install 'fcnn\[prepare\]'"):
        load_dataset("tfds:mnist", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tensorflow_present")
def test_offline_says_at_once_which_files_to_put_where(tmp_path):
    builder = Builder(tmp_path, files=["a.zip", "b.zip"])
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        prepare.prepare(builder, "shapes")
    assert time.monotonic() - started < 5
    assert f"put a.zip, b.zip into {tmp_path / 'downloads' / 'manual'}" in str(caught.value)
    assert builder.config is None


@pytest.mark.usefixtures("tensorflow_present")
def test_files_laid_down_by_hand_need_no_server(tmp_path):
    builder = Builder(tmp_path, files=["a.zip"])
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "a.zip").touch()
    prepare.prepare(builder, "shapes")
    assert Path(builder.config.manual_dir) == manual


@pytest.mark.usefixtures("tensorflow_present")
def test_mnist_is_prepared_from_the_embedded_files(tmp_path):
    import tensorflow_datasets as tfds

    url_infos = tfds.builder("mnist", data_dir=tmp_path).url_infos
    builder = Builder(tmp_path, name="mnist")
    builder.url_infos = url_infos
    prepare.prepare(builder, "mnist")
    assert len(url_infos) == 4
    for info in url_infos.values():
        content = (Path(builder.config.manual_dir) / info.filename).read_bytes()
        assert hashlib.sha256(content).hexdigest() == info.checksum


@pytest.mark.usefixtures("tensorflow_present")
def test_files_that_only_people_can_download(tmp_path):
    builder = Builder(tmp_path, instructions="ask the authors")
    with pytest.raises(InputError, match=r"by hand: .*catalog/shapes names into .*manual"):
        prepare.prepare(builder, "shapes")


@pytest.mark.usefixtures("tensorflow_present")
def test_an_error_of_the_preparation_is_one_line(tmp_path):
    with pytest.raises(InputError, match="tfds:shapes could not be prepared: wrong checksum: expected 1") as caught:
        prepare.prepare(Builder(tmp_path, error=RuntimeError("wrong checksum:\n  expected 1")), "shapes")
    assert isinstance(caught.value.__cause__, RuntimeError)


@contextlib.contextmanager
def silent_server():
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


@contextlib.contextmanager
def refusing_server():
    """Answers, if only that there is no such file."""
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()
        thread.join()


def test_a_server_that_keeps_silent_is_not_waited_for():
    with silent_server() as url:
        started = time.monotonic()
        assert not prepare.any_server_answers([url], timeout=0.3)
        assert time.monotonic() - started < 2


def test_one_server_that_answers_is_enough():
    with silent_server() as silent, refusing_server() as answering:
        assert prepare.any_server_answers([silent, answering], timeout=5)


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch):
    released = threading.Event()

    def hang(*_, **__):
        released.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    assert not prepare.any_server_answers(["http://example.invalid/file"], timeout=0.3)
    assert time.monotonic() - started < 2
    released.set()
