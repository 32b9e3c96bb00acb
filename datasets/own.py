"""Reads a dataset in our format, as `reidkit build-dataset` writes it (names and columns: `format.py`).

Example:

    dataset = read_dataset("demo/sports")
    dataset = read_dataset("matches", fold=2)                       # of a dataset that is divided into folds
    tracklets, frames = tracklet_table(root), frame_table(root)     # its tables alone, checked
    tracklets, frames = reviewed_tables(root)                       # the same with the review's decisions applied
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from .captions import Caption, read_captions, texts_by_identity
from .decisions import Decision, in_force, read_decisions
from .errors import UsageError
from .files import lies_below
from .format import (
    CAPTIONS,
    FOLD,
    FRAME_SCHEMA,
    FRAMES,
    IDENTITY_COLUMNS,
    ROLES,
    TRACKLET_OPTIONAL,
    TRACKLET_SCHEMA,
    TRACKLETS,
)
from .identities import identity_table
from .manifest import FIX, Manifest, read_manifest
from .progress import say
from .replay import Review, follow, replay, replay_captions
from .rights import Rights, Standing, read_rights, refuse_unknown
from .schema import read_parquet
from .sides import in_fold
from .text import printable
from .tracklet import DISTRACTOR, JUNK, Frames, ReidDataset, Tracklet


def read_dataset(path: Path | str, fold: int = 0) -> ReidDataset:
    """The dataset in folder `path`, as its review stands: with all decisions applied that count.

    Args:
        fold: which of its folds tests, from 0; of a dataset without folds there is fold 0 only.

    Cameras and events become indices into their sorted names (`cameras`, `events`). Training holds the persons of role
    train; the gallery every test tracklet, queries, junk and distractors among them. The captions of an identity are
    those of all its tracklets, in the file's order, the ones that passed every check first.

    Raises:
        UsageError: no such folder, no manifest (the build didn't finish), another format version, a manifest or a table
            that can't be read, doesn't fit its schema or contradicts another, a crop shard that is absent or cut, a
            line of captions.jsonl or of decisions.jsonl that is none, a decision that doesn't apply to this build, or
            a fold that isn't there.
    """
    root, manifest = Path(path), read_manifest(path)
    return _read(root, manifest, fold, read_decisions(root))


def read_tables(root: Path, manifest: Manifest) -> ReidDataset:
    """The dataset as it was built, whatever a review says: what the manifest's fingerprint and counts are of.

    Args:
        manifest: of the folder `root`; a builder has it before it is written.

    Raises:
        UsageError: as `read_dataset`, of the tables, the shards and the captions.
    """
    return _read(root, manifest, 0, ())


def _read(root: Path, manifest: Manifest, fold: int, decisions: Sequence[Decision]) -> ReidDataset:
    folds = folds_of(manifest)
    if not 0 <= fold < folds:
        there = f"its folds are 0 to {folds - 1}" if folds > 1 else "it is not divided into folds and has split 0 only"
        raise UsageError(f"'{root}' has no split {fold}; {there}.")
    identity_table(root)  # nothing of it is kept, but a damaged one is refused with the rest
    proposed, crops = in_fold(tracklet_table(root), fold), frame_table(root)
    _check_counts(root, proposed, crops)
    tracklets, crops = replay(proposed, crops, decisions)
    frames = _frames_by_tracklet(root, crops)
    captions = _captions(root, tracklets, decisions)
    cameras = sorted(set(tracklets["camera"].to_list()))
    events = sorted(set(tracklets["event"].to_list()))

    parts: dict[str, list[Tracklet]] = {role: [] for role in ROLES}
    left_out = 0
    for row in tracklets.iter_rows(named=True):
        if row["role"] == "train" and row["kind"] != "person":
            left_out += 1  # nobody's class
            continue
        tracklet = Tracklet(
            id=row["id"],
            identity=row["identity"],
            camera=cameras.index(row["camera"]),
            frames=frames[row["id"]],
            kind=row["kind"],
            event=events.index(row["event"]),
            start=row["start"] or 0.0,
            end=row["end"] or 0.0,
            captions=captions.get(row["identity"], ()) if row["kind"] == "person" else (),
            outfit=row.get("outfit") or "",
        )
        parts[row["role"]].append(tracklet)
        if row["role"] == "query":
            parts["gallery"].append(tracklet)

    return ReidDataset(
        name=manifest.name,
        train=tuple(parts["train"]),
        query=tuple(parts["query"]),
        gallery=tuple(parts["gallery"]),
        protocol=manifest.protocol,
        cameras=tuple(cameras),
        events=tuple(events),
        root=root,
        manifest=manifest,
        train_left_out=left_out,
    )


def folds_of(manifest: Manifest) -> int:
    """How many divisions a dataset has: its folds, or 1."""
    return (manifest.split and manifest.split.folds) or 1


def tracklet_table(root: Path) -> pl.DataFrame:
    """tracklets.parquet of the dataset folder `root`, in the columns of `format.TRACKLET_SCHEMA` and any others.

    Raises:
        UsageError: it is absent, or a row contradicts the schema, another row, or itself; the tracklet is named.
    """
    table = read_parquet(root / TRACKLETS, TRACKLET_SCHEMA, FIX, TRACKLET_OPTIONAL)
    if table["id"].n_unique() != len(table):
        twice = Counter(table["id"].to_list()).most_common(1)[0][0]
        raise UsageError(f"Tracklet '{printable(twice)}' is in '{root / TRACKLETS}' more than once. {FIX}")
    kind, identity, role = pl.col("kind"), pl.col("identity"), pl.col("role")
    odd = table.filter(
        pl.when(kind == "person").then(identity < 0)
        .when(kind == "junk").then(identity != JUNK)
        .otherwise(identity != DISTRACTOR)
    )  # fmt: skip
    for id_, what, number in odd.select("id", "kind", "identity").head(1).iter_rows():
        raise UsageError(
            f"Tracklet '{printable(id_)}' of '{root}' has kind {what} and identity {number}; a person's is 0 or more, "
            f"junk's {JUNK}, a distractor's {DISTRACTOR}. {FIX}"
        )
    odd = table.filter((role == "train") != (pl.col("split") == "train"))
    odd = pl.concat([odd, table.filter((role == "query") & (kind != "person"))])
    for id_, what, played, side in odd.select("id", "kind", "role", "split").head(1).iter_rows():
        raise UsageError(
            f"Tracklet '{printable(id_)}' of '{root}' has kind {what}, split {side} and role {played}; role train goes "
            f"with split train, and a query is a person. {FIX}"
        )
    if FOLD in table.columns:
        tests = (pl.col(FOLD) == 0).fill_null(True)
        for id_, part in table.filter(tests != (pl.col("split") == "test")).select("id", FOLD).head(1).iter_rows():
            raise UsageError(
                f"Tracklet '{printable(id_)}' of '{root}' is in fold {part} and on the other side; the sides are those "
                f"of fold 0. {FIX}"
            )
    return table


def standings(root: Path, manifest: Manifest, reviewed: pl.DataFrame) -> tuple[Rights, dict[tuple[str, int], Standing]]:
    """What is said of consent and licence in the dataset folder `root`, and what holds for each (event, identity).

    Args:
        reviewed: the tracklets of `reviewed_tables`.

    Raises:
        UsageError: rights.toml can't be read, or a key of it or of the manifest names nobody.
    """
    rights = read_rights(root, manifest.rights)
    proposed = tracklet_table(root)
    refuse_unknown(rights, (proposed, reviewed), str(root))
    return rights, rights.standings(proposed, reviewed)


def frame_table(root: Path) -> pl.DataFrame:
    """frames.parquet of the dataset folder `root`, in the columns of `format.FRAME_SCHEMA` and any others.

    Raises:
        UsageError: it is absent, a value contradicts the schema, or a shard isn't there with all the bytes that the
            table says: a cut or missing one is found now, not in the middle of an epoch.
    """
    frames = read_parquet(root / FRAMES, FRAME_SCHEMA, FIX)
    needed = frames.group_by("shard").agg((pl.col("offset") + pl.col("length")).max().alias("end")).sort("shard")
    for shard, end in needed.iter_rows():
        if not lies_below(shard):
            raise UsageError(f"The shard {ascii(shard)[:100]} of '{root}' lies outside the dataset's folder. {FIX}")
        path = root / shard
        if not os.path.isfile(path):
            raise UsageError(f"The crops '{path}' are missing. {FIX}")
        if path.stat().st_size < end:
            raise UsageError(
                f"'{path}' has {path.stat().st_size} bytes and its index needs {end}: the file was cut. {FIX}"
            )
    return frames


def reviewed_tables(root: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """tracklets.parquet and frames.parquet of the dataset folder `root` with its review's decisions applied.

    Raises:
        UsageError: a table or the log can't be read, or a decision doesn't apply to this build.
    """
    return replay(tracklet_table(root), frame_table(root), read_decisions(root))


def _check_counts(root: Path, tracklets: pl.DataFrame, frames: pl.DataFrame) -> None:
    """Raises UsageError where a tracklet has other crops than it says."""
    here = dict(frames.group_by("tracklet").len().iter_rows())
    for id_, count in tracklets.select("id", "frames").iter_rows():
        if here.get(id_, 0) != count:
            raise UsageError(
                f"Tracklet '{printable(id_)}' of '{root}' has {here.get(id_, 0)} crops in {FRAMES} and {count} in "
                f"{TRACKLETS}. {FIX}"
            )


def _frames_by_tracklet(root: Path, frames: pl.DataFrame) -> dict[str, Frames]:
    grouped = (
        frames.sort("tracklet", "frame", maintain_order=True)
        .group_by("tracklet", maintain_order=True)
        .agg(pl.col("shard").unique(), "offset", "length")
    )
    found = {}
    for id_, shards, offsets, lengths in grouped.iter_rows():
        if len(shards) != 1:
            raise UsageError(f"Tracklet '{printable(id_)}' of '{root}' lies in {len(shards)} shards, not one. {FIX}")
        found[id_] = Frames((f"{root}/{shards[0]}",), tuple(offsets), tuple(lengths))
    return found


def reviewed_captions(root: Path, decisions: Sequence[Decision] | None = None) -> list[Caption]:
    """captions.jsonl of the dataset folder `root` with its review's decisions applied.

    Args:
        decisions: None: those of the folder.

    Raises:
        UsageError: a line of one of the two files is damaged.
    """
    return replay_captions(read_captions(root), read_decisions(root) if decisions is None else decisions)


def reviewed_identities(root: Path) -> pl.DataFrame | None:
    """identities.parquet of the dataset folder `root` as its review stands; None where there is none.

    An identity that somebody confirmed is sure: pure and whole, with no twin. One that a decision changed has no row
    until it is confirmed, as nothing has judged it.

    Raises:
        UsageError: as `reviewed_tables`.
    """
    table, decisions = identity_table(root), read_decisions(root)
    if table is None or not in_force(decisions):
        return table
    proposed, frames = tracklet_table(root), frame_table(root)
    review, _ = follow(proposed, frames, decisions)
    before = Review(proposed, frames).members
    same = [one for one, members in review.members.items() if before.get(one) == members]
    table = table.filter(pl.col("identity").is_in(same), ~pl.col("identity").is_in(list(review.confirmed)))
    known = pl.col("twin").is_in([*same, *review.confirmed])
    table = table.with_columns(twin=pl.when(known).then("twin"), same=pl.when(known).then("same"))
    events = dict(proposed.select("id", "event").iter_rows())
    rows = [
        {"identity": one, "event": min(events[review.pieces[id_].origin] for id_ in review.members[one]), "pure": 1.0}
        for one in sorted(review.confirmed)
    ]
    sure = pl.DataFrame(rows, schema={name: IDENTITY_COLUMNS[name] for name in ("identity", "event", "pure")})
    return pl.concat([table, sure.with_columns(whole="pure")], how="diagonal").sort("identity")


def _captions(root: Path, tracklets: pl.DataFrame, decisions: Sequence[Decision]) -> dict[int, tuple[str, ...]]:
    """identity -> its texts, each once."""
    identity_of = {i: p for i, p, kind in tracklets.select("id", "identity", "kind").iter_rows() if kind == "person"}
    known = set(tracklets["id"].to_list())
    captions = reviewed_captions(root, decisions)
    strangers = sum(caption.tracklet not in known for caption in captions)
    if strangers:
        say(f"{strangers} captions in '{root / CAPTIONS}' belong to no tracklet of the dataset and are not used.")
    return texts_by_identity(captions, identity_of)
