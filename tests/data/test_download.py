"""Downloading archives, from servers on this machine."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sbn_lightning.data import download as downloading
from sbn_lightning.data.download import download
from sbn_lightning.errors import UsageError

CONTENT = b"an archive" * 10_000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """serve(body): the URL of a server that announces CONTENT and answers body."""
    servers = []

    def start(body: bytes, status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/archive.zip"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refused(url: str, folder: Path, match: str) -> None:
    """Expect an error that names the URL and what to do, and no file, not even a part of it."""
    with pytest.raises(UsageError, match=rf"(?s){url} {match}"):
        download(url, MD5, folder / "new" / "archive.zip", "get it elsewhere")
    assert list((folder / "new").iterdir()) == []


def test_file_is_what_the_server_sent(tmp_path: Path, serve: Callable[..., str]) -> None:
    file = tmp_path / "new" / "archive.zip"
    download(serve(CONTENT), MD5, file, "get it elsewhere")
    assert file.read_bytes() == CONTENT
    assert list(file.parent.iterdir()) == [file]


# The server's answer, its status and what is said. Python's versions differ in whether they notice missing bytes.
REFUSED = [
    (CONTENT[::-1], 200, rf"sent is not the official archive \(MD5 {MD5} expected\): try again later"),
    (CONTENT[:50_000], 200, "(sent is not the official archive|could not be downloaded .*get it elsewhere)"),
    *[(b"no", status, f"could not be downloaded .*{status}.*; get it elsewhere") for status in (403, 404, 500, 503)],
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_anything_but_the_archive_is_refused(
    tmp_path: Path, serve: Callable[..., str], body: bytes, status: int, message: str
) -> None:
    refused(serve(body, status), tmp_path, message)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/archive.zip"


def test_server_that_is_down_is_named_with_what_to_do(tmp_path: Path, listener: socket.socket) -> None:
    url = url_of(listener)
    listener.close()
    refused(url, tmp_path, "could not be downloaded .*; get it elsewhere")


def test_server_that_stays_silent_is_given_up(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "TIMEOUT", 0.2)
    start = time.monotonic()
    refused(url_of(listener), tmp_path, r"could not be downloaded \(timed out\); get it elsewhere")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("answer", [b"", b"this is not HTTP\r\n\r\n"])
def test_server_that_does_not_speak_http_is_named_with_what_to_do(
    tmp_path: Path, listener: socket.socket, answer: bytes
) -> None:
    def answer_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    thread = threading.Thread(target=answer_once)
    thread.start()
    refused(url_of(listener), tmp_path, "could not be downloaded .*; get it elsewhere")
    thread.join()
