"""LS-VID on a made-up tree."""

import importlib.util
import shutil

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


@pytest.mark.skipif(importlib.util.find_spec("h5py") is not None, reason="h5py is installed")
@pytest.mark.parametrize("start", [b"\x89HDF", b"MATLAB 7.3".ljust(512, b" ") + b"\x89HDF"])
def test_a_matlab_7_3_table_asks_for_h5py(root, start):
    (root / "data/info_test.mat").write_bytes(start + b"\r\n\x1a\n")
    with pytest.raises(UsageError, match="pip install h5py"):
        read_lsvid(root)


def test_a_matlab_7_3_table_is_read_where_h5py_is(root):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(root / "data/info_test.mat", "w") as file:
        file["query"] = np.array([[1.0], [3.0]])  # columns first, as MATLAB writes
    assert [t.id for t in read_lsvid(root).query] == [TEST[0][0], TEST[2][0]]
