"""The dataset under review as it was built: its tables, its captions, and the bytes of its crops.

    material = read_material(Path("dancers"))
    material.origins["cup--left--00003"].frames     # source frames of its crops, in time order
    material.crop("cup--left--00003", 0)            # JPEG bytes

Parts of tracklets that the review cuts (`datasets.replay.Piece`) are ranges of an origin's crops.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...datasets.captions import Caption, read_captions
from ...datasets.errors import ReidkitError
from ...datasets.identities import identity_table
from ...datasets.manifest import Manifest, read_manifest
from ...datasets.own import frame_table, tracklet_table
from ...datasets.replay import Piece
from ..crops import crop_quality


@dataclass(frozen=True)
class Origin:
    """A tracklet as it was built.

    Attributes:
        start, end: seconds of the source's own clock.
        offset: seconds from the event's start to the source's.
        frames: [n] source frames of its crops, rising. times: [n] seconds. quality: [n] 0 to 1.
        row: the first of its rows in `Material.frames`.
    """

    id: str
    camera: str
    event: str
    start: float
    end: float
    offset: float
    confidence: float | None
    quality: float | None
    frames: np.ndarray
    times: np.ndarray
    crop_quality: np.ndarray
    row: int

    def rows(self, piece: Piece) -> slice:
        """The piece's crops, as places in `frames`."""
        low, high = np.searchsorted(self.frames, [piece.first, piece.stop])
        return slice(int(low), int(high))

    def span(self, piece: Piece) -> tuple[float, float]:
        """First and last second of the piece on the event's clock."""
        if piece.first == float("-inf") and piece.stop == float("inf"):
            return self.start + self.offset, self.end + self.offset
        rows = self.rows(piece)
        start = self.start if piece.first == float("-inf") else float(self.times[rows.start])
        end = self.end if piece.stop == float("inf") else float(self.times[rows.stop - 1])
        return start + self.offset, end + self.offset


@dataclass(frozen=True)
class Material:
    """What a review starts from.

    Attributes:
        tracklets, frames: the proposals; frames sorted by tracklet and frame.
        identities: how sure the build is of each; None where it didn't say.
        captions: tracklet -> its captions.
        origins: tracklet -> what is known of it.
    """

    root: Path
    manifest: Manifest
    tracklets: pl.DataFrame
    frames: pl.DataFrame
    identities: pl.DataFrame | None
    captions: Mapping[str, list[Caption]]
    origins: Mapping[str, Origin]

    def crop(self, origin: str, number: int) -> bytes:
        """The JPEG of the tracklet's crop `number`, from 0 in time.

        Raises:
            ReidkitError: it can't be read, or lies outside the dataset's folder.
        """
        shard, offset, length = self.frames.select("shard", "offset", "length").row(self.origins[origin].row + number)
        path = (self.root / shard).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ReidkitError(f"'{shard}' lies outside '{self.root}'.")
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise ReidkitError(f"'{path}' can't be read: {error.strerror or error}.") from None


def read_material(root: Path) -> Material:
    """
    Raises:
        UsageError: no dataset of ours, or a damaged one.
    """
    manifest = read_manifest(root)
    tracklets = tracklet_table(root)
    frames = frame_table(root).sort("tracklet", "frame", maintain_order=True)
    captions: dict[str, list[Caption]] = {}
    for caption in read_captions(root):
        captions.setdefault(caption.tracklet, []).append(caption)
    return Material(
        root, manifest, tracklets, frames, identity_table(root), captions, _origins(manifest, tracklets, frames)
    )


def _origins(manifest: Manifest, tracklets: pl.DataFrame, frames: pl.DataFrame) -> dict[str, Origin]:
    offsets = {(source.event, source.camera): source.offset for source in manifest.sources}
    numbers, times = frames["frame"].to_numpy(), frames["time"].to_numpy()
    quality = crop_quality(frames).to_numpy()
    counts = frames.group_by("tracklet", maintain_order=True).len()
    ends = np.cumsum(counts["len"].to_numpy())
    places = {id_: slice(int(end - n), int(end)) for (id_, n), end in zip(counts.iter_rows(), ends, strict=True)}
    found = {}
    columns = ("id", "camera", "event", "start", "end", "confidence", "quality")
    for id_, camera, event, start, end, confidence, good in tracklets.select(columns).iter_rows():
        rows = places[id_]
        offset = offsets.get((event, camera), offsets.get((event, camera.rpartition("@")[0]), 0.0))
        found[id_] = Origin(
            id=id_,
            camera=camera,
            event=event,
            start=float(times[rows.start]) if start is None else start,
            end=float(times[rows.stop - 1]) if end is None else end,
            offset=offset,
            confidence=confidence,
            quality=good,
            frames=numbers[rows],
            times=times[rows],
            crop_quality=quality[rows],
            row=rows.start,
        )
    return found
