"""A release page on the loopback address that can misbehave: `with serving({"/a": File(b"…")}) as server: …`."""

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class File:
    """What a path answers.

    Attributes:
        cuts: after so many bytes the next answers are broken off, one entry an answer; then they are whole.
        status: other than 200, without a body. location: redirect to there.
        ranges: whether a request for the rest is heard. conditional: whether its If-Range is. etag: "" for none.
        length: whether Content-Length is sent. headers: further ones.
    """

    body: bytes = b""
    cuts: list[int] = field(default_factory=list)
    status: int = 200
    location: str = ""
    ranges: bool = True
    conditional: bool = True
    etag: str = '"one"'
    length: bool = True
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """`files` by path; `asked` is what was requested: (path, Range, If-Range); `tokens`: every Authorization sent."""

    def __init__(self, files: dict[str, File], port: int) -> None:
        self.files = files
        self.asked: list[tuple[str, str, str]] = []
        self.tokens: list[str] = []
        self.address = f"http://127.0.0.1:{port}"

    def ranges(self) -> list[str]:
        """The Range of each request, in order; "" where the whole was asked for."""
        return [wanted for _, wanted, _ in self.asked]


@contextmanager
def serving(files: dict[str, File]) -> Iterator[Server]:
    """A server on a free port, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
            server.asked.append((self.path, wanted, condition))
            server.tokens += self.headers.get_all("Authorization", [])
            file = server.files.get(self.path, File(status=404))
            if file.location or file.status != 200:
                self.send_response(302 if file.location else file.status)
                if file.location:
                    self.send_header("Location", file.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            if wanted and file.ranges and (condition == file.etag or not file.conditional):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            body = file.body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
            if file.etag:
                self.send_header("ETag", file.etag)
            for name, value in file.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", file.kind)
            self.send_header(*(("Content-Length", str(len(body))) if file.length else ("Connection", "close")))
            self.end_headers()
            if file.cuts:
                body = body[: file.cuts.pop(0)]
                self.close_connection = True
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(files, http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def without_weights(monkeypatch, folder: Path) -> Path:
    """A machine without weights: every cache lies below `folder`. Returns reidkit's own."""
    monkeypatch.setattr(importlib.import_module("huggingface_hub.constants"), "HF_HUB_CACHE", str(folder / "hub"))
    for name, place in (("HOME", "home"), ("TORCH_HOME", "torch"), ("REIDKIT_WEIGHTS", "cache")):
        monkeypatch.setenv(name, str(folder / place))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return folder / "cache"
