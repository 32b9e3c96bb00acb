"""Name lists and `.mat` tables of the public datasets, read with errors a user understands.

names = read_names(root / "train_name.txt")
rows = read_mat(root / "query_IDX.mat", "query_IDX")
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from .errors import UsageError


def incomplete(root: Path, dataset: str, missing: str, layout: str) -> UsageError:
    """The error for a wrong or incomplete folder: what is missing and what is expected, in one sentence."""
    if not root.is_dir():
        return UsageError(f"There is no folder '{root}' for {dataset}, which should hold {layout}.")
    return UsageError(f"'{root}' is no complete {dataset}: {missing} is missing; it should hold {layout}.")


def first_file(root: Path, places: tuple[str, ...]) -> Path | None:
    """The first of `places` below `root` that is there."""
    return next((root / place for place in places if (root / place).exists()), None)


def read_names(path: Path) -> list[str]:
    """The lines of a list file, without blank ones."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' can't be read as a list of names ({error}); fetch it again.") from None


def read_mat(path: Path, key: str) -> np.ndarray:
    """The numeric table `key` of a MATLAB file, as int64 [rows, columns].

    Versions 4 to 7 are read by SciPy, 7.3 (HDF5) by h5py where it is installed.

    Raises:
        UsageError: the file can't be read, has no such key, or is v7.3 and h5py is not installed.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(516)
        # HDF5 carries its signature at byte 0, or at 512 behind MATLAB's own header.
        hdf5 = b"\x89HDF" in (head[:4], head[512:])
        table = _read_hdf5(path, key) if hdf5 else loadmat(path)[key]
        table = np.asarray(table)
        if table.dtype.kind not in "iuf":
            raise ValueError(f"'{key}' is not numeric")
        return np.atleast_2d(table).astype(np.int64)
    except UsageError:
        raise
    except KeyError:
        raise UsageError(f"'{path}' has no table '{key}'; it is another file, so fetch the right one.") from None
    except Exception as error:  # scipy and h5py raise many kinds on damaged files
        raise UsageError(f"'{path}' is no MATLAB table ({error}); fetch it again.") from None


def _read_hdf5(path: Path, key: str) -> np.ndarray:
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"'{path}' is a MATLAB 7.3 (HDF5) file, which needs h5py: pip install h5py, or save it with -v7 in MATLAB."
        ) from None
    with h5py.File(path, "r") as file:
        return file[key][()].T  # MATLAB stores columns first
