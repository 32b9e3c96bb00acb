"""LS-VID on a made-up tree."""

import shutil

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from reidkit.datasets import UsageError
from reidkit.datasets.lsvid import read_lsvid

# path, identity, camera, frames
TRAIN = [("tracklet_train/0001/0001_0001", 0, 3, 4), ("tracklet_train/0001/0001_0002", 0, 15, 2)]
TEST = [
    ("tracklet_test/0900/0900_0001", 41, 1, 2),
    ("tracklet_test/0900/0900_0010", 41, 2, 3),
    ("tracklet_test/0901/0901_0001", 42, 2, 1),
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "list_sequence").mkdir()
    (tmp_path / "data").mkdir()
    for split, rows in (("train", TRAIN), ("test", TEST)):
        for path, _, camera, frames in rows:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            for frame in range(frames):
                (tmp_path / f"{path}_{camera:02d}_{frame * 3:07d}.jpg").touch()
        lines = "".join(f"{path} {identity}\n" for path, identity, _, _ in rows)
        (tmp_path / "list_sequence" / f"list_seq_{split}.txt").write_text(lines)
    savemat(tmp_path / "data" / "info_test.mat", {"query": np.array([[1, 3]])})
    return tmp_path


def test_lists_become_tracklets(root):
    data = read_lsvid(root)
    assert [(t.identity, t.camera, len(t.frames)) for t in data.train] == [(0, 2, 4), (0, 14, 2)]
    assert [(t.identity, t.camera, len(t.frames)) for t in data.gallery] == [(41, 0, 2), (41, 1, 3), (42, 1, 1)]
    assert data.query == (data.gallery[0], data.gallery[2])
    assert (data.protocol, data.num_cameras) == ("ls-vid", 15)
    assert all(t.kind == "person" for t in data.train)  # identity 0 is a person here
    assert list(data.train[0].frames.files) == [str(root / f"{TRAIN[0][0]}_03_{3 * i:07d}.jpg") for i in range(4)]


def test_the_other_place_of_the_query_table(root):
    (root / "test").mkdir()
    shutil.move(root / "data", root / "test" / "data")
    assert len(read_lsvid(root).query) == 2


@pytest.mark.parametrize(
    "name", ["list_sequence/list_seq_train.txt", "data/info_test.mat", "tracklet_train", "tracklet_test/0901"]
)
def test_what_is_missing_is_named_with_the_layout(root, name):
    path = root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UsageError) as error:
        read_lsvid(root)
    assert name in str(error.value)
    assert "tracklet_train/ and tracklet_test/" in str(error.value)


def test_lines_and_indices_that_make_no_sense(root):
    savemat(root / "data" / "info_test.mat", {"query": np.array([[4]])})
    with pytest.raises(UsageError, match="tracklet 4 of 3"):
        read_lsvid(root)
    (root / "list_sequence/list_seq_train.txt").write_text("tracklet_train/0001/0001_0001\n")
    with pytest.raises(UsageError, match="Line 1 of"):
        read_lsvid(root)


def test_a_tracklet_with_two_cameras(root):
    (root / "tracklet_train/0001/0001_0001_04_0000000.jpg").touch()
    with pytest.raises(UsageError, match="one camera"):
        read_lsvid(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.array([[1, 1]])}, "query 1 more than once"),
        ({"query": np.array([[0, 1]])}, "tracklet 0 of 3"),
        ({"query": np.array([[-1]])}, "tracklet -1 of 3"),
        ({"query": np.array([[1.5]])}, "holds 1.5"),
        ({"other": np.array([[1]])}, "no table 'query'"),
    ],
)
def test_query_indices_that_cannot_be(root, change, message):
    savemat(root / "data" / "info_test.mat", change)
    with pytest.raises(UsageError, match=message):
        read_lsvid(root)


@pytest.mark.parametrize(
    "line",
    [
        "tracklet_test/0900/0900_0001",
        "tracklet_test/0900/0900_0001 x",
        "tracklet_test/0900/0900_0001 \u00b2",  # a digit to Python, no number
        f"tracklet_test/0900/0900_0001 {'9' * 5000}",
        "tracklet_test/0900/0900_0001 -1",
        "../../etc/0900_0001 1",
        "/etc/0900_0001 1",
        f"{'a' * 300}/0900_0001 1",
        "a\x00b/0900_0001 1",
        "a\x1b[31m 1",
    ],
)
def test_a_line_that_is_none(root, line):
    (root / "list_sequence/list_seq_test.txt").write_text(f"{line}\n")
    with pytest.raises(UsageError, match=r"list_seq_test\.txt") as error:
        read_lsvid(root)
    assert str(error.value).isprintable()


def test_lists_that_are_damaged(root):
    path = root / "list_sequence/list_seq_test.txt"
    path.write_text(path.read_text() * 2)
    with pytest.raises(UsageError, match="lists a tracklet twice"):
        read_lsvid(root)
    path.write_bytes(b"tracklet_test/\xff/0900_0001 1\n")
    with pytest.raises(UsageError, match="no UTF-8 at byte 14"):
        read_lsvid(root)
    path.write_text("")
    with pytest.raises(UsageError, match="tracklet 1 of 0"):
        read_lsvid(root)


def test_frames_of_no_number_for_a_camera(root):
    for path in (root / "tracklet_test/0901").iterdir():
        path.rename(path.with_name(path.name.replace("_02_", "_\u00b2_")))
    with pytest.raises(UsageError, match="one camera"):
        read_lsvid(root)


def test_the_query_table_in_the_authors_layout(root):
    """MATLAB 7.3: its own header before the HDF5, numbers as float64, columns first."""
    expected = [t.id for t in read_lsvid(root).query]
    with h5py.File(root / "data/info_test.mat", "w", userblock_size=512) as file:
        file["query"] = np.array([[1.0], [3.0]])
        file["query"].attrs["MATLAB_class"] = np.bytes_("double")
    with open(root / "data/info_test.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    assert [t.id for t in read_lsvid(root).query] == expected == [TEST[0][0], TEST[2][0]]
