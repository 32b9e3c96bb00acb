"""The store: nothing is overwritten, nothing damaged is believed."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from reidkit.datasets import ReidkitError
from reidkit.leaderboard.results import environment, load_results, save_result


def test_a_result_comes_back_as_it_was(tmp_path, make_result):
    result = make_result(model="cgclip/no-cmr", splits=[{"mAP": 1.0}, {"mAP": 2.0}])
    path = save_result(tmp_path, result)
    assert path.parent == tmp_path / "mars" / "cgclip" / "no-cmr"
    assert load_results(tmp_path) == ([result], [])


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


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda p: p.write_text(p.read_text()[: len(p.read_text()) // 2]), "whole JSON"),  # cut in half
        (lambda p: p.write_text(""), "whole JSON"),
        (lambda p: p.write_bytes(b"\xff\xfe\x00"), "no text"),
        (lambda p: p.write_text("[" * 100_000), "whole JSON"),  # nested until the parser gives up
        (lambda p: p.write_text("[1, 2]"), "format"),
        (lambda p: _edit(p, format=2), "newer"),
        (lambda p: _edit(p, metrics={"mAP": float("nan")}), "metrics.mAP"),
        (lambda p: _edit(p, metrics={"mAP": 10**400}), "percentage"),
        (lambda p: _edit(p, metrics={"mAP": "50"}), "percentage"),
        (lambda p: _edit(p, metrics={}), "no metrics"),
        (lambda p: _edit(p, recipe={"lr": float("inf")}), "recipe.lr"),
        (lambda p: _edit(p, queries=..., protocol=...), "lacks protocol, queries"),
        (lambda p: _edit(p, seed="0"), "seed"),
        (lambda p: _edit(p, seed=True), "seed"),  # True is an int to Python
        (lambda p: _edit(p, dataset={"name": "x"}), "fingerprint"),
        (lambda p: _edit(p, per_query=[{"query": "a"}]), "per_query[0]"),
        (lambda p: _edit(p, model="../../x"), "names no folder"),
    ],
)
def test_a_damaged_file_is_named_and_left_out(tmp_path, make_result, damage, word):
    good = save_result(tmp_path, make_result(model="good"))
    bad = save_result(tmp_path, make_result(model="bad"))
    damage(bad)
    results, problems = load_results(tmp_path)
    assert [r.model for r in results] == ["good"]
    assert [p.path for p in problems] == [bad]
    assert word in str(problems[0])
    assert bad.name in str(problems[0])
    assert good.exists()


def test_every_cut_is_noticed(tmp_path, make_result):
    path = save_result(tmp_path, make_result())
    whole = path.read_bytes()
    for length in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:length])
        results, problems = load_results(tmp_path)
        assert not results
        assert len(problems) == 1


def test_what_could_not_be_read_back_is_not_written(tmp_path, make_result):
    with pytest.raises(ReidkitError, match=r"metrics\.mAP"):
        save_result(tmp_path, make_result(mAP=float("nan")))
    assert not list(tmp_path.rglob("*.json"))


def test_a_later_reidkit_may_add_fields_of_the_same_format(tmp_path, make_result):
    path = save_result(tmp_path, make_result())
    _edit(path, mood="good")
    assert load_results(tmp_path)[1] == []


def test_no_folder_is_no_result(tmp_path):
    assert load_results(tmp_path / "absent") == ([], [])


def test_environment_is_json_and_has_no_path():
    text = json.dumps(environment(), allow_nan=False)
    assert {"software", "hardware", "commit"} <= set(json.loads(text))
    assert str(dataclasses.__file__) not in text
