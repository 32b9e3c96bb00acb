"""The border: every JSON, TOML, JSON-lines and Parquet file that enters is checked against a declared schema here.

    @dataclass(frozen=True)
    class Facts:
        classes: Annotated[int, Meta(ge=1, le=1_000_000)]
        model: str

    facts = read_json(path, Facts, "Delete its folder to train that run again.")

A schema is a frozen dataclass (or a `msgspec.Struct`) whose fields carry types and, with `msgspec.Meta`, ranges; keys
that it does not name are ignored, unless it is a Struct with `forbid_unknown_fields`. A table's schema is a dict of
`Column`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from .errors import UsageError
from .text import printable

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")
LARGEST = 1 << 30  # bytes of a JSON or TOML file; all of it is read at once


def read_json(path: Path | str, schema: type[T], fix: str) -> T:
    """The file's JSON as `schema`.

    Args:
        fix: a sentence: what the user can do where the file is damaged.

    Raises:
        UsageError: the file can't be read, is no JSON, or doesn't fit; the place in it is named.
    """
    return decode_json(read_bytes(path, fix), schema, f"'{path}'", fix)


def decode_json(data: bytes | str, schema: type[T], what: str, fix: str) -> T:
    """JSON text as `schema`; `what` names its source in the sentence.

    Raises:
        UsageError: it is no JSON, or doesn't fit.
    """
    try:
        return msgspec.json.decode(data, type=schema)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} can't be used: {_reason(error)}. {fix}") from None


def read_toml(path: Path | str, schema: type[T], fix: str) -> T:
    """The file's TOML as `schema`; as `read_json`."""
    try:
        return msgspec.toml.decode(read_bytes(path, fix), type=schema)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' can't be used: {_reason(error)}. {fix}") from None


def read_bytes(path: Path | str, fix: str) -> bytes:
    """The file's bytes.

    Raises:
        UsageError: it is absent, no plain file (a pipe would never end), over 1 GiB, or can't be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"'{path}' is no plain file. {fix}")
        if (size := path.stat().st_size) > LARGEST:
            raise UsageError(f"'{path}' is {size / 1e9:.1f} GB large, which no such file is. {fix}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"'{printable(str(path))}' can't be read ({getattr(error, 'strerror', None) or error}). {fix}"
        ) from None


def _reason(error: Exception) -> str:
    return printable(str(error))[:300].rstrip(".")


@dataclass(frozen=True)
class Column:
    """A column of a table: its type, whether it may be null, and the range that its values lie in, ends included.

    Attributes:
        dtype: of Polars. A column of another type is refused, but whole numbers of any width pass for whole numbers
            and floats of any width for floats where every value fits; they are cast.
        low, high: None: no bound. NaN and infinity are refused in any float column.
        one_of: the allowed texts; empty: any.
    """

    dtype: "pl.DataType | type[pl.DataType]"
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    one_of: tuple[str, ...] = ()


def read_parquet(
    path: Path | str, columns: Mapping[str, Column], fix: str, optional: Mapping[str, Column] = {}
) -> "pl.DataFrame":
    """The table in `path`, its declared columns checked and cast; other columns stay as they are.

    Args:
        optional: columns that are checked where they are there.

    Raises:
        UsageError: it is absent or no Parquet file, lacks a column, or a column's type, a null or a value out of range
            contradicts the schema; the column and the first such value are named.
    """
    import polars as pl

    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no file '{path}'. {fix}")
    try:
        table = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UsageError(f"'{path}' can't be read as Parquet ({_reason(error).splitlines()[0]}). {fix}") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UsageError(f"'{path}' lacks the column {', '.join(missing)}. {fix}")
    here = {**columns, **{name: column for name, column in optional.items() if name in table.columns}}
    return table.with_columns([_checked(table[name], column, path, fix) for name, column in here.items()])


def _checked(values: "pl.Series", column: Column, path: Path, fix: str) -> "pl.Series":
    import polars as pl

    where = f"'{path}', column {values.name}"
    wanted = column.dtype
    found = values.dtype
    alike = (
        found == wanted
        or (found.is_integer() and wanted.is_integer())
        or (found.is_float() and wanted.is_float())
        or (found == pl.Null and column.nullable)
    )
    if not alike:
        raise UsageError(f"{where} holds {found}; it should hold {wanted}. {fix}")
    if not column.nullable and values.null_count():
        raise UsageError(f"{where} has {values.null_count()} empty cells; none may be empty. {fix}")
    try:
        cast = values.cast(wanted, strict=True)
    except pl.exceptions.PolarsError:
        raise UsageError(f"{where} holds a number beyond {wanted}. {fix}") from None
    bad = None
    if cast.dtype.is_float():
        bad = cast.filter(~cast.is_finite())
    if (bad is None or bad.is_empty()) and cast.dtype.is_numeric():
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        bad = cast.filter((cast < low) | (cast > high))
    if bad is not None and len(bad):
        span = f"from {column.low} to {column.high}" if column.high is not None else f"of {column.low} or more"
        allowed = span if column.low is not None else "that is finite"
        raise UsageError(f"{where} holds {bad[0]}; it should hold a number {allowed}. {fix}")
    if column.one_of:
        other = cast.filter(~cast.is_in(list(column.one_of)))
        if len(other):
            raise UsageError(
                f"{where} holds '{printable(str(other[0]))}'; it may hold {', '.join(column.one_of)}. {fix}"
            )
    return cast
