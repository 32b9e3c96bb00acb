"""Reads the `.npz` of features that `reidkit score` and `reidkit search` take.

features, pids, camids, is_query = read_features("my_features.npz")
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..datasets import UsageError

KEYS = ("features", "pids", "camids", "is_query")


def read_features(path: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The four arrays of an `.npz`: features [N, D], pids [N], camids [N], is_query [N]. Nothing is unpickled.

    Raises:
        UsageError: no such file, no .npz, a missing key, or an array that holds Python objects.
    """
    path = Path(path)
    wanted = f"It must be an .npz with {', '.join(KEYS)}, written by numpy.savez."
    if not path.is_file():
        raise UsageError(f"There is no file '{path}'. {wanted}")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(f"'{path}' is a single array. {wanted}")
        with archive:
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise UsageError(f"'{path}' lacks {', '.join(missing)}; it holds {found}. {wanted}")
            return tuple(_read(archive, key, path) for key in KEYS)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        raise UsageError(f"'{path}' is damaged or no .npz. {wanted}") from None


def _read(archive: np.lib.npyio.NpzFile, key: str, path: Path) -> np.ndarray:
    try:
        return archive[key]
    except ValueError as error:
        if "pickle" in str(error) or "object" in str(error).lower():
            raise UsageError(
                f"'{key}' in '{path}' holds Python objects, which reidkit doesn't unpickle. Save plain numbers."
            ) from None
        raise
