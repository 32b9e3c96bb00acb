"""`reidkit check DIR`: whether a dataset is what its manifest says, and fit to train and test on.

    problems = check(Path("dancers"))           # a sentence each; empty where all is well

Every file, crop and count is read again; nothing is mended.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import polars as pl

from ..datasets import ReidkitError
from ..datasets.files import lies_below, sha256_file
from ..datasets.format import FRAME_SCHEMA, FRAMES, IDENTITIES, TRACKLETS
from ..datasets.identities import identity_table
from ..datasets.images import decode
from ..datasets.manifest import FIX, Manifest, read_manifest
from ..datasets.own import read_tables, tracklet_table
from ..datasets.progress import progress
from ..datasets.schema import read_parquet
from ..datasets.text import printable
from .manifest import counts
from .split import queries

T = TypeVar("T")


def check(root: Path) -> list[str]:
    """Every way in which a dataset isn't what its manifest says, a sentence each.

    Raises:
        UsageError: no dataset of ours at all, or a manifest that can't be read.
    """
    manifest = read_manifest(root)
    problems = [*_check_files(root, manifest), *_check_sources(manifest)]
    tracklets = _readable(lambda: tracklet_table(root), problems)
    frames = _readable(lambda: read_parquet(root / FRAMES, FRAME_SCHEMA, FIX), problems)
    if frames is not None:
        digests = _check_crops(root, frames, problems)
        frames = frames.with_columns(digest=digests)
    if tracklets is not None and frames is not None:
        dataset = _readable(lambda: read_tables(root, manifest), problems)
        if dataset is not None and dataset.fingerprint != manifest.fingerprint:
            problems.append("The fingerprint of the tables isn't the manifest's.")
        problems += _check_split(tracklets, frames, manifest)
    identities = _readable(lambda: identity_table(root), problems)
    if tracklets is not None and identities is not None:
        problems += _check_identities(tracklets, identities)
    if tracklets is not None:
        problems += [
            f"The manifest counts {manifest.counts[name]} {name.replace('_', ' ')}, the tables have {value}."
            for name, value in counts(tracklets).items()
            if name in manifest.counts and manifest.counts[name] != value
        ]
    return [printable(problem) for problem in dict.fromkeys(problems)]


def _check_identities(tracklets: pl.DataFrame, identities: pl.DataFrame) -> list[str]:
    """Whether the two tables name the same people of the same events."""
    people = set(tracklets.filter(kind="person").select("event", "identity").iter_rows())
    told = set(identities.select("event", "identity").iter_rows())
    return [
        f"Identity {number} of event '{event}' is in {TRACKLETS if (event, number) in people else IDENTITIES} only."
        for event, number in sorted(people ^ told)[:10]
    ]


def _readable(read: Callable[[], T], problems: list[str]) -> T | None:
    """What `read` returns; None where it can't, and then its sentence is a problem."""
    try:
        return read()
    except ReidkitError as error:
        problems.append(str(error))
        return None


def _check_files(root: Path, manifest: Manifest) -> list[str]:
    problems = []
    for name, digest in manifest.files.items():
        path = root / name
        try:
            found = sha256_file(path) if path.is_file() else None
        except OSError as error:
            problems.append(f"'{name}' can't be read ({error.strerror}).")
            continue
        if found is None:
            problems.append(f"'{name}' is missing.")
        elif found != digest:
            problems.append(f"'{name}' has other bytes than when it was built.")
    return problems


def _check_sources(manifest: Manifest) -> list[str]:
    """Footage that was given twice, as two cameras or two events: every identity of it is there twice."""
    first: dict[str, str] = {}
    problems = []
    for source in manifest.sources:
        key = f"{source.event}/{source.camera}"
        twin = first.setdefault(source.sha256 or key, key)
        if twin != key:
            problems.append(
                f"'{twin}' and '{key}' are the same footage, to the byte. Take one of them out and build again."
            )
    return problems


def _check_crops(root: Path, frames: pl.DataFrame, problems: list[str]) -> pl.Series:
    """A digest of each crop's bytes, null where they are absent; crops that can't be decoded become problems."""
    digests: list[int | None] = [None] * len(frames)
    table = frames.select("shard", "offset", "length").with_row_index("row")
    with progress("check", total=len(frames), unit="crops") as advance:
        for (shard,), part in table.group_by("shard", maintain_order=True):
            advance(len(part))
            path = root / shard
            if not lies_below(shard) or not path.is_file():
                continue  # `read_tables` says so
            bad = []
            with open(path, "rb") as file:
                for row, offset, length in part.select("row", "offset", "length").iter_rows():
                    file.seek(offset)
                    data = file.read(length)
                    if len(data) == length and decode(data) is not None:
                        digests[row] = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
                    else:
                        bad.append(offset)
            if bad:
                share = f"{len(bad)} of {len(part)} crops"
                problems.append(f"{share} in '{shard}' can't be decoded, the first at byte {bad[0]}.")
    return pl.Series("digest", digests, dtype=pl.UInt64)


def _check_split(tracklets: pl.DataFrame, frames: pl.DataFrame, manifest: Manifest) -> list[str]:
    """Nobody and no footage on both sides; queries that have a match."""
    problems = []
    crops = frames.join(tracklets.select("id", "split"), left_on="tracklet", right_on="id")
    sides = {
        "identities": tracklets.filter(kind="person").select(key="identity", side="split"),
        "events": tracklets.select(key="event", side="split"),
        "shards": crops.select(key="shard", side="split"),
        # One picture on both sides: the same footage under two names, copied into another container perhaps.
        "crops of the same bytes": crops.drop_nulls("digest").select(key="digest", side="split", name="tracklet"),
    }
    shared = manifest.split is not None and manifest.split.by == "identity"
    for name, table in sides.items():
        shown = "name" if "name" in table.columns else "key"
        both = table.group_by("key").agg(pl.col("side").n_unique(), pl.col(shown).first().alias("shown"))
        both = both.filter(pl.col("side") > 1).sort("shown")
        if len(both) and not (shared and name != "identities"):
            problems.append(f"{len(both)} {name} are in train and test, '{both['shown'][0]}' first.")
    people = tracklets.filter((pl.col("kind") == "person") & (pl.col("split") == "test"))
    have = set(people.filter(role="query")["id"].to_list())
    due = len(queries(people))
    if len(have) != due:
        problems.append(f"There are {len(have)} queries; one for each matched (identity, camera) would be {due}.")
    return problems
