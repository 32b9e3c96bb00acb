"""Reads the `.npz` of features that `reidkit score` and `reidkit search` take.

    file = read_features("my_features.npz")                            # for `ranking.score`
    features, ids = read_named_features("features_by_embed.npz")

Nothing is unpickled, and nothing is unpacked before the arrays' headers are found to be sound.
"""

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..datasets import UsageError
from ..datasets.text import printable
from .inputs import check_layout

KEYS = ("features", "pids", "camids", "is_query")
NAMED = ("features", "ids")
LARGE, DENSE = (
    1 << 28,
    100,
)  # an array of that many bytes or more that was packed to less than a hundredth is no features


@dataclass(frozen=True)
class FeatureFile:
    """Features and labels of all test tracklets, each of them one row; `kinds`, `outfits` None where there are none."""

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    is_query: np.ndarray
    kinds: np.ndarray | None = None
    outfits: np.ndarray | None = None


def read_features(path: Path | str) -> FeatureFile:
    """features [N, D], pids [N], camids [N], is_query [N] and, where they are there, kinds, outfits [N] of an `.npz`.

    Raises:
        UsageError: no such file, no .npz, a missing key, arrays that don't fit together, are cut, or hold Python
            objects.
    """
    with _Archive(Path(path), f"It must be an .npz with {', '.join(KEYS)}, written by numpy.savez.") as archive:
        names = (*KEYS, *(name for name in ("kinds", "outfits") if name in archive.names))
        check_layout(**archive.layout(names))
        return FeatureFile(**archive.read(names))


def read_named_features(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """features [N, D] and ids [N] of the tracklets, as `reidkit embed` writes them.

    Raises:
        UsageError: as `read_features`; or a feature that is not finite.
    """
    wanted = f"It must be an .npz with {', '.join(NAMED)}, as `reidkit embed` writes it."
    with _Archive(Path(path), wanted) as archive:
        features, ids = archive.layout(NAMED).values()
        if features.ndim != 2 or features.dtype.kind != "f" or ids.shape != features.shape[:1] or ids.dtype.kind != "U":
            raise UsageError(
                f"'{path}' has features {list(features.shape)} of {features.dtype} and ids {list(ids.shape)} of "
                f"{ids.dtype}; they must be floats [N, D] and texts [N]."
            )
        features, ids = archive.read(NAMED).values()
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        name = printable(str(ids[bad[0]]))
        raise UsageError(f"'{path}' has NaN or infinity in the feature of '{name}'. Make it again.")
    return features, ids


class _Archive:
    """An open `.npz`; what is wrong with it becomes one sentence that ends in `wanted`."""

    def __init__(self, path: Path, wanted: str):
        self.path, self.wanted = path, wanted

    def __enter__(self) -> "_Archive":
        if not self.path.is_file():
            raise UsageError(f"There is no file '{self.path}'. {self.wanted}")
        try:
            with open(self.path, "rb") as file:
                if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                    raise UsageError(f"'{self.path}' is a single array. {self.wanted}")
            self.zip = zipfile.ZipFile(self.path)
        except _DAMAGE as error:
            raise self._damaged(error) from None
        self.names = {info.filename.removesuffix(".npy"): info for info in self.zip.infolist()}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.zip.close()
        if isinstance(error, _DAMAGE):
            raise self._damaged(error) from None

    def _damaged(self, error: BaseException) -> UsageError:
        return UsageError(
            f"'{self.path}' is damaged or no .npz ({printable(str(error))[:100] or 'cut'}). {self.wanted}"
        )

    def layout(self, names: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Arrays of the declared shapes and types, of which only the headers were read: all their entries are one."""
        missing = [name for name in names if name not in self.names]
        if missing:
            found = printable(", ".join(self.names)) or "nothing"
            raise UsageError(f"'{self.path}' lacks {', '.join(missing)}; it holds {found}. {self.wanted}")
        return {name: self._header(name) for name in names}

    def _header(self, name: str) -> np.ndarray:
        info = self.names[name]
        with self.zip.open(info) as file:
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"{name} is of .npy version {version}")
            shape, _, dtype = _HEADERS[version](file)
            start = file.tell()
        if dtype.hasobject:
            raise UsageError(
                f"'{name}' in '{self.path}' holds Python objects, which reidkit doesn't unpickle. Save plain numbers."
            )
        count = 1
        for size in shape:
            count *= size  # of Python's integers, which don't overflow
        if count * dtype.itemsize != info.file_size - start or info.compress_size > self.path.stat().st_size:
            raise ValueError(f"{name} declares {list(shape)} of {dtype}, which it doesn't hold")
        if info.file_size > LARGE and info.file_size > DENSE * info.compress_size:
            raise UsageError(
                f"'{name}' in '{self.path}' is packed to {info.compress_size / 1e6:.2g} MB and would take "
                f"{info.file_size / 1e6:.0f} MB; no features are so much alike. {self.wanted}"
            )
        return np.broadcast_to(np.zeros((), dtype), shape)

    def read(self, names: Sequence[str]) -> Mapping[str, np.ndarray]:
        """The arrays themselves."""
        found = {}
        for name in names:
            with self.zip.open(self.names[name]) as file:
                found[name] = npy.read_array(file, allow_pickle=False)
        return found


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
