"""MARS: the real tables where they are at hand, a made-up release otherwise."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from reidkit.datasets import UsageError
from reidkit.datasets.cards import counts, differences, read_card
from reidkit.datasets.mars import read_mars

TABLES = Path(__file__).resolve().parents[2] / ".." / "shared" / "protocols" / "mars"


def write_names(root, split, rows):
    """A name list that fits a table, its folders, and the first frame of each tracklet as an empty file."""
    names, nth = [], Counter()
    for first, last, pid, camera in rows:
        start = f"{'00-1' if pid == -1 else f'{pid:04d}'}C{camera}"
        nth[start] += 1
        assert first == len(names) + 1
        names += [f"{start}T{nth[start]:04d}F{i + 1:03d}.jpg" for i in range(last - first + 1)]
        folder = root / f"bbox_{split}" / names[first - 1][:4]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[first - 1]).touch()
    (root / f"{split}_name.txt").write_text("\n".join(names) + "\n")
    return names


TRAIN = [(1, 3, 2, 1), (4, 4, 2, 6), (5, 9, 1500, 3)]
TEST = [(1, 2, -1, 1), (3, 5, 0, 2), (6, 6, 7, 2), (7, 8, 7, 3), (9, 9, 7, 3)]


@pytest.fixture
def root(tmp_path):
    """Three training and five test tracklets; files directly in the root."""
    root = tmp_path / "MARS"
    root.mkdir()
    write_names(root, "train", TRAIN)
    write_names(root, "test", TEST)
    savemat(root / "tracks_train_info.mat", {"track_train_info": np.array(TRAIN, np.int32)})
    savemat(root / "tracks_test_info.mat", {"track_test_info": np.array(TEST, np.int32)})
    savemat(root / "query_IDX.mat", {"query_IDX": np.array([[3, 4]], np.uint16)})
    return root


def test_rows_become_tracklets(root):
    data = read_mars(root)
    assert (data.name, data.protocol, data.num_cameras) == ("mars", "mars", 6)
    assert [(t.identity, t.camera, t.kind, len(t.frames)) for t in data.train] == [
        (2, 0, "person", 3),
        (2, 5, "person", 1),
        (1500, 2, "person", 5),
    ]
    assert [(t.identity, t.camera, t.kind) for t in data.gallery] == [
        (-1, 0, "junk"),
        (0, 1, "distractor"),
        (7, 1, "person"),
        (7, 2, "person"),
        (7, 2, "person"),
    ]
    assert data.query == data.gallery[2:4]
    assert data.train[2].id == "1500C3T0001"
    assert data.train[2].frames.files[4] == f"{root}/bbox_train/1500/1500C3T0001F005.jpg"
    assert len({t.id for t in data.gallery}) == 5
    assert any("train_identities is 2" in line for line in differences(data, read_card("mars")))


def test_tables_in_info(root):
    expected = read_mars(root).fingerprint
    (root / "info").mkdir()
    for path in [*root.glob("*.mat"), *root.glob("*.txt")]:
        shutil.move(path, root / "info")
    assert read_mars(root).fingerprint == expected


REQUIRED = ["train_name.txt", "test_name.txt", "tracks_train_info.mat", "tracks_test_info.mat", "query_IDX.mat"]


@pytest.mark.parametrize("name", [*REQUIRED, "bbox_train", "bbox_test", "bbox_test/0007"])
def test_what_is_missing_is_named_with_the_layout(root, name):
    path = root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError) as error:
        read_mars(root)
    assert name in str(error.value)
    assert "bbox_train/, bbox_test/" in str(error.value)


def test_frames_that_were_not_unpacked_show_in_the_sample(root):
    (root / "bbox_test/0000/0000C2T0001F001.jpg").unlink()
    with pytest.raises(UsageError, match="0000C2T0001F001"):
        read_mars(root)


def test_files_that_do_not_fit_together(root):
    names = (root / "test_name.txt").read_text()
    (root / "test_name.txt").write_text(names.replace("0007C2", "0008C2"))
    with pytest.raises(UsageError, match="different releases"):
        read_mars(root)
    (root / "test_name.txt").write_text("\n".join(names.splitlines()[:-1]))
    with pytest.raises(UsageError, match="needs 9 names"):
        read_mars(root)
    (root / "test_name.txt").write_text(names)
    savemat(root / "query_IDX.mat", {"query_IDX": np.array([[3, 6]])})
    with pytest.raises(UsageError, match="tracklet 6 of 5"):
        read_mars(root)
    savemat(root / "query_IDX.mat", {"other": np.array([[3, 6]])})
    with pytest.raises(UsageError, match="no table 'query_IDX'"):
        read_mars(root)
    (root / "query_IDX.mat").write_bytes(b"not a table at all")
    with pytest.raises(UsageError, match="no MATLAB table"):
        read_mars(root)


def set_cell(root, name, key, place, value):
    table = loadmat(root / name)[key].astype(np.int64)
    table[place] = value
    savemat(root / name, {key: table})


@pytest.mark.parametrize(
    ("name", "key", "place", "value", "message"),
    [
        ("tracks_test_info.mat", "track_test_info", (4, 1), 99, "needs 99 names"),
        ("tracks_test_info.mat", "track_test_info", (0, 0), 0, "needs 9 names"),
        ("tracks_test_info.mat", "track_test_info", (0, 0), -(2**40), "needs 9 names"),
        ("tracks_test_info.mat", "track_test_info", (3, 0), 1, "share images"),
        ("tracks_test_info.mat", "track_test_info", (2, 2), -7, "pid -7"),
        ("tracks_test_info.mat", "track_test_info", (2, 3), 0, "camera 0"),
        ("tracks_test_info.mat", "track_test_info", (2, 3), 10, "camera 10"),
        ("tracks_test_info.mat", "track_test_info", (2, 2), 2**40, "different releases"),
        ("tracks_train_info.mat", "track_train_info", (0, 2), -1, "pid -1"),  # nobody trains on junk
        ("tracks_train_info.mat", "track_train_info", (0, 2), 0, "pid 0"),
        ("query_IDX.mat", "query_IDX", (0, 0), 0, "tracklet 0 of 5"),
        ("query_IDX.mat", "query_IDX", (0, 0), 4, "query 4 more than once"),
        ("query_IDX.mat", "query_IDX", (0, 0), 1, "tracklet 1 as a query, which is junk"),
        ("query_IDX.mat", "query_IDX", (0, 0), 2, "tracklet 2 as a query, which is distractor"),
    ],
)
def test_a_table_with_a_cell_that_cannot_be(root, name, key, place, value, message):
    set_cell(root, name, key, place, value)
    with pytest.raises(UsageError, match=message) as error:
        read_mars(root)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("table", [np.zeros((0, 0)), np.zeros((0, 4)), np.ones((2, 5)), np.ones(3)])
def test_a_table_of_another_shape(root, table):
    savemat(root / "tracks_test_info.mat", {"track_test_info": table})
    with pytest.raises(UsageError):
        read_mars(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "needs 9 names"),
        (b"0001C1T0001F001.jpg\xff\n", "no UTF-8 at byte 19"),
        (b"../../../etc/passwd\n", "no name of an image"),
        (b"0001/../../../../etc/passwd\n", "no name of an image"),
        (b"0001C1T0001F001.jpg\x00\n", "control characters"),
        (b"0001C1T0001F001.jpg\x1b[31m\n", "control characters"),
    ],
)
def test_a_name_list_that_is_damaged(root, content, message):
    (root / "test_name.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        read_mars(root)
    assert str(error.value).isprintable()


@pytest.mark.skipif(not TABLES.is_dir(), reason="the official MARS tables are not here (../shared/protocols/mars)")
def test_the_official_tables(tmp_path):
    """Counts of specs/protocols.md, which are MARS' own."""
    root = tmp_path / "mars"
    (root / "info").mkdir(parents=True)
    for path in TABLES.glob("*.mat"):
        shutil.copy(path, root / "info")
    for split in ("train", "test"):
        rows = loadmat(TABLES / f"tracks_{split}_info.mat")[f"track_{split}_info"].tolist()
        write_names(root, split, rows)
        shutil.move(root / f"{split}_name.txt", root / "info")
    data = read_mars(root)

    assert differences(data, read_card("mars")) == []
    assert counts(data)["test_tracklets"] == len(data.gallery) == 12180
    lengths = [len(t.frames) for t in data.train]
    assert (sum(lengths), min(lengths), max(lengths)) == (509_914, 5, 900)
    assert round(sum(lengths) / len(lengths), 2) == 61.45
    assert sum(len(t.frames) for t in data.gallery) == 681_089
    for kind, tracklets, frames in (("junk", 870, 23_380), ("distractor", 3248, 147_743)):
        of_kind = [t for t in data.gallery if t.kind == kind]
        assert (len(of_kind), sum(len(t.frames) for t in of_kind)) == (tracklets, frames)
    assert len({(t.identity, t.camera) for t in data.query}) == 1980
    assert len({t.identity for t in data.query}) == 626
    assert {t.kind for t in data.query} == {"person"}
    in_gallery = {(t.id, t.identity) for t in data.gallery}
    assert all((t.id, t.identity) in in_gallery for t in data.query)
    assert {t.identity for t in data.train}.isdisjoint({t.identity for t in data.gallery})
    assert data.num_cameras == 6
