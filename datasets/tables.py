"""Name lists, tables and query indices of the public datasets, and what to say where one of their files is missing.

Example:

    names = read_names(first_file(root, ("info/train_name.txt", "train_name.txt")))
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import UsageError
from .schema import read_bytes
from .tracklet import Tracklet

IMAGES = (".jpg", ".jpeg", ".png")


def incomplete(root: Path, dataset: str, missing: str, layout: str) -> UsageError:
    """The error for a wrong or incomplete folder: what is missing and what is expected, in one sentence."""
    if not root.is_dir():
        return UsageError(f"There is no folder '{root}' for {dataset}, which should hold {layout}.")
    return UsageError(f"'{root}' is no complete {dataset}: {missing} is missing; it should hold {layout}.")


def first_file(root: Path, places: tuple[str, ...]) -> Path | None:
    """The first of `places` below `root` that is there."""
    return next((root / place for place in places if (root / place).exists()), None)


def read_names(path: Path) -> list[str]:
    """The lines of a list file, without blank ones.

    Raises:
        UsageError: the file can't be read, is no UTF-8, or has control characters.
    """
    fix = "Fetch it again."
    try:
        text = read_bytes(path, fix).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is no list of names: it has no UTF-8 at byte {error.start}. {fix}") from None
    if not text.translate({9: " ", 10: " ", 13: " "}).isprintable():
        raise UsageError(f"'{path}' is no list of names: it has control characters. {fix}")
    return [line.strip() for line in text.split("\n") if line.strip()]


def read_numbers(path: Path, columns: int) -> np.ndarray:
    """A table as text: int64 [rows, columns]. A row a line, numbers apart by blanks, whole ones written as floats too.

    Raises:
        UsageError: the file can't be read, a line has another number of columns, or something in it is no whole number.
    """
    lines = read_names(path)
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != columns or not all(value.is_integer() and abs(value) < 2**53 for value in row):
            raise UsageError(
                f"Line {number} of '{path}' is '{line[:100]}', not {columns} whole numbers; fetch it again."
            )
        rows.append(row)
    if not rows:
        raise UsageError(f"'{path}' is empty; fetch it again.")
    return np.array(rows, np.int64)


def image_files(folder: Path) -> tuple[str, ...]:
    """Paths of the JPEG and PNG files in a folder, sorted; none where it is absent. Hidden files are left out."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(str(p) for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.name[0] != "."))


def chosen_queries(test: Sequence[Tracklet], indices: np.ndarray, path: Path) -> tuple[Tracklet, ...]:
    """The queries among the test tracklets, by the 1-based indices that the table `path` holds.

    Raises:
        UsageError: an index that isn't there, one that comes twice, or that of a tracklet of nobody.
    """
    fix = "Fetch the tables and the name lists of one release together."
    outside = indices[(indices < 1) | (indices > len(test))]
    if len(outside):
        raise UsageError(f"'{path}' points at test tracklet {outside[0]} of {len(test)}. {fix}")
    values, times = np.unique(indices, return_counts=True)
    if (times > 1).any():
        raise UsageError(f"'{path}' has the query {values[times > 1][0]} more than once. {fix}")
    nobody = [i for i in indices.tolist() if test[i - 1].kind != "person"]
    if nobody:
        raise UsageError(
            f"'{path}' has test tracklet {nobody[0]} as a query, which is {test[nobody[0] - 1].kind}. {fix}"
        )
    return tuple(test[i - 1] for i in indices.tolist())
