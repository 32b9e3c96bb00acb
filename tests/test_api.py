"""The public names, and the session that docs/api.md shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import reidkit

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "api.md"


def test_every_name_is_there_and_in_the_document():
    words = DOCUMENT.read_text(encoding="utf-8")
    for name in reidkit.__all__:
        assert getattr(reidkit, name).__doc__
        assert f"`{name}" in words
    assert set(reidkit.__all__) <= set(dir(reidkit))
    with pytest.raises(AttributeError, match="it offers BuildSettings"):
        reidkit.nonsense  # noqa: B018


def test_importing_it_waits_for_nothing():
    code = "import sys, reidkit; print(sorted({'torch', 'polars', 'numpy', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_documents_session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.S | re.M)
    assert len(blocks) >= 8
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), session)
    assert len(session["results"]) == 2  # of train and of evaluate
    assert session["problems"] == []
    assert session["scores"].metrics == pytest.approx(session["result"].metrics)
    assert len(session["found"].matches) == 3
