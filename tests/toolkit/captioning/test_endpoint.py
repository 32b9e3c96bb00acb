"""Captions from a real server on the loopback address."""

import dataclasses
import json

import pytest
from caption_server import SILENT, endpoint, reply

from reidkit.datasets import ReidkitError, UsageError
from reidkit.datasets.captions import read_captions
from reidkit.datasets.own import read_dataset
from reidkit.toolkit.captioning.endpoint import Endpoint
from reidkit.toolkit.captioning.run import run


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


@pytest.mark.parametrize("key", ["ein-schlüssel", "two\nlines"])
def test_a_key_that_is_none(monkeypatch, key):
    monkeypatch.setenv("REIDKIT_API_KEY", key)
    with pytest.raises(UsageError, match="holds a letter that no key has") as error:
        Endpoint("http://127.0.0.1/v1", "vlm", "Describe.")
    assert key not in str(error.value)
