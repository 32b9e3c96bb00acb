"""The caption run: what is asked about, what is kept, what is doubted."""

import threading

import polars as pl
import pytest
from caption_server import PEOPLE, SILENT, endpoint, reply

from reidkit.datasets import ReidkitError, UsageError
from reidkit.datasets.captions import read_captions
from reidkit.datasets.own import read_dataset
from reidkit.toolkit.captioning.endpoint import Endpoint
from reidkit.toolkit.captioning.run import choose_tracklets, run


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


def test_captions_without_a_topic_lose_its_phrases_old_ones_and_new_ones(folder, serve):
    server = serve(reply("a tall man with red shoes, black hair"), reply("long hair"))
    first = run(read_dataset(folder), endpoint(server, concurrency=1), per_identity=1)
    assert (first.written, first.withheld) == (3, 0)
    server = serve(reply("white socks, a beard"))
    second = run(read_dataset(folder), endpoint(server, concurrency=1), topics=["hair"])
    texts = [c.text for c in read_captions(folder)]
    assert set(texts) == {"a tall man with red shoes", "white socks"}
    assert second.withheld >= len(texts)
    again = run(read_dataset(folder), endpoint(server, concurrency=1), topics=["hair"])
    assert (again.written, again.withheld) == (0, 0)


def test_a_caption_of_nothing_else_is_a_failure(folder, serve):
    summary = run(read_dataset(folder), endpoint(serve(reply("short black hair"))), topics=["hair", "skin"])
    assert summary.written == 0
    assert {reason for _, reason in summary.failures} == {"its caption says nothing but hair and skin"}
    assert not read_captions(folder)
