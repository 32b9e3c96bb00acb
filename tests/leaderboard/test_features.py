"""The `.npz` of features: headers are judged before anything is unpacked, and nothing is executed."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from reidkit.datasets import UsageError
from reidkit.leaderboard import features
from reidkit.leaderboard.features import read_features, read_named_features

GOOD = {
    "features": np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 1]], np.float32),
    "pids": np.array([1, 1, 2, 2]),
    "camids": np.array([0, 1, 0, 1]),
    "is_query": np.array([True, False, True, False]),
}


def member(array, **header) -> bytes:
    """The array as in an .npz, under a header that may lie."""
    out = io.BytesIO()
    told = npy.header_data_from_array_1_0(array) | header
    npy.write_array_header_1_0(out, told)
    return out.getvalue() + array.tobytes()


def packed(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kinds", [None, np.array(["person", "person", "distractor", "person"])])
def test_what_was_written_is_read(tmp_path, save, kinds):
    arrays = GOOD if kinds is None else GOOD | {"kinds": kinds}
    save(tmp_path / "f.npz", **arrays, more=np.ones(3))
    file = read_features(tmp_path / "f.npz")
    for name, array in arrays.items():
        assert (getattr(file, name) == array).all()
        assert getattr(file, name).dtype == array.dtype
    assert kinds is not None or file.kinds is None
    assert file.outfits is None


def test_arrays_in_other_orders_are_read(tmp_path):
    np.savez(tmp_path / "f.npz", **(GOOD | {"features": np.asfortranarray(GOOD["features"].astype(">f8"))}))
    assert (read_features(tmp_path / "f.npz").features == GOOD["features"].astype(float)).all()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("features", {"shape": (2**42, 2)}),  # 32 TiB
        ("features", {"shape": (2**62, 2**62)}),
        ("pids", {"shape": (2**40,)}),
        ("features", {"shape": (3, 2)}),
        ("features", {"descr": "<f8"}),
        ("features", {"shape": (1,) * 80}),
    ],
)
def test_a_header_that_lies_is_seen_before_anything_is_read(tmp_path, name, header):
    members = {key: member(array, **(header if key == name else {})) for key, array in GOOD.items()}
    path = packed(tmp_path / "f.npz", **members)
    with pytest.raises(UsageError, match=r"f\.npz' is damaged"):
        read_features(path)


def zeros(shape, dtype=np.float32) -> bytes:
    """A member that declares a large array and holds it: zeros, which pack to a thousandth."""
    out = io.BytesIO()
    head = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(out, head)
    return out.getvalue() + bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"features": (2_000_000,)}, r"it must be \[N, D\]"),  # 8 MB that no label fits
        ({"pids": (1_000_000,)}, r"pids has shape \[1000000\]"),
        ({"features": (4, 1_000_000)}, r"packed to 0\.016 MB and would take 16 MB"),
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch, shapes, words):
    monkeypatch.setattr(features, "LARGE", 10_000_000)
    members = {key: member(array) for key, array in GOOD.items()}
    members |= {key: zeros(shape, GOOD[key].dtype) for key, shape in shapes.items()}
    path = packed(tmp_path / "f.npz", zipfile.ZIP_DEFLATED, **members)
    del members
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=words):
            read_features(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_directory_that_lies_of_a_members_size(tmp_path):
    """Without packing, the zip's directory may claim more bytes than the file has."""
    path = packed(tmp_path / "f.npz", **{key: member(array) for key, array in GOOD.items()})
    whole = path.read_bytes()
    size = len(member(GOOD["features"]))
    declared = (2**31).to_bytes(4, "little")
    start = whole.index(b"PK\x01\x02")
    at = whole.index(size.to_bytes(4, "little") * 2, start)
    path.write_bytes(whole[:at] + declared * 2 + whole[at + 8 :])
    with pytest.raises(UsageError, match="is damaged"):
        read_features(path)


def test_an_encrypted_member_is_damage(tmp_path):
    path = packed(tmp_path / "f.npz", **{key: member(array) for key, array in GOOD.items()})
    whole = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = whole.index(mark)
        whole[at + offset] |= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(UsageError, match="is damaged"):
        read_features(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"features": np.ones((1, 4), np.float32)}, "lacks ids"),
        ({"features": np.ones(4, np.float32), "ids": np.array(["a"])}, r"they must be floats \[N, D\]"),
        ({"features": np.ones((1, 4), int), "ids": np.array(["a"])}, r"they must be floats \[N, D\]"),
        ({"features": np.ones((1, 4)), "ids": np.array([7])}, r"texts \[N\]"),
        ({"features": np.ones((1, 4)), "ids": np.array(["a", "b"])}, r"texts \[N\]"),
        ({"features": np.full((1, 4), np.nan), "ids": np.array(["a\x1b[31m"])}, r"feature of 'a\\x1b\[31m'"),
    ],
)
def test_named_features_that_do_not_fit(tmp_path, arrays, words):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(UsageError, match=words):
        read_named_features(tmp_path / "f.npz")


def test_named_features(tmp_path):
    np.savez(tmp_path / "f.npz", features=GOOD["features"], ids=np.array(list("abcd")), pids=GOOD["pids"])
    read, ids = read_named_features(tmp_path / "f.npz")
    assert (read == GOOD["features"]).all()
    assert ids.tolist() == list("abcd")
