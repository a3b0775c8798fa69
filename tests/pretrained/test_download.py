"""The download, from a server on the loopback address."""

import hashlib
import http.server
import sys
import threading
import time
from pathlib import Path

import pytest

from fcnn.errors import InputError
from fcnn.pretrained.download import cache_folder, download

CONTENT = bytes(range(256)) * 5000
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def serve(monkeypatch):
    """Returns a function that starts a server, which answers with a status, bytes and a Content-Length."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def serve(content=CONTENT, status=200, length=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requested.append(self.path)
                self.send_response(status)
                if length is not False:
                    self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.requested = []
        server.handle_error = lambda *arguments: None  # a client that hangs up
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/models/", server.requested

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("length", [None, False])
def test_a_file_is_fetched_once(serve, tmp_path, length):
    address, requested = serve(length=length)
    folder = tmp_path / "a" / "b"
    path = download(NAME, folder, address)
    assert path == folder / NAME
    assert path.read_bytes() == CONTENT
    assert download(NAME, folder, address) == path
    assert requested == [f"/models/{NAME}"]
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"content": CONTENT[:-1], "length": len(CONTENT)}, "the connection ended after 1,279,999 of 1,280,000 bytes"),
        ({"content": CONTENT[:-1]}, "SHA-256 begins with"),
        ({"content": CONTENT[:-1], "length": False}, "SHA-256 begins with"),
        ({"content": b"<html>Please log in</html>"}, "SHA-256 begins with"),
        ({"content": b""}, "SHA-256 begins with e3b0c442"),
        ({"status": 404}, "the server says 404 Not Found"),
        ({"status": 500}, "the server says 500 Internal Server Error"),
    ],
)
def test_failures_leave_nothing_behind(serve, tmp_path, answer, message):
    address, _ = serve(**answer)
    with pytest.raises(InputError, match=message) as caught:
        download(NAME, tmp_path, address)
    text = str(caught.value)
    assert f"cannot download {address}{NAME}" in text
    assert text.endswith(f"put it at {tmp_path / NAME}")
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


def test_refused_connection_is_told_at_once(serve, tmp_path):
    start = time.monotonic()
    with pytest.raises(InputError, match=f"refused.*put it at {tmp_path / NAME}"):
        download(NAME, tmp_path, "http://127.0.0.1:9/")
    with pytest.raises(InputError, match=f"put it at {tmp_path / NAME}"):
        download(NAME, tmp_path, "http://no-such-host.invalid/")
    assert time.monotonic() - start < 10
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(serve, tmp_path):
    address, _ = serve()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot download"):
        download(NAME, tmp_path / "file" / "folder", address)


def test_an_interrupt_leaves_nothing_behind(serve, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    address, _ = serve()
    monkeypatch.setattr("fcnn.pretrained.download.check_hash", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(NAME, tmp_path, address)
    assert list(tmp_path.iterdir()) == []


def test_cache_folder(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/big/cache")
    assert cache_folder() == Path("/big/cache/fcnn")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/home/someone/.cache/fcnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/fcnn")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/someone/Library/Caches/fcnn")
