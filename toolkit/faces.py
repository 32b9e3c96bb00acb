"""Heads in crops covered, of the crop's person and of whoever stands beside: `export --blur-faces`.

    cover = HeadCover(tracklets, frames, finder=None)       # or FaceFinder("face.onnx")
    jpeg = cover(row, jpeg)                                  # of a row of frames, with event and camera
    cover.estimate()                                         # what is covered, and what most likely was missed

The region goes by proportion (`datasets.heads`); with a face or head detector, what it finds is covered as well, and
where it finds the person's own head, that takes the place of the proportion's guess.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..datasets.errors import UsageError
from ..datasets.files import sha256_file
from ..datasets.heads import Region, cover_jpeg, head_region
from ..datasets.images import decode
from .paths import between
from .track import BOX

HIDDEN, CUT, WIDE = 0.3, 0.05, 0.65  # occlusion, truncation, width to height from which a crop is of another kind
FACE_CONFIDENCE = 0.3
# By which share of its sides a found face is enlarged to a head: left and right, up, down.
FACE_TO_HEAD = 0.25, 0.45, 0.15
# Of visible head pixels the share that the region covers, and of heads those of which 90 % is covered, on simulated
# sports and dance (benchmarks/faces.py): the lower of the figures of seeds 80 to 82 and 921 to 923.
MEASURED = {"upright": (0.999, 0.998), "wide": (0.995, 0.996), "hidden or cut": (0.999, 0.999)}


def kind_of(row: Mapping[str, Any]) -> str:
    """How a crop shows its person, which decides how well a head is found by proportion."""
    if row["occlusion"] > HIDDEN or row["truncation"] > CUT:
        return "hidden or cut"
    wide = row["x2"] - row["x1"] > WIDE * (row["y2"] - row["y1"])
    return "wide" if wide else "upright"


class Bystanders:
    """The boxes of all others at the time of a crop, from their own crops before and after it.

    Args:
        tracklets, frames: columns of `format.TRACKLET_SCHEMA` and `FRAME_SCHEMA`.
    """

    def __init__(self, tracklets: pl.DataFrame, frames: pl.DataFrame) -> None:
        places = tracklets.select("event", "camera", tracklet="id")
        rows = frames.select("tracklet", "time", *BOX).join(places, on="tracklet").sort("tracklet", "time")
        self._paths: dict[tuple[str, str], list[tuple[str, np.ndarray, np.ndarray]]] = {}
        for (event, camera, id_), path in rows.group_by(["event", "camera", "tracklet"], maintain_order=True):
            entry = id_, path["time"].to_numpy(), path.select(BOX).to_numpy()
            self._paths.setdefault((event, camera), []).append(entry)
        # First and last time of each: of a long take's tracklets few are near a crop's time.
        self._spans = {
            place: np.array([(times[0], times[-1]) for _, times, _ in paths]) for place, paths in self._paths.items()
        }

    def near(self, row: Mapping[str, Any]) -> list[Region]:
        """Boxes of others that meet the crop's box, at its time."""
        place, at = (row["event"], row["camera"]), np.array([row["time"]])
        if place not in self._paths:
            return []
        first, last = self._spans[place].T
        found = []
        for k in np.flatnonzero((first - 1 <= at) & (at <= last + 1)):
            id_, times, boxes = self._paths[place][k]
            if id_ == row["tracklet"]:
                continue
            (box,), (known,) = between(times, boxes, at)
            apart = box[0] > row["x2"] or box[2] < row["x1"] or box[1] > row["y2"] or box[3] < row["y1"]
            if known and not apart:
                found.append(tuple(box.tolist()))
        return found


def regions_of(row: Mapping[str, Any], others: Sequence[Region]) -> list[Region]:
    """The regions of heads in a crop's pixels: its person's first, then those of `others`, whose boxes meet it."""
    left, top = max(0.0, float(np.floor(row["x1"]))), max(0.0, float(np.floor(row["y1"])))
    own = head_region((row["x1"], row["y1"], row["x2"], row["y2"]), row["truncation"])
    heads = [own, *(head_region(box) for box in others)]
    return [(x1 - left, y1 - top, x2 - left, y2 - top) for x1, y1, x2, y2 in heads]


class FaceFinder:
    """A YOLO face or head detector in an .onnx file (its forms: `yolo_onnx`).

    Raises:
        UsageError: no such file, or no such detector.
    """

    def __init__(self, path: Path) -> None:
        from .yolo_onnx import OnnxDetector

        if path.suffix.lower() != ".onnx" or not path.is_file():
            raise UsageError(f"There is no detector '{path}'. Give the .onnx file of a YOLO that finds faces or heads.")
        digest = sha256_file(path)
        self.name = path.name
        self._detector = OnnxDetector(path, name=path.name, sha256=digest, confidence=FACE_CONFIDENCE, threads=1)

    def find(self, picture: np.ndarray) -> list[Region]:
        """Heads in a crop (uint8 RGB [H, W, 3]): the faces found, enlarged to heads."""
        side, up, down = FACE_TO_HEAD
        found = []
        for x1, y1, x2, y2 in self._detector.detect([picture])[0].xyxy.tolist():
            wide, tall = x2 - x1, y2 - y1
            found.append((x1 - side * wide, y1 - up * tall, x2 + side * wide, y2 + down * tall))
        return found


@dataclass
class HeadCover:
    """Covers heads crop by crop, and keeps count.

    Args:
        tracklets, frames: of the dataset; a crop's own row comes from `frames`.
        finder: None: by proportion alone.
    """

    tracklets: pl.DataFrame
    frames: pl.DataFrame
    finder: FaceFinder | None = None
    _kinds: Counter[str] = field(default_factory=Counter)
    _found: int = 0

    def __post_init__(self) -> None:
        self._bystanders = Bystanders(self.tracklets, self.frames)
        self._places = {id_: at for id_, *at in self.tracklets.select("id", "event", "camera").iter_rows()}

    def __call__(self, row: Mapping[str, Any], data: bytes) -> bytes:
        """The crop with its heads covered.

        Raises:
            UsageError: the crop is no picture.
        """
        event, camera = self._places[row["tracklet"]]
        place = {**row, "event": event, "camera": camera}
        regions = regions_of(place, self._bystanders.near(place))
        self._kinds[kind_of(row)] += 1
        if self.finder is not None:
            picture = decode(data)
            found = [] if picture is None else self.finder.find(picture)
            own = [head for head in found if _within(head, regions[0])]
            self._found += bool(own)
            regions = [*found, *(regions[1:] if own else regions)]
        covered = cover_jpeg(data, regions)
        if covered is None:
            raise UsageError(
                f"Frame {row['frame']} of tracklet '{row['tracklet']}' can't be decoded. Run `reidkit check`."
            )
        return covered

    def estimate(self) -> dict[str, float | int | str]:
        """What was covered, and what most likely wasn't.

        Returns:
            crops; head_pixels and heads, the shares that the region covers of simulated people in crops of these
            kinds; heads_missed, how many crops that leaves with less than 90 % of the head covered; detector and
            faces_found, the crops in which it saw the person's own head, where there is one.
        """
        crops = sum(self._kinds.values())
        pixels, heads = (
            sum(MEASURED[kind][k] * number for kind, number in self._kinds.items()) / max(crops, 1) for k in (0, 1)
        )
        facts: dict[str, float | int | str] = {
            "crops": crops,
            "head_pixels": round(pixels, 4),
            "heads": round(heads, 4),
            "heads_missed": round((1 - heads) * crops),
        }
        return facts if self.finder is None else {**facts, "detector": self.finder.name, "faces_found": self._found}


def _within(head: Region, region: Region) -> bool:
    """Whether the middle of a head lies in a region."""
    x, y = (head[0] + head[2]) / 2, (head[1] + head[3]) / 2
    return region[0] <= x <= region[2] and region[1] <= y <= region[3]
