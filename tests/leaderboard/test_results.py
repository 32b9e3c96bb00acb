"""The store: nothing is overwritten, nothing damaged is believed, nothing is read twice."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reidkit.datasets import ReidkitError, UsageError
from reidkit.leaderboard import results as store_module
from reidkit.leaderboard.results import (
    PairRow,
    QueryRow,
    ResultStore,
    load_results,
    open_store,
    read_result,
    save_result,
)

ROWS = {
    "per_query": [QueryRow("q1", 1, 50.0, 2, ["g2", "g1"]), QueryRow("q2", 2, 100.0, 1, ["g3"], split=1)],
    "camera_pairs": [PairRow(0, 1, mAP=50.0, R1=40.0, queries=2)],
}


def test_a_result_comes_back_as_it_was(tmp_path, make_result):
    result = make_result(model="cgclip/no-cmr", splits=[{"mAP": 1.0}, {"mAP": 2.0}], **ROWS)
    path = save_result(tmp_path, result)
    assert path.parent == tmp_path / "mars" / "cgclip" / "no-cmr"
    assert load_results(tmp_path) == ([result], [])
    assert read_result(path) == result


def test_numbers_of_numpy_are_stored_as_numbers(tmp_path, make_result):
    path = save_result(tmp_path, make_result(metrics={"mAP": np.float64(50.5)}, queries=np.int64(7)))
    assert (read_result(path).metrics, read_result(path).queries) == ({"mAP": 50.5}, 7)


def test_the_same_result_twice_gives_two_files(tmp_path, make_result):
    paths = {save_result(tmp_path, make_result()) for _ in range(3)}
    assert len(paths) == 3
    assert len(load_results(tmp_path)[0]) == 3
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_writers_at_once_lose_nothing(tmp_path, make_result):
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda seed: save_result(tmp_path, make_result(seed=seed)), range(12)))
    assert len(set(paths)) == 12
    assert {r.seed for r in load_results(tmp_path)[0]} == set(range(12))


def _edit(path, **changes):
    record = json.loads(path.read_text())
    record.update(changes)
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not ...}))


def _edit_row(kind, **changes):
    def edit(path):
        record = json.loads(path.read_text())
        record[kind][0].update(changes)
        path.write_text(json.dumps(record))

    return edit


def _nested(depth):
    return lambda p: p.write_text(
        p.read_text().replace('"recipe": {', '"recipe": {"x": ' + "[" * depth + "]" * depth + ", ")
    )


DAMAGE = [
    (lambda p: p.write_text(p.read_text()[: len(p.read_text()) // 2]), "truncated"),  # cut in half
    (lambda p: p.write_text(""), "truncated"),
    (lambda p: p.write_bytes(b"\xff\xfe\x00"), "malformed"),
    (lambda p: p.write_bytes(p.read_bytes().replace(b"q1", b"\xff1")), "utf"),
    (lambda p: p.write_text("[" * 100_000), "no result of reidkit"),  # nested until the parser gives up
    (_nested(500), "$.recipe"),
    (_nested(5), "$.recipe"),
    (lambda p: p.write_text("[1, 2]"), "no result of reidkit"),
    (lambda p: _edit(p, format=...), "format"),
    (lambda p: _edit(p, format=0), "format"),
    (lambda p: _edit(p, format=2), "Update reidkit"),
    (lambda p: p.write_text('{"format": 7}'), "Update reidkit"),
    (lambda p: _edit(p, metrics={"mAP": float("nan")}), "malformed"),
    (lambda p: _edit(p, metrics={"mAP": 10**400}), "$.metrics"),
    (lambda p: _edit(p, metrics={"mAP": 1e300}), "$.metrics"),
    (lambda p: _edit(p, metrics={"mAP": -50}), "$.metrics"),
    (lambda p: _edit(p, metrics={"mAP": "50"}), "$.metrics"),
    (lambda p: _edit(p, metrics={}), "$.metrics"),
    (lambda p: _edit(p, splits=[{"mAP": 101.0}]), "$.splits[0]"),
    (lambda p: _edit(p, splits=["no object"]), "$.splits[0]"),
    (lambda p: _edit(p, recipe={"lr": float("inf")}), "malformed"),
    (lambda p: _edit(p, recipe={"lr": 10**60}), "$.recipe"),
    (lambda p: p.write_text(p.read_text().replace('"seed": 0', '"seed": ' + "9" * 5000)), "range"),
    (lambda p: _edit(p, queries=..., protocol=...), "protocol"),
    (lambda p: _edit(p, queries=-1), "$.queries"),
    (lambda p: _edit(p, seed="0"), "$.seed"),
    (lambda p: _edit(p, seed=True), "$.seed"),  # True is an int to Python
    (lambda p: _edit(p, seconds=10**400), "range"),
    (lambda p: _edit(p, seconds=-1), "$.seconds"),
    (lambda p: _edit(p, created="yesterday"), "$.created"),
    (lambda p: _edit(p, dataset={"name": "x"}), "fingerprint"),
    (lambda p: _edit(p, dataset={"name": 5, "fingerprint": "f"}), "$.dataset"),
    (lambda p: _edit(p, environment={"software": []}), "$.environment.software"),
    (lambda p: _edit(p, command="\ud800"), "malformed"),
    (lambda p: _edit(p, model="../../x"), "names no folder"),
    (lambda p: _edit(p, bench=""), "$.bench"),
    (lambda p: _edit(p, per_query=[{"query": "a"}]), "$.per_query[0]"),
    (_edit_row("per_query", identity="1"), "$.per_query[0].identity"),
    (_edit_row("per_query", identity=[]), "$.per_query[0].identity"),
    (_edit_row("per_query", query=7), "$.per_query[0].query"),
    (_edit_row("per_query", top=["a", 7]), "$.per_query[0].top[1]"),
    (_edit_row("per_query", rank=0), "$.per_query[0].rank"),
    (_edit_row("per_query", rank=-5), "$.per_query[0].rank"),
    (_edit_row("per_query", rank=2.5), "$.per_query[0].rank"),
    (_edit_row("per_query", ap=-50), "$.per_query[0].ap"),
    (_edit_row("per_query", ap=1e300), "$.per_query[0].ap"),
    (_edit_row("per_query", split=-1), "$.per_query[0].split"),
    (_edit_row("camera_pairs", mAP="high"), "$.camera_pairs[0].mAP"),
    (_edit_row("camera_pairs", query_camera="c1"), "$.camera_pairs[0].query_camera"),
    (_edit_row("camera_pairs", queries=0), "$.camera_pairs[0].queries"),
    (lambda p: _edit(p, camera_pairs=["text"]), "$.camera_pairs[0]"),
]


@pytest.mark.parametrize(("damage", "word"), DAMAGE)
def test_a_damaged_file_is_named_and_left_out(tmp_path, make_result, damage, word):
    good = save_result(tmp_path, make_result(model="good", **ROWS))
    bad = save_result(tmp_path, make_result(model="bad", **ROWS))
    damage(bad)
    results, problems = load_results(tmp_path)
    assert [r.model for r in results] == ["good"]
    assert [p.path for p in problems] == [bad]
    assert word in str(problems[0])
    assert bad.name in str(problems[0])
    assert good.exists()


def test_a_pipe_is_named_and_not_waited_for(tmp_path, make_result):
    path = save_result(tmp_path, make_result())
    os.mkfifo(path.with_name("pipe.json"))
    results, problems = load_results(tmp_path)
    assert len(results) == 1
    assert "no plain file" in str(problems[0])


def test_every_cut_is_noticed(tmp_path, make_result):
    path = save_result(tmp_path, make_result(**ROWS))
    whole = path.read_bytes()
    for length in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:length])
        results, problems = load_results(tmp_path)
        assert not results
        assert len(problems) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"mAP": float("nan")},
        {"mAP": 100.5},
        {"per_query": [QueryRow("q", 1, 50.0, 0, [])]},
        {"dataset": {"name": "mars"}},
        {"recipe": {"lr": float("inf")}},
        {"command": "\ud800"},
        {"recipe": {"lr": object()}},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, make_result, changes):
    with pytest.raises(ReidkitError, match="stored"):
        save_result(tmp_path, make_result(**changes))
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("bench", "model"),
    [
        ("complexity", "m"),
        (".hidden", "m"),
        ("mars", ".hidden"),
        ("mars", "m/.hidden"),
        ("mars", "m/"),
        ("/tmp/x", "m"),
        ("..", "m"),
        ("mars", "../../x"),
        ("a\nb", "m"),
    ],
)
def test_a_name_that_no_table_would_read_is_refused(tmp_path, make_result, bench, model):
    with pytest.raises(UsageError, match="can't be the name of a"):
        save_result(tmp_path / "results", make_result(model, bench))
    assert not list(tmp_path.rglob("*"))


def test_a_folder_that_cannot_be_written_is_named_though_nothing_can_be_cleared(tmp_path, make_result, monkeypatch):
    """On a read-only file system even the removal of a file that was never made fails."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store_module.os, "fsync", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ReidkitError, match=r"Cannot write a result to .*Read-only file system"):
        save_result(tmp_path, make_result())


def test_a_later_reidkit_may_add_fields_of_the_same_format(tmp_path, make_result):
    path = save_result(tmp_path, make_result(**ROWS))
    _edit(path, mood="good")
    _edit_row("per_query", mood="good")(path)
    assert load_results(tmp_path)[1] == []


def test_no_folder_is_no_result(tmp_path):
    assert load_results(tmp_path / "absent") == ([], [])
    assert open_store(tmp_path / "absent").find("mars", "resnet50") == ([], [])


def test_a_cells_results_are_found_without_the_others(tmp_path, make_result):
    late = save_result(tmp_path, make_result(seed=1, created="2026-11-25T00:00:00+00:00", **ROWS))
    early = save_result(tmp_path, make_result(seed=2))
    for other in (make_result("cgclip"), make_result("resnet50/wide"), make_result(bench="ls-vid")):
        save_result(tmp_path, other)
    (early.parent / "half.json").write_text("{")
    (early.parent / ".hidden.json").write_text("{")
    entries, problems = ResultStore(tmp_path).find("mars", "resnet50")
    assert [e.path for e in entries] == [early, late]
    assert [e.summary.seed for e in entries] == [2, 1]
    assert [p.path.name for p in problems] == ["half.json"]


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path, make_result, monkeypatch):
    read = []
    monkeypatch.setattr(store_module, "read_bytes", lambda path, fix: read.append(path.name) or Path(path).read_bytes())
    first = save_result(tmp_path, make_result(**ROWS))
    for _ in range(3):
        assert len(open_store(tmp_path).find("mars", "resnet50")[0]) == 1
    assert read == [first.name]
    second = save_result(tmp_path, make_result(seed=1))
    assert len(open_store(tmp_path).find("mars", "resnet50")[0]) == 2
    assert sorted(read) == sorted([first.name, second.name])
    first.write_text("{}")
    entries, problems = open_store(tmp_path).find("mars", "resnet50")
    assert ([e.path for e in entries], [p.path for p in problems]) == ([second], [first])


def test_the_store_is_one_object_by_whatever_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store("results") is open_store(tmp_path / "results")
