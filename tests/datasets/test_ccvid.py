"""CCVID on a made-up tree of its documented layout."""

import shutil

import pytest

from reidkit.datasets import UsageError
from reidkit.datasets.ccvid import read_ccvid

LISTS = {
    "train": [("session1/001_01", "001", "u0_l0_s0_c0_a0"), ("session3/001_12", "001", "u1_l0_s0_c0_a0")],
    "query": [("session1/076_02", "076", "u0_l0_s0_c0_a0")],
    "gallery": [("session1/076_03", "076", "u1_l1_s0_c0_a0"), ("session2/200_01", "200", "u0_l0_s0_c0_a0")],
}


@pytest.fixture
def root(tmp_path):
    for number, (name, rows) in enumerate(LISTS.items()):
        for folder, _, _ in rows:
            (tmp_path / "CCVID" / folder).mkdir(parents=True)
            for frame in range(number + 2):
                (tmp_path / "CCVID" / folder / f"{frame:05d}.jpg").touch()
        lines = "".join(f"{folder}\t{person}\t{clothes}\n" for folder, person, clothes in rows)
        (tmp_path / "CCVID" / f"{name}.txt").write_text(lines)
    return tmp_path


def test_lists_become_tracklets(root):
    data = read_ccvid(root)
    for name, tracklets in (("train", data.train), ("query", data.query), ("gallery", data.gallery)):
        assert [(t.id, t.identity, t.outfit) for t in tracklets] == [(f, int(p), c) for f, p, c in LISTS[name]]
    assert [t.camera for t in (*data.train, *data.query, *data.gallery)] == [1, 24, 2, 3, 1]  # 12 more in session 3
    assert [len(t.frames) for t in (*data.train, *data.query, *data.gallery)] == [2, 2, 3, 4, 4]
    assert list(data.query[0].frames.files) == [str(root / f"CCVID/session1/076_02/0000{i}.jpg") for i in range(3)]
    assert data.protocol == "ccvid"
    assert len(data.test) == 3


def test_without_the_folder_and_with_spaces(root):
    here = read_ccvid(root)
    for entry in (root / "CCVID").iterdir():
        shutil.move(entry, root / entry.name)
    (root / "CCVID").rmdir()
    (root / "query.txt").write_text("session1/076_02 076 u0_l0_s0_c0_a0")
    assert [t.id for t in read_ccvid(root).query] == [t.id for t in here.query]


@pytest.mark.parametrize("name", ["train.txt", "gallery.txt", "session1/076_02"])
def test_what_is_missing_is_named_with_the_layout(root, name):
    path = root / "CCVID" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError) as error:
        read_ccvid(root)
    assert name in str(error.value)
    assert "session3/" in str(error.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("session1/076_02 076", "Line 1 of .* not the folder of a tracklet"),
        ("../session1/076_02 076 u0", "not the folder"),
        ("session4/076_02 076 u0", "not the folder"),
        ("session1/076_02 p76 u0", "not the folder"),
        ("session1/001_01 001 u0", "name a tracklet twice"),
        ("", "is empty"),
    ],
)
def test_lines_that_are_none(root, line, sentence):
    (root / "CCVID" / "query.txt").write_text(line)
    with pytest.raises(UsageError, match=sentence):
        read_ccvid(root)


def test_no_folder(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        read_ccvid(tmp_path / "nowhere")
