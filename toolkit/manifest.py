"""Stage 10: the manifest, written last, and what holds a finished dataset against it.

write_manifest(out, {...})
facts = summary(Path("dancers"))            # `reidkit inspect`
problems = check(Path("dancers"))           # `reidkit check`; empty where all is well
"""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import polars as pl

from ..datasets import ReidkitError
from ..datasets.files import atomic_path, sha256_file, write_json
from ..datasets.format import (
    ATTRIBUTES,
    CROPS,
    FORMAT_VERSION,
    FRAME_COLUMNS,
    FRAMES,
    MANIFEST,
    TRACKLET_COLUMNS,
    TRACKLETS,
)
from ..datasets.images import decode
from ..datasets.manifest import Manifest, as_manifest, read_manifest
from ..datasets.own import frame_table, read_dataset, read_tables, tracklet_table
from ..datasets.progress import progress
from .split import queries


def write_tables(out: Path, tracklets: pl.DataFrame, frames: pl.DataFrame) -> None:
    """tracklets.parquet and frames.parquet in the columns of the format; the same tables make the same bytes."""
    for name, table, columns in ((TRACKLETS, tracklets, TRACKLET_COLUMNS), (FRAMES, frames, FRAME_COLUMNS)):
        with atomic_path(out / name) as temporary:
            table.select([pl.col(c).cast(kind) for c, kind in columns.items()]).write_parquet(
                temporary, compression="zstd"
            )


def write_attributes(out: Path, table: dict[int, dict[str, object]]) -> None:
    """attributes.csv: a row an identity, a column an attribute; removed where nothing is known."""
    if not table:
        (out / ATTRIBUTES).unlink(missing_ok=True)
        return
    names = sorted({name for values in table.values() for name in values})
    with atomic_path(out / ATTRIBUTES) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["identity", *names])
        for identity, values in sorted(table.items()):
            writer.writerow([identity, *(_cell(values.get(name)) for name in names)])


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write_manifest(out: Path, content: dict) -> dict:
    """Adds format, checksums of all files and the fingerprint, and writes dataset.json. Shards nobody uses go first."""
    used = set(pl.read_parquet(out / FRAMES, columns=["shard"])["shard"].to_list())
    for path in sorted((out / CROPS).glob("*.tar")) if (out / CROPS).is_dir() else ():
        if f"{CROPS}/{path.name}" not in used:
            path.unlink()
    files = [TRACKLETS, FRAMES, *([ATTRIBUTES] if (out / ATTRIBUTES).is_file() else []), *sorted(used)]
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
    """What `reidkit inspect` prints: counts, cameras by name, and who was seen by which camera.

    Raises:
        UsageError: no dataset of ours, or a damaged one.
    """
    dataset = read_dataset(root)
    table = tracklet_table(root)
    by_identity: dict[str, dict[str, int]] = {}
    people = table.filter(kind="person").group_by("identity", "camera").len().sort("identity", "camera")
    for identity, camera, number in people.iter_rows():
        by_identity.setdefault(str(identity), {})[camera] = number
    manifest = dataset.manifest
    return {
        "name": dataset.name,
        "protocol": dataset.protocol,
        **counts(table),
        "camera_names": list(dataset.cameras),
        "event_names": sorted(set(table["event"].to_list())),
        "by_identity": by_identity,
        "fingerprint": manifest.fingerprint,
        "split": asdict(manifest.split) if manifest.split else None,
        "scores": manifest.scores,
        "notes": list(manifest.notes),
    }


def check(root: Path) -> list[str]:
    """Every way in which a dataset isn't what its manifest says, a sentence each.

    Raises:
        UsageError: no dataset of ours at all.
    """
    manifest = read_manifest(root)
    problems = []
    for name, digest in manifest.files.items():
        path = root / name
        if not path.is_file():
            problems.append(f"'{name}' is missing.")
        elif sha256_file(path) != digest:
            problems.append(f"'{name}' has other bytes than when it was built.")
    try:
        dataset = read_dataset(root)
    except ReidkitError as error:
        return [*problems, str(error)]
    if dataset.fingerprint != manifest.fingerprint:
        problems.append("The fingerprint of the tables isn't the manifest's.")
    tracklets, frames = tracklet_table(root), frame_table(root)
    problems += _check_crops(root, frames)
    problems += _check_split(tracklets, frames, manifest)
    stated = manifest.counts
    problems += [
        f"The manifest counts {stated[name]} {name.replace('_', ' ')}, the tables have {value}."
        for name, value in counts(tracklets).items()
        if name in stated and stated[name] != value
    ]
    return problems


def _check_crops(root: Path, frames: pl.DataFrame) -> list[str]:
    problems = []
    with progress("check", total=len(frames), unit="crops") as advance:
        for (shard,), part in frames.group_by(["shard"], maintain_order=True):
            path = root / shard
            data = path.read_bytes() if path.is_file() else b""
            bad = [
                offset
                for offset, length in part.select("offset", "length").iter_rows()
                if not _is_image(data[offset : offset + length], length)
            ]
            if bad:
                share = f"{len(bad)} of {len(part)} crops"
                problems.append(f"{share} in '{shard}' can't be decoded, the first at byte {bad[0]}.")
            advance(len(part))
    return problems


def _is_image(data: bytes, length: int) -> bool:
    return len(data) == length and decode(data) is not None


def _check_split(tracklets: pl.DataFrame, frames: pl.DataFrame, manifest: Manifest) -> list[str]:
    """Nobody and no footage on both sides; queries that have a match."""
    problems = []
    sides = {
        "identities": tracklets.filter(kind="person").select(key="identity", side="split"),
        "events": tracklets.select(key="event", side="split"),
        "shards": frames.join(tracklets.select("id", "split"), left_on="tracklet", right_on="id").select(
            key="shard", side="split"
        ),
    }
    shared = manifest.split is not None and manifest.split.by == "identity"
    for name, table in sides.items():
        both = table.group_by("key").agg(pl.col("side").n_unique()).filter(pl.col("side") > 1).sort("key")
        if len(both) and not (shared and name != "identities"):
            problems.append(f"{len(both)} {name} are in train and test, '{both['key'][0]}' first.")
    people = tracklets.filter((pl.col("kind") == "person") & (pl.col("split") == "test"))
    have = set(people.filter(role="query")["id"].to_list())
    due = len(queries(people))
    if len(have) != due:
        problems.append(f"There are {len(have)} queries; one for each matched (identity, camera) would be {due}.")
    return problems
