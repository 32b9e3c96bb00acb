"""`benchmarks/review.py`: a killed server loses nothing, and the scripted reviewer ends with what is true."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def benchmark(monkeypatch):
    folder = ROOT / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("review_benchmark", folder / "review.py")  # "review" is these tests
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def known(root):
    """The set with its truth: persons 1, 2, 3, who are a and b; d, e and g; f. c is a false box in identity 8."""
    truth = {"a": 1, "b": 1, "d": 2, "e": 2, "g": 2, "f": 3}
    table = pl.read_parquet(root / "tracklets.parquet")
    truths = pl.Series("truth", [truth.get(id_) for id_ in table["id"]], dtype=pl.Int64)
    table.with_columns(truths).write_parquet(root / "tracklets.parquet")
    return root


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_kill_loses_nothing_that_was_acknowledged(benchmark, root, kills):
    acknowledged, lines = benchmark.kill_rounds(root, kills)
    assert 0 < acknowledged <= lines <= acknowledged + kills


def test_both_reviewers_end_with_the_truth(benchmark, known):
    """g lies in identity 6 with f: it leaves for d and e; c becomes junk."""
    truth = benchmark.Truth(known)
    for choose, relink in benchmark.WAY.values():
        found = benchmark.review(known, truth, choose, relink=relink)
        assert found["wrong"] > 0
        assert found["left_wrong"] == 0
        assert found["to_f1"] <= found["to_perfection"] <= 8


def test_a_second_box_is_nobody(benchmark, known):
    """h, made a box on person 2 at the same time and in the same camera as e, must be no person's."""
    table = pl.read_parquet(known / "tracklets.parquet")
    two = pl.when(pl.col("id") == "h").then(2).otherwise("truth")
    table.with_columns(truth=two).write_parquet(known / "tracklets.parquet")
    truth = benchmark.Truth(known)
    assert "h" not in truth.person
    right = {"a": 3, "b": 3, "c": -1, "d": 5, "e": 5, "g": 5, "f": 6, "h": -1, "i": -1}
    assert truth.wrong(right) == 0
    assert truth.f1(right) == 1.0
    assert truth.wrong(right | {"h": 5}) == 1
    assert truth.wrong(right | {"f": 5}) == 4
