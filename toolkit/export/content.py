"""What an exporter sees of a dataset: its tracklets with their crops' rows, in one order, and the crops' bytes.

    content = read_content(Path("dancers"))
    for item in content.items:
        for row, data in read_crops(content, item):     # a row of frames.parquet, the JPEG's bytes

Bytes are handed on as they are: no picture is decoded and encoded anew, unless heads are covered in it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ...datasets.captions import texts_by_identity
from ...datasets.errors import UsageError
from ...datasets.manifest import Manifest, SourceFacts
from ...datasets.own import read_dataset, reviewed_captions, reviewed_tables, standings
from ...datasets.rights import Standing
from ...datasets.text import printable
from ...datasets.tracklet import DISTRACTOR, JUNK

_JPEG = b"\xff\xd8"


@dataclass(frozen=True)
class Item:
    """One tracklet.

    Attributes:
        identity: the person; `JUNK` or `DISTRACTOR` as in the format.
        camera, event: indices into the names of `Content`.
        split, role: as in tracklets.parquet.
        start, end: seconds; None where not known.
        captions: of the identity; none for what is no person.
        outfit: what the person wears; "" where not known.
        standing: consent and licence; of what is no person, the strictest of the event's people.
        rows: its rows of frames.parquet in time order, one a crop.
    """

    id: str
    identity: int
    kind: str
    camera: int
    event: int
    split: str
    role: str
    start: float | None
    end: float | None
    captions: tuple[str, ...]
    outfit: str
    standing: Standing
    rows: pl.DataFrame

    @property
    def person(self) -> bool:
        """Whether it shows somebody who has an identity."""
        return self.kind == "person"

    @property
    def pid(self) -> int:
        """The person's number as MARS and Market write it: -1 is junk, 0 a distractor."""
        return {"junk": JUNK, "distractor": DISTRACTOR}.get(self.kind, self.identity)


@dataclass(frozen=True)
class Content:
    """A whole dataset.

    Attributes:
        fingerprint: of the dataset as it was read.
        cameras, events: names, sorted.
        items: by event, camera, start and id.
        cover: makes heads unrecognisable, given a crop's row and bytes; None: crops stay as they are.
        rights: whether anybody said anything of consent or licence.
    """

    root: Path
    manifest: Manifest
    fingerprint: str
    cameras: tuple[str, ...]
    events: tuple[str, ...]
    items: tuple[Item, ...]
    rights: bool = False
    cover: Callable[[dict, bytes], bytes] | None = None

    def source(self, event: int, camera: int) -> SourceFacts | None:
        """The video that a camera of an event is, or a view of; None where the manifest doesn't say."""
        here = [source for source in self.manifest.sources if source.event == self.events[event]]
        name = self.cameras[camera]
        named = [source for source in here if name == source.camera or name.startswith(f"{source.camera}@")]
        return named[0] if named else here[0] if len(here) == 1 else None

    @property
    def outfits(self) -> tuple[str, ...]:
        """Names of the outfits, sorted; none where none is known."""
        return tuple(sorted({item.outfit for item in self.items if item.outfit}))

    def part(self, *roles: str) -> tuple[Item, ...]:
        """The items of these roles; of training, persons only, as whoever trains on it sees it."""
        return tuple(i for i in self.items if i.role in roles and (i.role != "train" or i.person))


def read_content(root: Path) -> Content:
    """The dataset in folder `root`, its review decisions applied.

    Raises:
        UsageError: no dataset of ours, a damaged one, or a decision that doesn't apply to it.
    """
    dataset = read_dataset(root)
    assert dataset.manifest is not None  # of our own format
    table, frames = reviewed_tables(root)
    rights, people_stand = standings(root, dataset.manifest, table)
    nobody_stands = {event: rights.of_nobody(event, people_stand) for event in dataset.events}
    people = dict(table.filter(kind="person").select("id", "identity").iter_rows())
    texts = texts_by_identity(reviewed_captions(root), people)
    rows = {id_: part for (id_,), part in frames.group_by("tracklet", maintain_order=True)}
    items = [
        Item(
            id=row["id"],
            identity=row["identity"],
            kind=row["kind"],
            camera=dataset.cameras.index(row["camera"]),
            event=dataset.events.index(row["event"]),
            split=row["split"],
            role=row["role"],
            start=row["start"],
            end=row["end"],
            captions=texts.get(row["identity"], ()) if row["kind"] == "person" else (),
            outfit=row.get("outfit") or "",
            standing=people_stand[row["event"], row["identity"]]
            if row["kind"] == "person"
            else nobody_stands[row["event"]],
            rows=rows[row["id"]].sort("frame", maintain_order=True),
        )
        for row in table.sort("event", "camera", "start", "id").iter_rows(named=True)
    ]
    known = dataset.manifest, dataset.fingerprint, dataset.cameras, dataset.events
    return Content(root, *known, items=tuple(items), rights=bool(rights))


def read_crops(content: Content, item: Item) -> Iterator[tuple[dict, bytes]]:
    """Each crop of a tracklet, in time order: its row of frames.parquet, and the JPEG's bytes.

    Raises:
        UsageError: a shard was cut, or holds something else than JPEG where a crop should be.
    """
    rows = item.rows.to_dicts()
    with open(content.root / rows[0]["shard"], "rb") as file:
        for row in rows:
            file.seek(row["offset"])
            data = file.read(row["length"])
            if len(data) != row["length"] or data[:2] != _JPEG:
                raise UsageError(
                    f"Frame {row['frame']} of tracklet '{printable(item.id)}' in '{row['shard']}' is no whole JPEG. "
                    "`reidkit check` names all such; copy the dataset again, or build it again."
                )
            yield row, content.cover(row, data) if content.cover else data


def record(content: Content, item: Item) -> dict:
    """What is known of a tracklet, names in place of indices, for formats that hold it in words."""
    return {
        "id": item.id,
        "identity": item.identity,
        "kind": item.kind,
        "camera": content.cameras[item.camera],
        "event": content.events[item.event],
        "split": item.split,
        "role": item.role,
        "start": item.start,
        "end": item.end,
        "captions": list(item.captions),
        "outfit": item.outfit or None,
    }


def numbered(items: Iterable[Item]) -> list[tuple[Item, int]]:
    """Items by person and camera, each with its number from 1 among those of its (person, camera)."""
    count: Counter[tuple[int, int]] = Counter()
    out = []
    for item in sorted(items, key=lambda item: (item.pid, item.camera)):  # stable: by time within a camera
        count[item.pid, item.camera] += 1
        out.append((item, count[item.pid, item.camera]))
    return out


def divided(items: Iterable[Item], most: int) -> list[list[Item]]:
    """Items in order, in parts that are closed as soon as their crops have `most` bytes; no tracklet is parted."""
    parts: list[list[Item]] = []
    size = most
    for item in items:
        if size >= most:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += int(item.rows["length"].sum())
    return parts


def over(content: Content, what: str, items: Iterable[Item], *, people: int, tracklets: int, frames: int) -> str:
    """The reason why these items don't fit into names of that many digits; "" where they do.

    Args:
        what: "a name of MARS", for the sentence.
        people, tracklets, frames: the largest number of a person, of tracklets of a (person, camera), and of crops in
            a tracklet.
    """
    items = list(items)
    if any(item.person and item.identity == DISTRACTOR for item in items):
        return f"a person has identity 0, which {what} keeps for distractors"
    largest = max((item.pid for item in items), default=0)
    if largest > people:
        return f"identity {largest} is there, and {what} holds numbers up to {people}"
    count = Counter((item.pid, item.camera) for item in items)
    for (pid, camera), number in count.most_common(1):
        if number > tracklets:
            return (
                f"identity {pid} has {number} tracklets in camera '{content.cameras[camera]}', and {what} holds "
                f"{tracklets}"
            )
    longest = max(items, key=lambda item: len(item.rows), default=None)
    if longest is not None and len(longest.rows) > frames:
        return f"tracklet '{longest.id}' has {len(longest.rows)} frames, and {what} holds {frames}"
    return ""
