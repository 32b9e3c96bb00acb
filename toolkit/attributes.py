"""What an annotation says of the people in the footage, handed on to the identities of the dataset.

    known = read_truth(raw / "truth.json").identities       # {"7": {"shirt": "red", "height_m": 1.8}}
    own = write_attributes(out, of_identities(known, tracklets))

The ids are those of the annotated boxes. The dataset's attributes.csv has a row for each identity; a user may put one
there himself, which no build changes.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ..datasets.files import write_atomic
from ..datasets.format import ATTRIBUTES
from .folder import is_own, note_own

Attributes = Mapping[str, object]


def of_identities(known: Mapping[str, Attributes], tracklets: pl.DataFrame) -> dict[int, Attributes]:
    """Identity -> the attributes of the annotated person whom most of its crops show.

    Args:
        tracklets: columns identity, kind, truth (the annotated id, null where a tracklet shows nobody annotated) and
            frames (crops).
    """
    shown = (
        tracklets.filter((pl.col("kind") == "person") & pl.col("truth").is_not_null())
        .group_by("identity", "truth")
        .agg(pl.col("frames").sum())
        .sort(["identity", "frames", "truth"], descending=[False, True, False])
        .unique("identity", keep="first", maintain_order=True)
    )
    pairs = shown.select("identity", "truth").iter_rows()
    return {identity: known[str(person)] for identity, person in pairs if str(person) in known}


def write_attributes(out: Path, table: Mapping[int, Attributes]) -> bool:
    """attributes.csv: a row an identity, a column an attribute; an earlier build's is removed where nothing is known.

    Returns:
        Whether the file is the build's, or absent. False: it is the user's, and stays as it is.
    """
    path = out / ATTRIBUTES
    if path.exists() and not is_own(out, ATTRIBUTES):
        return False
    if not table:
        path.unlink(missing_ok=True)
        return True
    names = sorted({name for values in table.values() for name in values} - {"identity"})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["identity", *names])
    for identity, values in sorted(table.items()):
        writer.writerow([identity, *(_cell(values.get(name)) for name in names)])
    data = text.getvalue().encode()
    note_own(out, ATTRIBUTES, hashlib.sha256(data).hexdigest())
    write_atomic(path, data)
    return True


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
