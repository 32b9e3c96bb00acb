"""Tables of whole numbers out of MATLAB files, as the public datasets give theirs out.

    rows = read_mat(root / "tracks_test_info.mat", "track_test_info")      # int64 [rows, columns]

Files of versions 5 to 7 are read here, after MathWorks' "MAT-File Level 5 File Format": SciPy's reader ends the whole
process where a damaged file names an unknown type. Version 7.3 is HDF5, and h5py reads it (the extra `lsvid`).
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import UsageError
from .schema import LARGEST, read_bytes
from .text import printable

FIX = "Fetch it again."
HEADER = 128  # bytes
_COMPRESSED, _MATRIX = 15, 14
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64; below are cells, structures, objects, text, sparse ones
_COMPLEX = 0x0800


def read_mat(path: Path, key: str) -> np.ndarray:
    """The table `key` of a MATLAB file, as int64 [rows, columns].

    Raises:
        UsageError: the file can't be read, has no such table, the table holds something else than whole numbers, or
            the file is of version 7.3 and h5py is not installed.
    """
    data = read_bytes(path, FIX)
    try:
        # HDF5 carries its signature at byte 0, or at 512 behind MATLAB's own header.
        table = _hdf5(path, key) if b"\x89HDF" in (data[:4], data[512:516]) else _level5(data, key)
        return _whole_numbers(table)
    except KeyError:
        raise UsageError(f"'{path}' has no table '{key}'; it is another file, so fetch the right one.") from None
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError, struct.error, zlib.error) as error:
        raise UsageError(f"'{path}' is no MATLAB table ({printable(str(error))[:200]}). {FIX}") from None


def _whole_numbers(table: np.ndarray) -> np.ndarray:
    if table.dtype.kind not in "biuf" or table.ndim > 2:
        raise ValueError("it is no table of numbers")
    odd = ~((table == np.rint(table)) & (np.abs(table) < 2.0**53)) if table.dtype.kind == "f" else table > 2**63 - 1
    if odd.any():
        raise ValueError(f"it holds {table[odd][0]}, which is no index")
    return np.atleast_2d(table.astype(np.int64))


def _level5(data: bytes, key: str) -> np.ndarray:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:HEADER])
    if order is None:
        raise ValueError("it has no MATLAB header")
    for code, body in _elements(data[HEADER:], order, padded=False):
        if code == _COMPRESSED:
            unpacker = zlib.decompressobj()
            body = unpacker.decompress(body, LARGEST)
            if not unpacker.eof:
                raise ValueError("it was cut, or holds over 1 GiB")
            code, body = next(_elements(body, order), (0, b""))
        parts = list(_elements(body, order)) if code == _MATRIX else []
        if len(parts) >= 3 and parts[2][1] == key.encode():
            return _matrix(parts, order)
    raise KeyError(key)


def _matrix(parts: list[tuple[int, bytes]], order: str) -> np.ndarray:
    """Of the elements of a matrix: flags, sizes, name, values."""
    (flags,) = struct.unpack(f"{order}I", parts[0][1][:4])
    if flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX or len(parts) != 4:
        raise ValueError("it is no table of numbers")
    shape = np.frombuffer(parts[1][1], f"{order}i4").tolist()
    code, values = parts[3]
    if code not in _NUMBERS:
        raise ValueError(f"it names a type {code} that MATLAB has not")
    table = np.frombuffer(values, f"{order}{_NUMBERS[code]}")
    if len(shape) != 2 or min(shape) < 0 or math.prod(shape) != len(table):
        raise ValueError(f"it holds {len(table)} numbers for a table of {' x '.join(map(str, shape))}")
    return table.reshape(shape, order="F")


def _elements(data: bytes, order: str, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each data element; at the top level, elements are not padded to eight bytes."""
    at = 0
    while at + 8 <= len(data):
        code, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if code >> 16:  # up to four bytes stand inside the tag
            code, size, start = code & 0xFFFF, code >> 16, at + 4
        if size > len(data) - start or (start == at + 4 and size > 4):
            raise ValueError("it was cut")
        yield code, data[start : start + size]
        at = max(at + 8, start + size)
        if padded:
            at += -at % 8
    if not padded and at < len(data):
        raise ValueError("it was cut")


def _hdf5(path: Path, key: str) -> np.ndarray:
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"'{path}' is a MATLAB 7.3 (HDF5) file, which needs h5py: pip install 'reidkit[lsvid]', or save it with "
            "-v7 in MATLAB."
        ) from None
    with h5py.File(path, "r") as file:
        table = file[key]
        if not isinstance(table, h5py.Dataset) or table.file != file or table.external or table.is_virtual:
            raise ValueError("it is no table of its own")
        if table.dtype.kind not in "biuf" or table.size * table.dtype.itemsize > LARGEST:
            raise ValueError("it is no table of numbers")
        return np.asarray(table[()]).T  # MATLAB stores columns first
