"""A small dataset to caption, and a server that captions by script."""

import contextlib
import http.server
import io
import json
import threading
import time

import polars as pl
from PIL import Image

from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS
from reidkit.toolkit.captioning.endpoint import Endpoint

SILENT = object()
PEOPLE = {1: (200, 30, 30), 2: (30, 30, 200), 3: (30, 160, 30)}


def write_people(root):
    """Three people of one colour each, two cameras, six crops a tracklet; all of it training."""
    (root / "crops").mkdir(parents=True)
    tracklets, frames, shard = [], [], bytearray()
    for identity, colour in PEOPLE.items():
        for camera in ("cam1", "cam2"):
            id_ = f"{identity}-{camera}"
            row = dict.fromkeys(TRACKLET_COLUMNS)
            row |= {"id": id_, "identity": identity, "kind": "person", "camera": camera, "event": "e", "split": "train"}
            row |= {"role": "train", "start": 0.0, "end": 5.0, "frames": 6, "quality": 0.5, "confidence": 1.0}
            tracklets.append(row)
            for i in range(6):
                buffer = io.BytesIO()
                Image.new("RGB", (32, 64), colour).save(buffer, "JPEG")
                frame = dict.fromkeys(FRAME_COLUMNS, 0.0)
                frame |= {"tracklet": id_, "frame": i, "time": float(i), "x2": 32.0, "y2": 64.0, "sharpness": float(i)}
                frame |= {"shard": "crops/a.tar", "offset": len(shard), "length": len(buffer.getvalue())}
                frames.append(frame)
                shard += buffer.getvalue()
    (root / "crops" / "a.tar").write_bytes(shard)
    pl.DataFrame(tracklets, schema=TRACKLET_COLUMNS).write_parquet(root / "tracklets.parquet")
    pl.DataFrame(frames, schema=FRAME_COLUMNS).write_parquet(root / "frames.parquet")
    manifest = {"format": 1, "name": "set", "protocol": "video-reid", "cameras": ["cam1", "cam2"], "events": ["e"]}
    (root / "dataset.json").write_text(json.dumps(manifest))
    return root


class Server:
    """An OpenAI-compatible server that answers by script: one entry a request, the last one for ever.

    An entry is (status, JSON value or bytes) or (status, JSON value or bytes, headers); `SILENT` answers when the
    server is closed.
    """

    def __init__(self, script):
        self.script, self.requests, self.closing, lock = list(script), [], threading.Event(), threading.Lock()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.requests.append((self.path, dict(self.headers), body))
                    entry = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                if entry is SILENT:
                    server.closing.wait()
                    return
                status, payload, headers = (*entry, {})[:3]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload if isinstance(payload, bytes) else json.dumps(payload).encode())

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def wait_for(self, count, seconds=120.0):
        """Until `count` requests have come."""
        end = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < end, f"{len(self.requests)} requests came, not {count}"
            time.sleep(0.01)

    def close(self):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


def reply(text="short black hair, red shoes, tall"):
    return 200, {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


@contextlib.contextmanager
def serving():
    """Yields `start(*script)`, which gives a `Server`; all of them are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(*script):
            server = Server(script)
            stack.callback(server.close)
            return server

        yield start


def endpoint(server, **changes):
    """A captioner that asks the server, with hardly a wait before it tries again."""
    settings = {"wait_seconds": 0.001, "retries": 3, "concurrency": 2, **changes}
    return Endpoint(server.url, "vlm", "Describe.", **settings)
