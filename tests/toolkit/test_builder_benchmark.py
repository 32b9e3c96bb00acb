"""`benchmarks/builder.py` and its ladder keep one file of results; figures aren't judged."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def builder(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("builder")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "builder.md")
    return module


def test_a_run_replaces_its_own_rows_only(builder):
    def whole(title, value):
        return (title, "a + b", *[value] * len(builder.KEYS), *[value] * len(builder.COUNTS))

    def rung(title, name, value):
        return (title, name, *[value] * (len(builder.ladder.HEADER) - 2))

    builder.write([whole("sports", "1.0"), whole("dance", "2.0")], is_ladder=False)
    builder.write([rung("sports", "true tracks", "3.0"), rung("sports", "the build", "4.0")], is_ladder=True)
    builder.write([rung("dance", "true tracks", "-"), rung("dance", "the build", "6.0")], is_ladder=True)
    builder.write([whole("dance", "7.0")], is_ladder=False)
    text = builder.RESULTS.read_text()
    rows = [builder._cells(line) for line in text.splitlines() if line.startswith("|")]
    assert [row[:3] for row in rows] == [
        ("set", "detector + embedder", "mIDF1"),
        ("---", "---", "---"),
        ("dance", "a + b", "7.0"),
        ("sports", "a + b", "1.0"),
        ("set", "rung", "IDF1"),
        ("---", "---", "---"),
        ("dance", "true tracks", "-"),
        ("dance", "the build", "6.0"),
        ("sports", "true tracks", "3.0"),
        ("sports", "the build", "4.0"),
    ]
    assert text.count("Where people are lost") == text.count("Machine of the last run") == 1


def test_several_sets_give_a_mean_and_the_worst_of_each_column(builder):
    def figures(share, identities, junk):
        of = dict.fromkeys(builder.KEYS.values(), share)
        return {**of, "HOTA": None, "identities": identities, "true": 10, "tracklets": 50, "junk": junk, "seconds": 7.0}

    mean, worst = builder.summary("dance", "a + b", [figures(0.9, 12, 3), figures(0.8, 8, 1), figures(0.7, 10, 2)])
    assert mean[:5] == ("dance, mean of 3", "a + b", "80.0", "80.0", "-")
    assert worst[:5] == ("dance, worst of 3", "a + b", "70.0", "70.0", "-")
    assert mean[-4:] == ("1.00", "50", "2", "7")
    assert worst[-4:] == ("0.80", "50", "3", "7"), "8 of 10 is farther off than 12 of 10"
    row = builder.row("set", "a + b", figures(0.5, 12, 3))
    assert len(row) == len(mean) == len(worst)
    assert row[-4:] == ("12 / 10", "50", "3", "7")
