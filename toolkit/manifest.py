"""Stage 10: the tables and the manifest, which is written last; and what a finished dataset holds.

    write_tables(out, tracklets, frames, identities)
    manifest = write_manifest(out, {"name": "dancers", …})
    facts = summary(Path("dancers"))            # `reidkit inspect`

A folder without a manifest isn't a dataset: a build that was stopped leaves none.
"""

import re
from dataclasses import asdict
from pathlib import Path

import polars as pl

from ..datasets.files import atomic_path, sha256_file, write_json
from ..datasets.format import (
    ATTRIBUTES,
    CROPS,
    FORMAT_VERSION,
    FRAME_COLUMNS,
    FRAMES,
    IDENTITIES,
    IDENTITY_COLUMNS,
    MANIFEST,
    TRACKLET_COLUMNS,
    TRACKLET_OPTIONAL,
    TRACKLETS,
)
from ..datasets.manifest import as_manifest
from ..datasets.own import read_dataset, read_tables, reviewed_identities, reviewed_tables, standings
from ..datasets.rights import counted
from .folder import is_own
from .review.figures import review_figures

SURE = 0.9  # identities of which both figures are higher need no look
MOST_DOUBTS = 12
# Of `cutting.cut_segment`: event--camera--segment.
_SHARD = re.compile(r".+--.+--\d{4,}\.tar")


def write_tables(out: Path, tracklets: pl.DataFrame, frames: pl.DataFrame, identities: pl.DataFrame) -> None:
    """The dataset's tables in the columns of the format; the same tables make the same bytes."""
    known = {name: column.dtype for name, column in TRACKLET_OPTIONAL.items() if name in tracklets.columns}
    tables = (
        (TRACKLETS, tracklets, TRACKLET_COLUMNS | known),
        (FRAMES, frames, FRAME_COLUMNS),
        (IDENTITIES, identities, IDENTITY_COLUMNS),
    )
    for name, table, columns in tables:
        with atomic_path(out / name) as temporary:
            cast = [pl.col(column).cast(dtype) for column, dtype in columns.items()]
            table.select(cast).write_parquet(temporary, compression="zstd")


def write_manifest(out: Path, content: dict) -> dict:
    """Writes dataset.json: `content` with the format, the checksums of all of the build's files and the fingerprint.

    Shards of an earlier build that no crop lies in any more are deleted first.

    Returns:
        The manifest as written.
    """
    used = set(pl.read_parquet(out / FRAMES, columns=["shard"])["shard"].to_list())
    for path in sorted((out / CROPS).glob("*.tar")) if (out / CROPS).is_dir() else ():
        if f"{CROPS}/{path.name}" not in used and _SHARD.fullmatch(path.name):
            path.unlink()
    there = [IDENTITIES] if (out / IDENTITIES).is_file() else []
    files = [TRACKLETS, FRAMES, *there, *([ATTRIBUTES] if is_own(out, ATTRIBUTES) else []), *sorted(used)]
    manifest = {"format": FORMAT_VERSION, **content, "files": {name: sha256_file(out / name) for name in files}}
    manifest["fingerprint"] = read_tables(out, as_manifest(manifest, out)).fingerprint
    write_json(out / MANIFEST, manifest)
    return manifest


def counts(tracklets: pl.DataFrame) -> dict[str, int]:
    """What a dataset holds, in numbers."""
    people = tracklets.filter(kind="person")

    def identities(part: pl.DataFrame) -> int:
        return part["identity"].n_unique() if len(part) else 0

    return {
        "tracklets": len(tracklets),
        "identities": identities(people),
        "cameras": tracklets["camera"].n_unique() if len(tracklets) else 0,
        "events": tracklets["event"].n_unique() if len(tracklets) else 0,
        "crops": int(tracklets["frames"].sum()),
        "junk": len(tracklets.filter(kind="junk")),
        "train_identities": identities(people.filter(split="train")),
        "test_identities": identities(people.filter(split="test")),
        "train_tracklets": len(people.filter(split="train")),
        "query": len(people.filter(role="query")),
        "gallery": len(people.filter(split="test")),
    }


def summary(root: Path) -> dict:
    """What `reidkit inspect` prints: counts, cameras by name, who was seen by which camera, and what is doubtful.

    It tells of the dataset as its review stands, but `scores` and `notes` are the build's.

    Raises:
        UsageError: no dataset of ours, or a damaged one.
    """
    dataset = read_dataset(root)
    table = reviewed_tables(root)[0]
    by_identity: dict[str, dict[str, int]] = {}
    people = table.filter(kind="person").group_by("identity", "camera").len().sort("identity", "camera")
    for identity, camera, number in people.iter_rows():
        by_identity.setdefault(str(identity), {})[camera] = number
    manifest = dataset.manifest
    assert manifest is not None  # of our own format
    rights, people = standings(root, manifest, table)
    return {
        "name": dataset.name,
        "protocol": dataset.protocol,
        **counts(table),
        "camera_names": list(dataset.cameras),
        "event_names": sorted(set(table["event"].to_list())),
        "by_identity": by_identity,
        "doubtful": _doubtful(reviewed_identities(root)),
        "review": review_figures(root),
        "fingerprint": dataset.fingerprint,
        "fingerprint_built": manifest.fingerprint,
        "split": asdict(manifest.split) if manifest.split else None,
        "scores": manifest.scores,
        "by_source": {f"{s.event}/{s.camera}": s.scores for s in manifest.sources if s.scores},
        "same_person": [asdict(one) for one in manifest.same_person],
        "rights": counted(people.values()) if rights else None,
        "notes": list(manifest.notes),
    }


def _doubtful(identities: pl.DataFrame | None) -> list[dict]:
    """The identities with a figure below SURE, the least sure first, MOST_DOUBTS at the most."""
    if identities is None:
        return []
    doubts = identities.with_columns(least=pl.min_horizontal("pure", "whole")).filter(pl.col("least") < SURE)
    rows = doubts.sort("least", "identity").head(MOST_DOUBTS).drop("least")
    return [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows.iter_rows(named=True)
    ]
