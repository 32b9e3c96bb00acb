"""Reads the `.npz` of features that `reidkit score` and `reidkit search` take.

features, pids, camids, is_query = read_features("my_features.npz")
features, ids = read_named_features("features_by_embed.npz")
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..datasets import UsageError

KEYS = ("features", "pids", "camids", "is_query")
NAMED = ("features", "ids")


def read_features(path: Path | str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The four arrays of an `.npz`: features [N, D], pids [N], camids [N], is_query [N]. Nothing is unpickled.

    Raises:
        UsageError: no such file, no .npz, a missing key, or an array that holds Python objects.
    """
    return _arrays(Path(path), KEYS, "written by numpy.savez")


def read_named_features(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """features [N, D] and ids [N] of the tracklets, as `reidkit embed` writes them.

    Raises:
        UsageError: as `read_features`; or arrays that don't fit together, or a feature that is not finite.
    """
    features, ids = _arrays(Path(path), NAMED, "as `reidkit embed` writes it")
    if features.ndim != 2 or features.dtype.kind != "f" or ids.shape != features.shape[:1]:
        raise UsageError(
            f"'{path}' has features {list(features.shape)} of {features.dtype} and ids {list(ids.shape)}; "
            "they must be floats [N, D] and [N]."
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UsageError(f"'{path}' has NaN or infinity in the feature of '{ids[bad[0]]}'. Make it again.")
    return features, ids


def _arrays(path: Path, keys: tuple[str, ...], how: str) -> tuple[np.ndarray, ...]:
    wanted = f"It must be an .npz with {', '.join(keys)}, {how}."
    if not path.is_file():
        raise UsageError(f"There is no file '{path}'. {wanted}")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(f"'{path}' is a single array. {wanted}")
        with archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise UsageError(f"'{path}' lacks {', '.join(missing)}; it holds {found}. {wanted}")
            return tuple(_read(archive, key, path) for key in keys)
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
