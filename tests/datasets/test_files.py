"""Files appear whole or not at all, and only what hinders the writing is called so."""

import errno
import os
from pathlib import Path

import polars as pl
import pytest

from reidkit.datasets import ReidkitError
from reidkit.datasets.files import append_durably, atomic_path, write_atomic, write_json


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert left(path.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"new": float("nan")})
    with pytest.raises(TypeError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text(temporary.write_text("half"))
    assert left(tmp_path) == ["a.json"]
    assert "old" in (tmp_path / "a.json").read_text()


def test_what_the_body_fails_to_read_is_not_called_unwritable(tmp_path):
    with pytest.raises(FileNotFoundError, match="source"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_bytes((tmp_path / "source").read_bytes())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReidkitError, match=r"^Cannot write '.*file/a\.txt'"):
        write_atomic(tmp_path / "file" / "a.txt", "text")


def test_a_name_that_no_file_system_takes(tmp_path):
    with pytest.raises(ReidkitError, match="Cannot write"):
        write_atomic(tmp_path / ("a" * 300), "text")


def test_a_renaming_that_fails(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ReidkitError, match="Cannot write"):
        write_atomic(tmp_path / "a.txt", "text")
    assert left(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        pl.exceptions.ComputeError(f"parquet: underlying IO error: {os.strerror(errno.ENOSPC)} (os error 28)"),
    ],
)
def test_a_full_disk(tmp_path, error):
    with pytest.raises(ReidkitError, match=r"Cannot write.*No space left"), atomic_path(tmp_path / "a"):
        raise error


def test_a_read_only_file_system_does_not_hide_the_message(tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    for name in ("unlink", "write_bytes"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(ReidkitError, match=r"Cannot write.*Read-only file system"):
        write_atomic(tmp_path / "a.html", "page")


@pytest.mark.parametrize("before", [None, b"one\n"])
def test_a_line_that_cannot_be_kept_leaves_the_file_as_it_was(tmp_path, monkeypatch, before):
    path = tmp_path / "log.jsonl"
    if before is not None:
        path.write_bytes(before)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(ReidkitError, match="No space left on device"):
            append_durably(path, b"two\n", "Free some space.")
    assert path.read_bytes() == (before or b"")
    append_durably(path, b"two\n", "Free some space.")
    assert path.read_bytes() == (before or b"") + b"two\n"
