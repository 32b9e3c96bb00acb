"""What a check sees: a dataset's tables, whether it is ours or a public one, and every crop looked at once.

    material = read_material(Path("dancers"))
    material.tracklets, material.frames, material.problems

What can't be read is a problem, and not the end of the check.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import polars as pl

from ...datasets.ccvid import read_ccvid
from ...datasets.decisions import Decision, read_decisions
from ...datasets.errors import ReidkitError
from ...datasets.files import lies_below
from ...datasets.format import FRAME_SCHEMA, FRAMES, MANIFEST
from ...datasets.ilids import read_ilids
from ...datasets.images import decode
from ...datasets.lsvid import read_lsvid
from ...datasets.manifest import FIX, Manifest, read_manifest
from ...datasets.mars import read_mars
from ...datasets.mevid import is_mevid, read_mevid
from ...datasets.own import tracklet_table
from ...datasets.prid import read_prid
from ...datasets.progress import progress
from ...datasets.replay import broken, replay
from ...datasets.schema import read_parquet
from ...datasets.text import printable
from ...datasets.tracklet import ReidDataset

T = TypeVar("T")

# A folder of a public dataset, by what lies in it -> its reader.
PUBLIC: dict[str, Callable[[Path], ReidDataset]] = {
    "bbox_train": lambda root: read_mevid(root) if is_mevid(root) else read_mars(root),
    "tracklet_train": read_lsvid,
    "sequences": read_ilids,
    "i-LIDS-VID": read_ilids,
    "session1": read_ccvid,
    "CCVID": read_ccvid,
    "prid_2011": read_prid,
    "multi_shot": read_prid,
}
GRID = 17, 16  # width and height at which a crop's differences to the right are signs of a hash of 256 bits
SLOPE = 2  # grey levels; below, noise of the encoder decides
COLOURS = 4, 8  # width and height of the colours kept beside the hash


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        check: the name of the check that found it.
        text: a sentence.
        tracklets: whom it is about, where it is about tracklets.
    """

    check: str
    text: str
    tracklets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Looks:
    """Every crop, in the order of the frames' table.

    Attributes:
        digest: of its bytes; 0 where it can't be decoded.
        bits: uint8 [N, 32], a perceptual hash: where brightness rises to the right (dHash, 256 bits).
        colours: uint8 [N, 96], 4 x 8 mean colours.
    """

    digest: np.ndarray
    bits: np.ndarray
    colours: np.ndarray


@dataclass
class Material:
    """A dataset under check.

    Attributes:
        manifest: None for a public dataset.
        tracklets: id, identity, kind, camera, event, split, role, frames and, of ours, the other columns; None where
            it can't be read.
        frames: tracklet, frame, shard, offset, length and, of ours, the other columns; None where it can't be read.
        reviewed: `tracklets` with the review's decisions applied.
        decisions: None where their log can't be read.
        looks: of every crop; None before `look`.
        problems: what reading found.
    """

    root: Path
    manifest: Manifest | None
    tracklets: pl.DataFrame | None = None
    frames: pl.DataFrame | None = None
    reviewed: pl.DataFrame | None = None
    decisions: tuple[Decision, ...] | None = None
    looks: Looks | None = None
    problems: list[Problem] = field(default_factory=list)

    def read(self, check: str, read: Callable[[], T]) -> T | None:
        """What `read` returns; None where it can't, and then its sentence is a problem."""
        try:
            return read()
        except ReidkitError as error:
            self.problems.append(Problem(check, str(error)))
            return None


def read_material(root: Path) -> Material:
    """A dataset of ours, a public one of `PUBLIC`, or a folder laid out like one of them.

    Raises:
        UsageError: neither; or a manifest or a public dataset's tables that can't be read.
    """
    reader = next((read for name, read in PUBLIC.items() if (root / name).is_dir()), None)
    if reader is not None and not (root / MANIFEST).exists():
        return _public(root, reader(root))
    material = Material(root, read_manifest(root))
    material.tracklets = material.read("structure", lambda: tracklet_table(root))
    material.frames = material.read("structure", lambda: read_parquet(root / FRAMES, FRAME_SCHEMA, FIX))
    material.decisions = material.read("decisions", lambda: read_decisions(root))
    material.reviewed = material.tracklets
    tables = material.tracklets, material.frames
    if tables[0] is not None and tables[1] is not None and material.decisions:
        for sentence in broken(*tables, material.decisions):
            material.problems.append(Problem("decisions", sentence))
        if not material.problems:
            material.reviewed = replay(*tables, material.decisions)[0]
    return material


def _public(root: Path, dataset: ReidDataset) -> Material:
    queries = {t.id for t in dataset.query}
    rows, crops = [], []
    for split, tracklets in (("train", dataset.train), ("test", dataset.test)):
        for t in tracklets:
            role = "train" if split == "train" else "query" if t.id in queries else "gallery"
            id_ = f"{split}/{t.id}"  # a name may stand on both sides
            camera = dataset.cameras[t.camera] if t.camera < len(dataset.cameras) else str(t.camera)
            rows.append((id_, t.identity, t.kind, camera, "", split, role, len(t.frames)))
            for number in range(len(t.frames)):
                file, offset, length = t.frames.place(number)
                crops.append((id_, number, str(Path(file).relative_to(root)), offset, length))
    names = ("id", "identity", "kind", "camera", "event", "split", "role", "frames")
    table = pl.DataFrame(rows, schema=names, orient="row")
    frames = pl.DataFrame(crops, schema=("tracklet", "frame", "shard", "offset", "length"), orient="row")
    return Material(root, None, table, frames, table, ())


def look(material: Material) -> None:
    """Reads and decodes every crop; those that can't be are problems."""
    frames = material.frames
    if frames is None:
        return
    n = len(frames)
    looks = Looks(np.zeros(n, np.uint64), np.zeros((n, 32), np.uint8), np.zeros((n, 96), np.uint8))
    table = frames.select("tracklet", "shard", "offset", "length").with_row_index("row")
    damaged: dict[str, list[tuple[str, int]]] = {}
    with progress("check", total=n, unit="crops") as advance:
        for (shard,), part in table.group_by("shard", maintain_order=True):
            for row, id_, offset, data in _bytes(material.root, str(shard), part):
                image = decode(data) if data is not None else None
                if image is None or data is None:
                    damaged.setdefault(str(shard), []).append((id_, offset))
                else:
                    looks.digest[row] = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1
                    looks.bits[row], looks.colours[row] = _hash(image)
            advance(len(part))
    material.looks = looks
    for shard, bad in damaged.items():
        count = len(table.filter(shard=shard))
        material.problems.append(
            Problem(
                "crops",
                f"{len(bad)} of {count} crops in '{shard}' can't be decoded, the first at byte {bad[0][1]}.",
                tuple(dict.fromkeys(id_ for id_, _ in bad)),
            )
        )


def _bytes(root: Path, shard: str, part: pl.DataFrame) -> Iterator[tuple[int, str, int, bytes | None]]:
    """(row, tracklet, offset, bytes) of each crop of a file; None where they aren't there."""
    path = root / shard
    rows = part.select("row", "tracklet", "offset", "length").iter_rows()
    if not lies_below(shard) or not path.is_file():
        if (rows_left := part.filter(pl.col("length") < 0)).is_empty():
            return  # of ours: the structure's check says it once
        yield from ((row, id_, 0, None) for row, id_ in rows_left.select("row", "tracklet").iter_rows())
        return
    with open(path, "rb") as file:
        for row, id_, offset, length in rows:
            file.seek(offset)
            data = file.read(length)
            yield row, id_, offset, data if length < 0 or len(data) == length else None


def _hash(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    small = cv2.cvtColor(cv2.resize(image, GRID, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.int16)
    rises = small[:, 1:] - small[:, :-1] > SLOPE
    colours = cv2.resize(image, COLOURS, interpolation=cv2.INTER_AREA)
    return np.packbits(rises.ravel()), colours.ravel()


def named(ids: list[str], most: int = 3) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    shown = ", ".join(f"'{printable(id_)}'" for id_ in ids[:most])
    return shown + (f" and {len(ids) - most} more" if len(ids) > most else "")
