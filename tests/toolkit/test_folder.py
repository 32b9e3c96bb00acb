"""Whose an output folder is."""

import json

import pytest

from reidkit.datasets import UsageError
from reidkit.toolkit.folder import claim, invalidate, is_own, note_own, refuse_other

OURS = {"format": 1, "build": "0123456789ab", "fingerprint": "f" * 64, "files": {}}


@pytest.mark.parametrize(
    "manifest",
    [
        {"name": "my thesis", "pages": 300},
        {"format": 1, "name": "of another tool", "files": {}},  # a dataset in our format, built by somebody else
        [],
        "no JSON",
    ],
)
def test_a_dataset_json_of_another_is_refused_and_kept(tmp_path, manifest):
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UsageError, match=r"dataset\.json' was not written by `reidkit build-dataset`"):
        refuse_other(tmp_path)
    # Also where a build was here before: somebody replaced its manifest.
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "build.json").write_text('{"tool": "reidkit build-dataset"}')
    with pytest.raises(UsageError, match="was not written by"):
        refuse_other(tmp_path)
    invalidate(tmp_path, "another key")
    assert (tmp_path / "dataset.json").read_text() == text


@pytest.mark.parametrize("version", [1, 2])
def test_a_built_dataset_is_ours_whatever_its_version(tmp_path, version):
    (tmp_path / "dataset.json").write_text(json.dumps(OURS | {"format": version}))
    refuse_other(tmp_path)
    invalidate(tmp_path, OURS["build"])
    assert (tmp_path / "dataset.json").is_file()
    invalidate(tmp_path, "another key")
    assert not (tmp_path / "dataset.json").exists()


def test_a_work_folder_of_another_tool_is_refused(tmp_path):
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "build.json").write_text('{"tool": "make"}')
    with pytest.raises(UsageError, match=r"something else \('\.work.build\.json'\)"):
        refuse_other(tmp_path)


def test_what_a_kill_at_the_very_beginning_leaves_is_ours(tmp_path):
    refuse_other(tmp_path / "absent")
    refuse_other(tmp_path)
    (tmp_path / ".work").mkdir()
    for name in ("lock", ".build.json.4711.tmp"):
        (tmp_path / ".work" / name).touch()
    refuse_other(tmp_path)


def test_only_leftovers_of_our_own_writing_are_removed(tmp_path):
    left = [tmp_path / ".dataset.json.4711.tmp", tmp_path / "crops" / ".a--b--0000.tar.12.tmp"]
    kept = [tmp_path / ".notes.tmp", tmp_path / "paper" / ".draft.99.tmp", tmp_path / "crops" / "mine.tmp"]
    for path in [*left, *kept]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with claim(tmp_path):
        pass
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_second_build_is_refused(tmp_path):
    with claim(tmp_path), pytest.raises(UsageError, match="Another build is at work"), claim(tmp_path):
        pass
    with claim(tmp_path):  # the first has ended
        pass


def test_own_files_are_known_by_their_content(tmp_path):
    path = tmp_path / "attributes.csv"
    first, second = (hashed(text) for text in ("one", "two"))
    note_own(tmp_path, path.name, first)
    path.write_text("one")
    assert is_own(tmp_path, path.name)
    note_own(tmp_path, path.name, second)  # a kill comes now, before the file is written
    assert is_own(tmp_path, path.name)
    path.write_text("two")
    assert is_own(tmp_path, path.name)
    path.write_text("mine")
    assert not is_own(tmp_path, path.name)
    assert not is_own(tmp_path, "absent.csv")


def hashed(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
