"""`dataset.json`: what it may say, and one sentence for whatever else it says."""

import json
import os

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.files import lies_below
from reidkit.datasets.manifest import Division, as_manifest, read_manifest
from reidkit.datasets.own import read_dataset

WHOLE = {
    "format": 1,
    "name": "cup final",
    "protocol": "single-camera-views",
    "counts": {"tracklets": 3},
    "losses": {"frames_lost": 0},
    "split": {"by": "event", "test_share": 0.5, "seed": 0},
    "scores": {"midf1": 0.6, "hota": 0.5, "idf1": None, "sources": 6},
    "linking": {"final": {"threshold": 0.2}},
    "settings": {"footage": {"stride": 0.2}},
    "sources": [{"event": "final", "camera": "east", "file": "east.mp4", "sha256": "ab", "seconds": 3, "boxes": 4}],
    "notes": ["Two views."],
    "files": {"crops/a.tar": "0" * 64},
    "fingerprint": "ef",
    "build": "abc",
}


def save(folder, text):
    (folder / "dataset.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_what_a_build_says(tmp_path):
    manifest = read_manifest(save(tmp_path, json.dumps(WHOLE)))
    assert manifest == as_manifest(WHOLE, tmp_path)
    assert (manifest.name, manifest.protocol, manifest.counts) == ("cup final", "single-camera-views", {"tracklets": 3})
    assert manifest.split == Division("event", 0.5, 0)
    assert (manifest.sources[0].camera, manifest.sources[0].seconds) == ("east", 3.0)
    assert manifest.notes == ("Two views.",)


def test_scores_of_an_older_build_are_those_of_raw_tracklets(tmp_path):
    older = {"format": 1, "name": "cup", "scores": {"hota": 0.3, "idf1": 0.29, "link_recall": 0.9}}
    manifest = read_manifest(save(tmp_path, json.dumps(older)))
    assert manifest.scores == {"raw_hota": 0.3, "raw_idf1": 0.29, "link_recall": 0.9}


def test_what_it_may_leave_out(tmp_path):
    (tmp_path / "my set").mkdir()
    manifest = read_manifest(save(tmp_path / "my set", '{"format": 1, "scores": null, "split": null}'))
    assert (manifest.name, manifest.protocol) == ("my set", "video-reid")
    assert (manifest.scores, manifest.split, manifest.sources, manifest.files) == (None, None, (), {})


OTHER = {
    "name": [3, None, ["a"]],
    "protocol": [3, {"a": 1}, "../x", "a\x1b[31m"],
    "counts": [3, [], {"a": "b"}, {"a": -1}, {"a": 1.5}, {"a": None}],
    "losses": [[1], {"a": {}}],
    "split": ["event", [], {"by": 3}, {"test_share": "half"}],
    "scores": [[], 0.5, {"hota": {"a": 1}}],
    "sources": [{}, ["a"], [{"seconds": "long"}], [{"scores": [1]}]],
    "notes": ["text", [1], {"a": 1}],
    "files": [[], "a", {"a": 3}, {"a": "0"}, {"/etc/passwd": "0" * 64}, {"../x": "0" * 64}, {"a" * 300: "0" * 64}],
    "fingerprint": [3],
    "format": ["1", 1.5, True, None],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OTHER.items() for value in values])
def test_a_value_of_another_form_is_named(tmp_path, key, value):
    save(tmp_path, json.dumps(WHOLE | {key: value}))
    with pytest.raises(UsageError, match=r"dataset\.json|name of a protocol") as error:
        read_manifest(tmp_path)
    sentence = str(error.value)
    assert sentence.isprintable()
    assert key in sentence or key in ("protocol", "files")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1]",
        b'{"format": 1, "name": "\xff\xfe"}',
        b'{"format": 1, "name": "\\ud800"}',
        b'{"format": 1, "scores": {"hota": NaN}}',
        b'{"format": 1, "scores": {"hota": 1e400}}',
        b'{"format": 1, "notes": ' + b"[" * 100_000,
        b'{"format": 1, "other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json(tmp_path, text):
    save(tmp_path, text)
    with pytest.raises(UsageError, match=r"dataset\.json") as error:
        read_manifest(tmp_path)
    assert str(error.value).isprintable()


# Fault 23: a run would write its weights and logs there.
@pytest.mark.parametrize(
    "name",
    ["/tmp/elsewhere", "../../elsewhere", "..", ".hidden", "complexity", "a/b", "a\\b", "a\nb", "C:x", "a" * 101],
)
def test_a_name_that_would_write_elsewhere(tmp_path, write_own, name):
    root = write_own(tmp_path / "x", manifest={"format": 1, "name": name})
    with pytest.raises(UsageError, match="can't be the name of a dataset"):
        read_dataset(root)


def test_the_folders_own_name_is_checked_too(tmp_path, write_own):
    root = write_own(tmp_path / ".hidden", manifest={"format": 1})
    with pytest.raises(UsageError, match=r"'\.hidden' can't be the name of a dataset"):
        read_dataset(root)


def test_a_pipe_a_folder_and_a_path_too_long(tmp_path):
    os.mkfifo(tmp_path / "dataset.json")
    with pytest.raises(UsageError, match="no plain file"):
        read_manifest(tmp_path)
    (tmp_path / "other" / "dataset.json").mkdir(parents=True)
    with pytest.raises(UsageError, match="no plain file"):
        read_manifest(tmp_path / "other")
    for path in ("a" * 300, "a/" * 3000, "a\0b"):
        with pytest.raises(UsageError, match="There is no folder"):
            read_manifest(path)


def test_a_builder_cannot_write_what_nobody_reads(tmp_path):
    with pytest.raises(UsageError, match=r"can't be written.*notes"):
        as_manifest(WHOLE | {"notes": [1]}, tmp_path)
    with pytest.raises(UsageError, match="can't be the name"):
        as_manifest(WHOLE | {"name": "../x"}, tmp_path)


def test_files_below_a_folder():
    assert all(map(lies_below, ["a", "a/b.tar", "a b/ü", "crops/cam:1.tar", "..a/b..", "a" * 255]))
    assert not any(
        map(lies_below, ["", ".", "/a", "//a/b", "a/../b", "..", "..\\a", "C:\\a", "C:a", "\\a", "a\0b", "a" * 256])
    )
