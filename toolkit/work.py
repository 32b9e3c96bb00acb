"""Durable pieces of work: what one segment gave, in a folder that is named after all that it depends on.

    folder = home / f"detect-{work_key(REVISION, take.sha256)}"
    kept = read_piece(folder, piece, DETECTION_COLUMNS, DetectionFacts)     # None: not done yet
    write_piece(folder, piece, table, {"boxes": 7})

A piece is a table and its facts, `<segment>.parquet` and `<segment>.json`. The latter comes last: its presence means
done.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import polars as pl
from msgspec import Meta

from ..datasets.errors import UsageError
from ..datasets.files import atomic_path, write_json
from ..datasets.schema import Column, read_json, read_parquet
from .sources import Source
from .video import Segment

# Raised when the same input and settings give other files than before: work of older versions is then not taken up.
REVISION = 3

LONGEST_SLUG = 90  # letters

Count = Annotated[int, Meta(ge=0)]
Facts = TypeVar("Facts", bound=Mapping[str, object])


def work_key(*parts: object) -> str:
    """Twelve hex digits that stand for `parts`: what a piece of finished work depends on, in its name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def source_slug(source: Source) -> str:
    """A file name for a source; names that had to be changed carry a digest, so that no two sources share one."""
    return f"{_slug(source.event)}--{_slug(source.camera)}"


def _slug(name: str) -> str:
    # Two of them and a segment's number must fit into a file's name.
    clean = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "_", name)).strip("-")[:LONGEST_SLUG]
    return clean if clean == name else f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def read_piece(
    folder: Path, piece: Segment, columns: Mapping[str, "pl.DataType | type[pl.DataType]"], kind: type[Facts]
) -> tuple[pl.DataFrame, Facts] | None:
    """The table (`columns`) and the facts (`kind`, a TypedDict) of a segment that is done.

    None of one that isn't, and of one whose files are damaged: it is done again.
    """
    table, facts = _paths(folder, piece)
    if not (facts.is_file() and table.is_file()):
        return None
    schema = {name: Column(dtype, nullable=True) for name, dtype in columns.items()}
    try:
        return read_parquet(table, schema, ""), read_json(facts, kind, "")
    except UsageError:
        return None


def write_piece(folder: Path, piece: Segment, table: pl.DataFrame, facts: Mapping[str, object]) -> None:
    """Keeps the table and the facts of a segment that is done."""
    table_path, facts_path = _paths(folder, piece)
    with atomic_path(table_path) as temporary:
        table.write_parquet(temporary, compression="zstd", statistics=False)
    write_json(facts_path, facts)


def _paths(folder: Path, piece: Segment) -> tuple[Path, Path]:
    return folder / f"{piece.id}.parquet", folder / f"{piece.id}.json"
