"""Caption runs against a real local server, a tiny multi-modal model, and a vocabulary."""

import dataclasses
import http.server
import io
import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from reidkit.cli.caption import caption
from reidkit.datasets import LossError, ReidkitError, UsageError
from reidkit.datasets.captions import read_captions
from reidkit.datasets.format import FRAME_COLUMNS, TRACKLET_COLUMNS
from reidkit.datasets.own import read_dataset
from reidkit.simulator.people import cast
from reidkit.toolkit.captioning.endpoint import Endpoint
from reidkit.toolkit.captioning.run import choose_tracklets, run
from reidkit.toolkit.captioning.zero_shot import SIMULATED_VOCABULARY, ZeroShot, read_vocabulary

SILENT = object()
PEOPLE = {1: (200, 30, 30), 2: (30, 30, 200), 3: (30, 160, 30)}


@pytest.fixture
def folder(tmp_path):
    """Three people, two cameras, six crops a tracklet; all of it training."""
    root = tmp_path / "set"
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


@pytest.fixture
def serve():
    servers = []

    def start(*script):
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def endpoint(server, **changes):
    return Endpoint(
        server.url, "vlm", "Describe.", **{"wait_seconds": 0.001, "retries": 3, "concurrency": 2, **changes}
    )


def test_endpoint_captions_every_tracklet_once(folder, serve):
    server = serve(reply())
    summary = run(read_dataset(folder), endpoint(server), pictures=3)
    assert (summary.written, summary.kept, summary.failures) == (6, 0, ())
    assert (summary.tokens_in, summary.tokens_out) == (600, 60)
    path, _, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url"] * 3 + ["text"]
    again = run(read_dataset(folder), endpoint(server), pictures=3)
    assert (again.written, again.kept, len(server.requests)) == (0, 6, 6)
    captions = read_captions(folder)
    assert {c.model for c in captions} == {"vlm"}
    assert all(len(c.prompt_sha256) == 64 for c in captions)


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {}, {"Retry-After": "0"}),  # too many requests
        (503, b"", {"Retry-After": "²"}),
        (408, b""),
        (500, b"oops"),
        (200, b"<html>not json"),
        (200, {"choices": []}),
        reply(""),  # nothing
        reply(None),
    ],
)
def test_endpoint_tries_again(folder, serve, trouble):
    server = serve(trouble, trouble, reply())
    summary = run(read_dataset(folder), endpoint(server, concurrency=1), per_identity=1)
    assert (summary.written, summary.failures) == (3, ())
    assert len(server.requests) == 5


def test_a_tracklet_without_answer_is_counted_and_asked_again(folder, serve):
    server = serve((500, b""), (500, b""), reply())
    summary = run(read_dataset(folder), endpoint(server, concurrency=1, retries=1), per_identity=1)
    assert summary.written == 2
    assert summary.failures == (("1-cam1", "HTTP 500, 2 times"),)
    assert run(read_dataset(folder), endpoint(server), per_identity=1).written == 1


def test_a_dead_server_ends_the_run(folder, serve):
    server = serve((500, b""))
    with pytest.raises(ReidkitError, match="failed one after another"):
        run(read_dataset(folder), endpoint(server, retries=0, concurrency=1, give_up_after=3))
    assert len(server.requests) == 3


def test_a_killed_run_asks_nothing_twice(folder, serve):
    server = serve(reply())

    class Killed(Endpoint):
        def ask(self, requests, take):
            def take_three(answer):
                if len(read_captions(folder)) == 3:
                    raise KeyboardInterrupt
                take(answer)

            super().ask(requests, take_three)

    with pytest.raises(KeyboardInterrupt):
        run(read_dataset(folder), Killed(server.url, "vlm", "Describe.", concurrency=1))
    assert len(read_captions(folder)) == 3
    summary = run(read_dataset(folder), endpoint(server))
    assert (summary.kept, summary.written) == (3, 3)
    assert sorted(c.tracklet for c in read_captions(folder)) == sorted(f"{i}-cam{c}" for i in PEOPLE for c in (1, 2))


def test_ctrl_c_stops_a_run_whose_server_is_silent(folder, serve):
    """A real signal to a real process: it ends at once, and what had arrived is kept."""
    server = serve(reply(), reply(), SILENT)
    command = [sys.executable, "-m", "reidkit", "caption", str(folder), "--captioner", "endpoint", "--model", "vlm"]
    process = subprocess.Popen([*command, "--url", server.url], stderr=subprocess.PIPE, text=True)
    try:
        server.wait_for(6)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=15)
    finally:
        process.kill()
    assert (process.returncode, errors.count("Stopped.")) == (130, 1)
    assert "Traceback" not in errors
    assert len(read_captions(folder)) == 2


def test_answers_under_way_when_the_run_is_stopped_are_kept(folder, serve, monkeypatch):
    """The server refuses one request; what it answers to those under way is paid for."""
    monkeypatch.setattr("reidkit.toolkit.captioning.endpoint.GRACE", 60)
    server = serve((401, b""), reply())
    with pytest.raises(UsageError, match="refused the key"):
        run(read_dataset(folder), endpoint(server, concurrency=3))
    assert len(read_captions(folder)) == len(server.requests) - 1 >= 2


def test_a_server_that_never_answers_in_time_is_a_failure(folder, serve):
    server = serve(SILENT)
    summary = run(read_dataset(folder), endpoint(server, timeout=0.2, retries=1, concurrency=3), per_identity=1)
    assert {reason for _, reason in summary.failures} == {"no answer within 0.2 s, 2 times"}
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "usage",
    [
        b'{"prompt_tokens": Infinity, "completion_tokens": 1e999}',
        b'{"prompt_tokens": NaN, "completion_tokens": -3}',
        b'{"prompt_tokens": "many", "completion_tokens": [1]}',
        b'{"prompt_tokens": ' + b"9" * 5000 + b"}",
        b'"free"',
        b"null",
        b"[]",
    ],
)
def test_usage_is_for_information_only(folder, serve, usage):
    """A caption that came is kept and paid for once, whatever the server says about its price."""
    server = serve(
        (200, b'{"choices": [{"message": {"content": "tall, red shoes, long hair"}}], "usage": ' + usage + b"}")
    )
    summary = run(read_dataset(folder), endpoint(server), per_identity=1)
    assert (summary.written, summary.failures, len(server.requests)) == (3, (), 3)
    assert (summary.tokens_in, summary.tokens_out) == (0, 0)
    json.dumps(dataclasses.asdict(summary), allow_nan=False)


@pytest.mark.parametrize("content", [b"tall, red shoes, long hair \\ud83d", b"tall, red shoes, long hair \xf0\x9f"])
def test_half_a_letter_does_not_lose_the_caption(folder, serve, content):
    server = serve((200, b'{"choices": [{"message": {"content": "' + content + b'"}}]}'))
    summary = run(read_dataset(folder), endpoint(server), per_identity=1)
    assert (summary.written, len(server.requests)) == (3, 3)
    assert all(c.text.startswith("tall, red shoes, long hair") for c in read_captions(folder))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_at_once(folder, serve, status):
    server = serve((status, b"", {"Location": "http://elsewhere.example/v1"}))
    with pytest.raises(UsageError, match=r"'http://elsewhere.example/v1' \(HTTP 30\d\).*--url"):
        run(read_dataset(folder), endpoint(server, concurrency=1))
    assert len(server.requests) == 1


def test_what_the_server_will_never_take_is_asked_once(folder, serve):
    server = serve((413, b"too large\x1b[31m"), (402, b""), reply())
    summary = run(read_dataset(folder), endpoint(server, concurrency=1), per_identity=1)
    assert summary.failures == (("1-cam1", "HTTP 413: too large\\x1b[31m"), ("2-cam1", "HTTP 402: "))
    assert (summary.written, len(server.requests)) == (1, 3)


def test_two_runs_on_one_dataset_lose_nothing(folder, serve):
    """The second is refused while the first is at work, and has asked nobody."""
    first, second = serve(SILENT), serve(reply())
    data, errors = read_dataset(folder), []

    def work():
        try:
            run(data, endpoint(first, retries=0, timeout=30))
        except ReidkitError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    first.wait_for(2)
    with pytest.raises(UsageError, match="Another `reidkit caption` is at work"):
        run(data, endpoint(second))
    assert not second.requests
    first.closing.set()
    thread.join(30)
    assert run(data, endpoint(second)).written == 6 == len(read_captions(folder))


@pytest.mark.parametrize("key", ["ein-schlüssel", "two\nlines"])
def test_a_key_that_is_none(monkeypatch, key):
    monkeypatch.setenv("REIDKIT_API_KEY", key)
    with pytest.raises(UsageError, match="holds a letter that no key has") as error:
        Endpoint("http://127.0.0.1/v1", "vlm", "Describe.")
    assert key not in str(error.value)


def test_a_key_is_sent_and_never_shown(folder, serve, monkeypatch):
    monkeypatch.setenv("REIDKIT_API_KEY", "secret-key")
    server = serve((401, b'{"error": "bad key secret-key"}'))
    result = CliRunner().invoke(
        caption, [str(folder), "--captioner", "endpoint", "--url", server.url, "--model", "vlm", "--json"]
    )
    assert server.requests[0][1]["Authorization"] == "Bearer secret-key"
    assert isinstance(result.exception, UsageError)
    assert "refused the key" in str(result.exception)
    assert "secret-key" not in str(result.exception) + result.output


def test_contradicting_captions_are_marked(folder, serve):
    server = serve(
        reply("red shoes, black hair, tall"), reply("blue shoes, black hair, tall"), reply("green socks and tall")
    )
    summary = run(read_dataset(folder), endpoint(server, concurrency=1))
    marked = {c.tracklet: c.doubts for c in read_captions(folder) if c.doubts}
    assert summary.doubtful == 2
    assert marked["1-cam1"] == ("contradicts 1-cam2: shoes red or blue",)


def test_choose_tracklets_takes_each_camera_before_a_second():
    rows = [("a", 1, "c1", 0.9), ("b", 1, "c1", 0.8), ("c", 1, "c2", 0.1), ("d", 2, "c1", 0.5)]
    table = pl.DataFrame(rows, schema=["id", "identity", "camera", "quality"], orient="row").with_columns(
        kind=pl.lit("person"), split=pl.lit("train")
    )
    assert choose_tracklets(table, "train", 2) == [("a", 1), ("c", 1), ("d", 2)]
    assert choose_tracklets(table, "test", 2) == []


def test_template_through_the_command(folder):
    (folder / "attributes.csv").write_text("identity,shoes\n1,red\n2,blue\n")
    result = CliRunner().invoke(caption, [str(folder), "--json"])
    assert json.loads(result.stdout)["written"] == 4
    assert isinstance(result.exception, LossError)  # identity 3 has no row
    assert "2 of 6" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--captioner", "endpoint"], "needs --url"),
        (["--captioner", "endpoint", "--url", "ftp://x", "--model", "m"], "no http"),
        (["--captioner", "endpoint", "--url", "http://x:port/v1", "--model", "m"], "no http"),
        (["--captioner", "endpoint", "--url", "http:///v1", "--model", "m"], "no http"),
        (["--captioner", "transformers", "--model", "absent/model"], "Cannot load the model 'absent/model'"),
        (["--captioner", "endpoint", "--url", "http://x/v1", "--model", "m", "--prompt", "absent.txt"], "Cannot read"),
    ],
)
def test_bad_arguments(folder, arguments, message):
    result = CliRunner().invoke(caption, [str(folder), *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_an_unknown_captioner_is_refused(folder):
    result = CliRunner().invoke(caption, [str(folder), "--captioner", "phi"])
    assert result.exit_code == 2
    assert "'phi' is not one of 'template', 'attributes'" in result.output


def test_zero_shot_tells_what_leads_and_keeps_silent_otherwise(folder, tmp_path):
    vocabulary = tmp_path / "v.toml"
    vocabulary.write_text(
        '[shoes]\nphrases = ["red shoes", "blue shoes"]\n[hair]\nphrases = ["dark hair", "no hair"]\n'
    )
    where = {"red shoes": 0, "blue shoes": 2}

    def texts(sentences):
        rows = np.zeros((len(sentences), 3), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            row[[i for phrase, i in where.items() if phrase in sentence] or [0, 1, 2]] = 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def images(pictures):
        rows = np.stack([np.asarray(p, np.float32).mean((0, 1)) for p in pictures])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    run(read_dataset(folder), ZeroShot(images, texts, "fake", vocabulary))
    told = {c.tracklet: c.text for c in read_captions(folder)}
    assert told["1-cam1"] == "a person with red shoes"  # the two hair phrases tie: silent
    assert told["2-cam2"] == "a person with blue shoes"


def test_the_tiny_clip_asks_for_what_the_simulator_draws():
    _, questions = read_vocabulary(SIMULATED_VOCABULARY)
    known = {q.name: set(q.phrases) for q in questions}
    told = [
        p.attributes
        for kind in ("sports", "dance")
        for s in range(20)
        for p in cast(kind, 12, 1, np.random.default_rng(s))
    ]
    for attributes in told:
        for name, words in attributes.items():
            if name in known:
                assert words in known[name], name
        assert {attributes.get("shirt"), attributes.get("costume")} & known["clothes"]
    drawn = {words for attributes in told for words in attributes.values()}
    assert all(phrase in drawn for name in ("shoes", "sleeves") for phrase in known[name])


def test_attributes_by_the_shipped_tiny_clip(folder):
    arguments = [str(folder), "--captioner", "attributes", "--weights", "simulated", "--device", "cpu", "--json"]
    result = CliRunner().invoke(caption, arguments)
    assert json.loads(result.stdout)["written"] == len(read_captions(folder)) > 0
    _, questions = read_vocabulary(SIMULATED_VOCABULARY)
    phrases = {phrase for q in questions for phrase in q.phrases}
    for written in read_captions(folder):
        assert written.captioner == "attributes"
        assert set(written.text.removeprefix("a person with ").split(", ")) <= phrases


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[shoes]\nphrases = ['red']", "two or more"),
        ("prompt = 'x'\n[shoes]\nphrases = ['a', 'b']", "where the phrase goes"),
        ("", "asks nothing"),
        ("= broken", "no TOML"),
    ],
)
def test_bad_vocabulary(tmp_path, text, message):
    path = tmp_path / "v.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_vocabulary(path)
