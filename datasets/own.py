"""Reads a dataset in our format, as `reidkit build-dataset` writes it (names and columns: `format.py`).

dataset = read_dataset("demo/sports")
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import polars as pl

from .captions import read_captions
from .errors import UsageError
from .format import CAPTIONS, FORMAT_VERSION, FRAME_COLUMNS, FRAMES, MANIFEST, TRACKLET_COLUMNS, TRACKLETS
from .progress import say
from .tracklet import Frames, ReidDataset, Tracklet

PROTOCOL = "video-reid"  # where the manifest names no other, such as `single-camera-views`
ROLES = ("train", "query", "gallery")
KINDS = ("person", "junk", "distractor")


def read_dataset(path: Path | str) -> ReidDataset:
    """The dataset in folder `path`.

    Cameras and events become indices into their sorted names (`cameras`, `facts["events"]`). Training holds the
    persons of role train; the gallery every test tracklet, queries, junk and distractors among them. The captions of
    an identity are those of all its tracklets, in the file's order, the ones that passed every check first. `facts` is
    the manifest.

    Raises:
        UsageError: no such folder, no manifest (the build didn't finish), another format version, a table that can't
            be read or contradicts another, a crop shard that is absent or cut.
    """
    return read_tables(Path(path), read_manifest(path))


def read_tables(root: Path, manifest: Mapping[str, object]) -> ReidDataset:
    """`read_dataset` with the manifest given: what a builder has before it writes the manifest."""
    tracklets = _table(root, TRACKLETS, TRACKLET_COLUMNS)
    frames = _frames_by_tracklet(root, tracklets)
    captions = _captions(root, tracklets)
    cameras = sorted(set(tracklets["camera"].to_list()))
    events = sorted(set(tracklets["event"].to_list()))

    parts: dict[str, list[Tracklet]] = {role: [] for role in ROLES}
    left_out = 0
    for row in tracklets.iter_rows(named=True):
        if row["role"] not in ROLES or row["kind"] not in KINDS:
            raise UsageError(
                f"Tracklet '{row['id']}' of '{root}' has role '{row['role']}' and kind '{row['kind']}'; roles are "
                f"{', '.join(ROLES)} and kinds {', '.join(KINDS)}, so build the dataset again."
            )
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
        )
        parts[row["role"]].append(tracklet)
        if row["role"] == "query":
            parts["gallery"].append(tracklet)

    return ReidDataset(
        name=str(manifest.get("name") or root.resolve().name),
        train=tuple(parts["train"]),
        query=tuple(parts["query"]),
        gallery=tuple(parts["gallery"]),
        protocol=manifest.get("protocol") or PROTOCOL,
        cameras=tuple(cameras),
        root=root,
        facts={**manifest, "events": events, "train_left_out": left_out},
    )


def read_manifest(root: Path | str) -> dict:
    """`dataset.json` of a dataset folder.

    Raises:
        UsageError: no folder, no manifest, or another format version.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"There is no folder '{root}'. Give the folder that `reidkit build-dataset` wrote.")
    path = root / MANIFEST
    if not path.is_file():
        raise UsageError(
            f"'{root}' has no {MANIFEST}, so its build didn't finish (or it is no dataset of ours). Run the same "
            "`reidkit build-dataset` command again; it goes on from where it stopped."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"'{path}' is no manifest of ours ({error!r}). Build the dataset again.") from None
    if version != FORMAT_VERSION:
        raise UsageError(
            f"'{root}' has dataset format {version!r}; this reidkit reads format {FORMAT_VERSION}. "
            "Build it again, or use the reidkit that built it."
        )
    return manifest


def _table(root: Path, name: str, columns: Mapping[str, object]) -> pl.DataFrame:
    path = root / name
    if not path.is_file():
        raise UsageError(f"'{root}' has a manifest but no {name}. Copy the whole folder, or build it again.")
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"'{path}' can't be read ({reason}). Copy the folder or build it again.") from None
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise UsageError(f"'{path}' lacks the column {', '.join(missing)}. Build the dataset again.")
    return table


def _frames_by_tracklet(root: Path, tracklets: pl.DataFrame) -> dict[str, Frames]:
    frames = _table(root, FRAMES, FRAME_COLUMNS)
    _check_shards(root, frames)
    grouped = (
        frames.sort("tracklet", "frame", maintain_order=True)
        .group_by("tracklet", maintain_order=True)
        .agg(pl.col("shard").unique(), "offset", "length")
    )
    found = {}
    for id_, shards, offsets, lengths in grouped.iter_rows():
        if len(shards) != 1:
            raise UsageError(f"Tracklet '{id_}' of '{root}' lies in {len(shards)} shards, not one. Build it again.")
        found[id_] = Frames((f"{root}/{shards[0]}",), tuple(offsets), tuple(lengths))
    for id_, count in tracklets.select("id", "frames").iter_rows():
        here = len(found[id_]) if id_ in found else 0
        if here != count or here == 0:
            raise UsageError(
                f"Tracklet '{id_}' of '{root}' has {here} crops in {FRAMES} and {count} in {TRACKLETS}. Build it again."
            )
    if len(set(tracklets["id"].to_list())) != len(tracklets):
        twice = Counter(tracklets["id"].to_list()).most_common(1)[0][0]
        raise UsageError(f"Tracklet '{twice}' is in {TRACKLETS} of '{root}' more than once. Build it again.")
    return found


def _check_shards(root: Path, frames: pl.DataFrame) -> None:
    """A cut or missing shard is found now, not in the middle of an epoch."""
    needed = frames.group_by("shard").agg((pl.col("offset") + pl.col("length")).max().alias("end")).sort("shard")
    for shard, end in needed.iter_rows():
        inside = PurePosixPath(shard)
        if inside.is_absolute() or ".." in inside.parts:
            raise UsageError(f"The shard '{shard}' of '{root}' lies outside the dataset's folder. Build it again.")
        path = root / shard
        if not path.is_file():
            raise UsageError(f"The crops '{path}' are missing. Copy the whole folder, or build it again.")
        if path.stat().st_size < end:
            raise UsageError(
                f"'{path}' has {path.stat().st_size} bytes and its index needs {end}: the file was cut, so copy it or "
                "build the dataset again."
            )


def _captions(root: Path, tracklets: pl.DataFrame) -> dict[int, tuple[str, ...]]:
    """identity -> its texts, each once."""
    identity_of = {i: p for i, p, kind in tracklets.select("id", "identity", "kind").iter_rows() if kind == "person"}
    known = set(tracklets["id"].to_list())
    sound: dict[int, dict[str, None]] = defaultdict(dict)
    doubtful: dict[int, dict[str, None]] = defaultdict(dict)
    strangers = 0
    for caption in read_captions(root):
        strangers += caption.tracklet not in known
        if caption.tracklet in identity_of:
            (doubtful if caption.doubts else sound)[identity_of[caption.tracklet]].setdefault(caption.text)
    if strangers:
        say(f"{strangers} captions in '{root / CAPTIONS}' belong to no tracklet of the dataset and are not used.")
    return {i: tuple({**sound[i], **doubtful[i]}) for i in sorted({*sound, *doubtful})}
