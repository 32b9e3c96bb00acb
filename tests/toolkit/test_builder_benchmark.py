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
