"""`attributes.csv`, what is known of each person in words: its one reader.

Example:

    words = read_attributes(root / ATTRIBUTES)       # {7: {"shoes": "red", "hair": "long blond hair"}}
"""

import csv
import io
from pathlib import Path

from .errors import UsageError
from .schema import read_bytes
from .text import printable

FIX = "Mend that table, or give another one."
LARGEST = (1 << 63) - 1


def read_attributes(path: Path | str, fix: str = FIX) -> dict[int, dict[str, str]]:
    """identity -> {attribute: words}, without empty cells.

    The table is CSV in UTF-8: a row an identity, a column `identity`, and any others.

    Args:
        fix: a sentence: what the user can do where the table can't be read.

    Raises:
        UsageError: the file is absent, no plain file, or no UTF-8; it has no column `identity` or a column twice; a row
            has no whole number of 0 or more there, that of an earlier row, or more cells than the header; a cell is
            longer than 131,072 letters.
    """
    path = Path(path)
    try:
        text = read_bytes(path, fix).decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is no UTF-8 at byte {error.start}. Save it as CSV in UTF-8.") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(rows, [])
        if names.count("identity") != 1 or len(set(names)) != len(names):
            raise UsageError(
                f"The first line of '{path}' is '{printable(','.join(names))[:100]}'; it should name each column once, "
                f"one of them identity. {fix}"
            )
        table: dict[int, dict[str, str]] = {}
        for row in rows:
            if not row:
                continue
            where = f"Line {rows.line_num} of '{path}'"
            if len(row) > len(names):
                raise UsageError(
                    f"{where} has {len(row)} cells and the first line {len(names)}; put a text with commas in quotes."
                )
            cells = dict(zip(names, row, strict=False))
            identity = _identity(cells.pop("identity", ""), where, fix)
            if identity in table:
                raise UsageError(f"{where} is a second one of identity {identity}. {fix}")
            table[identity] = {name: " ".join(cell.split()) for name, cell in cells.items() if name and cell.strip()}
        return table
    except csv.Error as error:
        raise UsageError(f"Line {rows.line_num} of '{path}' can't be read as CSV: {error}. {fix}") from None


def _identity(cell: str, where: str, fix: str) -> int:
    if not (cell.strip().isdecimal() and len(cell) <= 20 and int(cell) <= LARGEST):
        raise UsageError(
            f"{where} has '{printable(cell)[:100]}' in the column identity, no whole number of 0 or more. {fix}"
        )
    return int(cell)
