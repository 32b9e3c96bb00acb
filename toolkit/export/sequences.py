"""Tracklets by the video they stand in, for the formats that are about boxes in videos: MOTChallenge and CVAT.

    for sequence in sequences(content):
        sequence.name, sequence.length, sequence.items

They hold the boxes of the crops and no pixels. Crops that a build left out as repetitions have no box.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ...datasets.errors import UsageError
from ...datasets.manifest import SourceFacts
from ...datasets.names import check_name
from .content import Content, Item


@dataclass(frozen=True)
class Sequence:
    """What one camera saw of one event.

    Attributes:
        name: `<event>--<camera>`, fit for a folder.
        source: of the manifest; None where it says nothing.
        length: frames of the video, or up to the last crop where the manifest doesn't say.
    """

    name: str
    event: int
    camera: int
    source: SourceFacts | None
    length: int
    items: tuple[Item, ...]

    @property
    def fps(self) -> float | None:
        """Frames a second: the manifest's, or by the times of the crops; None where neither says."""
        if self.source is not None and self.source.fps > 0:
            return self.source.fps
        rows = pl.concat([item.rows.select("frame", "time") for item in self.items])
        frames, seconds = (rows[name].max() - rows[name].min() for name in ("frame", "time"))
        return round(frames / seconds, 4) if frames > 0 and seconds > 0 else None


def sequences(content: Content) -> Iterator[Sequence]:
    """Every camera of every event in which somebody stands, in order."""
    by_video: dict[tuple[int, int], list[Item]] = {}
    for item in content.items:
        by_video.setdefault((item.event, item.camera), []).append(item)
    for (event, camera), items in by_video.items():
        source = content.source(event, camera)
        stated = round(source.seconds * source.fps) if source is not None else 0
        last = max(int(item.rows["frame"].max()) for item in items)
        name = f"{content.events[event]}--{content.cameras[camera]}"
        yield Sequence(name, event, camera, source, max(stated, last + 1), tuple(items))


def fault(content: Content, what: str) -> str:
    """Why videos, boxes or ids of the dataset don't fit into files of boxes; "" where they do.

    Args:
        what: "MOTChallenge", for the sentence.
    """
    names: set[str] = set()
    for sequence in sequences(content):
        try:
            check_name(sequence.name, "name of a sequence")
        except UsageError as error:
            return f"{what} names files after videos, and {str(error).partition(':')[0]}"
        if sequence.name in names:
            return f"two videos would both be named '{sequence.name}'"
        names.add(sequence.name)
    for item in content.items:
        if not item.id.isprintable():
            return f"the tracklet {item.id!a} has an invisible letter in its name"
        rows = item.rows
        flat = rows.filter((pl.col("x2") <= pl.col("x1")) | (pl.col("y2") <= pl.col("y1")))
        if len(flat):
            return f"tracklet '{item.id}' has no box in frame {flat['frame'][0]}, and {what} is about boxes"
    return ""
