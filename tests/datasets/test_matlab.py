"""Tables out of MATLAB files: as SciPy reads them where they are whole, and one sentence, never a crash, where not."""

import io
import sys

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from reidkit.datasets import UsageError
from reidkit.datasets.matlab import read_mat

TABLE = np.arange(40).reshape(10, 4)


def encoded(compressed=False, **tables):
    buffer = io.BytesIO()
    savemat(buffer, tables, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?"])
def test_every_type_of_number(tmp_path, compressed, dtype):
    table = TABLE.astype(dtype)
    (tmp_path / "x.mat").write_bytes(encoded(compressed, other={"a": "text"}, wanted=table, last=np.eye(3)))
    found = read_mat(tmp_path / "x.mat", "wanted")
    assert found.dtype == np.int64
    assert np.array_equal(found, table)


@pytest.mark.parametrize("table", [np.array([[7]]), np.array([3, 1, 2]), np.zeros((0, 4))])
def test_small_tables_and_none(tmp_path, table):
    savemat(tmp_path / "x.mat", {"q": table})
    assert np.array_equal(read_mat(tmp_path / "x.mat", "q"), np.atleast_2d(table))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1.5]), "holds 1.5"),
        (np.array([np.nan]), "holds nan"),
        (np.array([np.inf]), "holds inf"),
        (np.array([1e300]), "no index"),
        (np.array([2**63], np.uint64), "no index"),
        (np.array([1j]), "no table of numbers"),
        (np.zeros((2, 2, 2)), "no MATLAB table"),
        ({"a": 1}, "no table of numbers"),
        ("text", "no table of numbers"),
        (np.array([1, "a"], object), "no table of numbers"),
        (csc_matrix(np.eye(3)), "no table of numbers"),
    ],
)
def test_what_holds_no_whole_numbers(tmp_path, value, message):
    savemat(tmp_path / "x.mat", {"q": value})
    with pytest.raises(UsageError, match=message):
        read_mat(tmp_path / "x.mat", "q")


def test_another_table(tmp_path):
    savemat(tmp_path / "x.mat", {"q": TABLE})
    with pytest.raises(UsageError, match="no table 'query'"):
        read_mat(tmp_path / "x.mat", "query")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_damaged_byte_is_survived(tmp_path, compressed):
    """SciPy's reader ends the process at an unknown type, byte 176 here."""
    data = encoded(compressed, q=TABLE)
    path = tmp_path / "x.mat"
    sentences = []
    for at in range(len(data)):
        for value in {0, 1, 15, 255} - {data[at]}:
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                assert read_mat(path, "q").shape == TABLE.shape or at < 180  # the sizes themselves
            except UsageError as error:
                sentences.append(str(error))
    assert len(sentences) > 20
    assert all(map(str.isprintable, sentences))
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(UsageError):
            read_mat(path, "q")


def test_a_compressed_bomb(tmp_path, monkeypatch):
    (tmp_path / "x.mat").write_bytes(encoded(True, q=np.zeros((1000, 100))))
    monkeypatch.setattr("reidkit.datasets.matlab.LARGEST", 10_000)
    with pytest.raises(UsageError, match="was cut, or holds over"):
        read_mat(tmp_path / "x.mat", "q")


HDF5 = {
    "a group": lambda file: file.create_group("q"),
    "a text": lambda file: file.__setitem__("q", "abc"),
    "no number": lambda file: file.__setitem__("q", [np.nan]),
    "8 TiB": lambda file: file.create_dataset("q", (1 << 40,), dtype="f8", chunks=(1024,)),
    "another file's bytes": lambda file: file.create_dataset("q", (3,), dtype="u1", external=[("/etc/passwd", 0, 3)]),
    "another file's table": lambda file: file.__setitem__("q", h5py.ExternalLink("other.mat", "q")),
    "nothing": lambda file: None,
}


@pytest.mark.parametrize("what", HDF5)
def test_version_7_3_with_something_else(tmp_path, what):
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["q"] = [1, 2]
    with h5py.File(tmp_path / "x.mat", "w") as file:
        HDF5[what](file)
    with pytest.raises(UsageError, match=r"x\.mat"):
        read_mat(tmp_path / "x.mat", "q")


@pytest.mark.parametrize("start", [b"\x89HDF", b"MATLAB 7.3".ljust(512) + b"\x89HDF"])
def test_version_7_3_cut_and_without_h5py(tmp_path, monkeypatch, start):
    (tmp_path / "x.mat").write_bytes(start + b"\r\n\x1a\n")
    with pytest.raises(UsageError, match="no MATLAB table"):
        read_mat(tmp_path / "x.mat", "q")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'reidkit\[lsvid\]'"):
        read_mat(tmp_path / "x.mat", "q")
