"""Where a take's tracks come from, decided once: a detector and a tracker, or an annotation.

    boxes = box_source(source, load_detector)           # Detected, or Annotated
    followed = boxes.follow(take, settings, home)
    followed.tracks, followed.detections, followed.counts

What comes behind asks the data: a track whose `truth` isn't null is an annotated one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import polars as pl
import supervision as sv

from ..datasets.files import sha256_file
from ..datasets.mot import read_people
from ..datasets.prefetch import prefetch
from ..datasets.progress import progress, say
from .at_once import in_order
from .camera_motion import STEP_COLUMNS, MotionFinder, joined, steps_table
from .camera_path import IDENTITY, CameraPath
from .detect import TRACK_CONFIDENCE, Detector
from .embed import Embedder
from .looks import Looks
from .refine import refined
from .settings import FootageSettings
from .sources import Box, Source
from .track import BOX, MCBYTE, annotated_tracks, cut_ambiguous, track_boxes
from .tracking import FollowSettings, by_frame, looks_of, steadied, track_people
from .video import DecodeCount, Frame, FrameReader, Segment, Take, segments
from .work import REVISION, Count, read_piece, work_key, write_piece

LOOKS = "looks"  # our tracker's name; the others are those of `track.TRACKERS`
BATCH = 8  # frames given to the detector at once

DETECTION_COLUMNS = {
    "frame": pl.Int64,
    "time": pl.Float64,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "x2": pl.Float32,
    "y2": pl.Float32,
    "confidence": pl.Float32,
}


class DetectionFacts(TypedDict):
    """The counts of one segment: its frames that were expected, read and damaged, the boxes found, and those that were
    dropped as second boxes on a person."""

    expected: Count
    read: Count
    damaged: Count
    boxes: Count
    duplicates: Count


class MotionFacts(TypedDict):
    """Of one segment: the frames between which the camera's motion was looked for."""

    frames: Count


@dataclass(frozen=True)
class Followed:
    """The tracks of a take, before they are cut by gaps and lengths.

    Attributes:
        tracks: TRACK_COLUMNS.
        detections: DETECTION_COLUMNS, all of them, those in a track as steadied there; a frame without any has a row
            with nulls. Empty for an annotation.
        counts: boxes, boxes_ignored (in a region to ignore), and what else was counted on the way.
        looks: of the rows of `detections`.
        decoded: of all frames; None where none was read.
        basis: stands for all that the tracks depend on beside the settings.
    """

    tracks: pl.DataFrame
    detections: pl.DataFrame
    counts: dict[str, int]
    decoded: DecodeCount | None
    basis: str
    looks: Looks


class BoxSource(Protocol):
    """What finds the people in a take and follows them.

    Attributes:
        detector: for the manifest; None where no detector is asked.
    """

    @property
    def detector(self) -> Detector | None: ...

    def settle(self, settings: FootageSettings) -> FootageSettings:
        """The settings with the detector's own values where they leave them open."""
        ...

    def follow(self, take: Take, settings: FootageSettings, home: Path) -> Followed:
        """The people's tracks.

        Args:
            settings: settled ones.
            home: folder for the take's durable pieces of work.
        """
        ...


def box_source(
    source: Source,
    load_detector: Callable[[], Detector],
    load_embedder: Callable[[], Embedder] | None = None,
    threads: int = 1,
) -> BoxSource:
    """The annotation of a source that has one, the detector for any other.

    Args:
        load_detector: called when a detector is needed for the first time.
        load_embedder: called where the tracker looks at people; None: it follows them by their motion alone.
        threads: that call a model at once, if it can be (`at_once`); they decide nothing.
    """
    if source.annotation is not None:
        return Annotated(source.annotation)
    return Detected(load_detector, load_embedder, threads)


def settled(settings: FootageSettings, detector: Detector | None) -> FootageSettings:
    """The settings with the detector's own values where they leave them open."""
    own = {
        "confidence": getattr(detector, "track_confidence", TRACK_CONFIDENCE),
        "drop_duplicates": getattr(detector, "drop_duplicates", True),
    }
    return replace(settings, **{name: value for name, value in own.items() if getattr(settings, name) is None})


class Annotated:
    """Boxes and ids out of a MOTChallenge annotation; ids are people's, so nothing need be found out."""

    detector = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def settle(self, settings: FootageSettings) -> FootageSettings:
        return settled(settings, None)

    def follow(self, take: Take, settings: FootageSettings, home: Path) -> Followed:
        found = annotated_tracks(read_people(self.path), take.fps)
        kept = outside(found, take.source.ignore)
        return Followed(
            tracks=kept,
            detections=pl.DataFrame(schema=DETECTION_COLUMNS),
            counts={"boxes": len(found), "boxes_ignored": len(found) - len(kept)},
            decoded=None,
            basis=work_key(take.sha256, sha256_file(self.path), take.source.ignore),
            looks=Looks.nothing(0),
        )


class Detected:
    """People as a detector finds them in every frame and a tracker follows them."""

    def __init__(
        self,
        load_detector: Callable[[], Detector],
        load_embedder: Callable[[], Embedder] | None = None,
        threads: int = 1,
    ) -> None:
        self._load = load_detector
        self._load_embedder = load_embedder
        self._threads = threads

    @cached_property
    def detector(self) -> Detector:
        return self._load()

    def settle(self, settings: FootageSettings) -> FootageSettings:
        return settled(settings, self.detector)

    def follow(self, take: Take, settings: FootageSettings, home: Path) -> Followed:
        basis = detection_key(take, self.detector, settings)
        found, steps, number, decoded = self._detect(take, settings, home / f"detect-{basis}")
        kept = outside(found, take.source.ignore)
        moving, cuts = (steps != IDENTITY).any((1, 2)).sum(), np.isnan(steps).any((1, 2)).sum()
        if moving:
            say(f"{take.source.key}: the camera moves in {moving / len(steps):.0%} of the frames, {cuts} cuts of scene")
        counts = {
            **number,
            "boxes_ignored": number["boxes"] - int(kept["x1"].is_not_null().sum()),
            **decoded.named(),
            "frames_camera_moved": int(moving),
            "scene_cuts": int(cuts),
        }
        if settings.tracker != LOOKS:
            tracks, followed = _follow_by_boxes(take, kept, steps, settings)
            return Followed(tracks, kept, counts | followed, decoded, basis, Looks.nothing(len(kept)))
        looks, boxes = Looks.nothing(len(kept)), by_frame(kept, steps)
        if self._load_embedder is not None:
            embedder = self._load_embedder()
            basis = work_key(basis, embedder.sha256)
            folder = home / f"looks-{basis}"
            looks = looks_of(take, kept, boxes, embedder, settings.segment_seconds, folder, self._threads)
            counts["boxes_embedded"] = len(looks.features)
        following = FollowSettings(take.fps, confidence=settings.confidence, max_gap=settings.max_gap)
        tracks, followed = track_people(kept, boxes, looks, following)
        tracks, kept = steadied(tracks, kept)
        return Followed(tracks, kept, counts | followed, decoded, basis, looks)

    def _detect(
        self, take: Take, settings: FootageSettings, folder: Path
    ) -> tuple[pl.DataFrame, np.ndarray, dict[str, int], DecodeCount]:
        """All detections of a take by frame, the camera's steps [F, 2, 3] in those frames, how many boxes they are and
        how many second ones were dropped, and the frames that were decoded for them."""
        detector = refined(self.detector, flip_test=settings.flip_test, drop_duplicates=bool(settings.drop_duplicates))
        tables, moves, decoded, number = [], [], DecodeCount(), {"boxes": 0, "boxes_duplicate": 0}
        with progress(f"{take.source.key}: detect", total=take.frame_count, unit="frames") as advance:
            for piece in segments(take, settings.segment_seconds):
                table, moved, done = detect_segment(
                    take.source, piece, detector, folder, advance, threads=self._threads
                )
                tables.append(table)
                moves.append(moved)
                decoded += DecodeCount(done["expected"], done["read"], done["damaged"])
                number["boxes"] += done["boxes"]
                number["boxes_duplicate"] += done["duplicates"]
        # A decoder may give out frames late after damage.
        found = pl.concat(tables).sort("frame", maintain_order=True)
        return found, joined(moves, found["frame"].unique().sort().to_numpy()), number, decoded


def _follow_by_boxes(
    take: Take, found: pl.DataFrame, steps: np.ndarray, settings: FootageSettings
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The tracks of one of the trackers of `trackers`, cut where they may have gone astray, and counts."""
    camera = CameraPath.of(steps)
    tracks = track_boxes(
        found,
        fps=take.fps,
        tracker=settings.tracker,
        confidence=settings.confidence,
        max_gap=settings.max_gap,
        camera=camera,
        picture_of=_pictures(take) if settings.tracker == MCBYTE else None,
    )
    boxes, inside = int(found["x1"].is_not_null().sum()), len(tracks)
    tracks, cuts = cut_ambiguous(tracks, found, camera)
    return tracks, {"boxes_untracked": boxes - inside, "cuts_ambiguous": cuts}


def _pictures(take: Take) -> Callable[[int], np.ndarray | None]:
    """Gives a take's frames at full size, one after the other, by their index; None for one that doesn't decode."""
    frames = iter(FrameReader(take.source))
    waiting: dict[int, np.ndarray] = {}

    def picture(index: int) -> np.ndarray | None:
        while index not in waiting:
            frame = next(frames, None)
            if frame is None:
                return None
            if frame.index >= index:
                waiting[frame.index] = frame.image
            if frame.index > index:
                break
        found = waiting.pop(index, None)
        for old in [number for number in waiting if number < index]:
            del waiting[old]
        return found

    return picture


def detection_key(take: Take, detector: Detector, settings: FootageSettings) -> str:
    """Names the folder of a take's detections: all that they depend on."""
    return work_key(
        REVISION,
        take.sha256,
        take.source.fps,
        take.source.ignore,
        detector.sha256,
        list(detector.input_size),
        getattr(detector, "confidence", None),
        settings.flip_test,
        settings.drop_duplicates,
        settings.segment_seconds,
    )


def detect_segment(
    source: Source,
    piece: Segment,
    detector: Detector,
    folder: Path,
    advance: Callable[[int], None] | None = None,
    *,
    threads: int = 1,
) -> tuple[pl.DataFrame, pl.DataFrame, DetectionFacts]:
    """The detections of one segment (DETECTION_COLUMNS), the camera's steps in it (`camera_motion.STEP_COLUMNS`), and
    its counts; read back from `folder` if they are there."""
    kept, moved = (
        read_piece(folder, piece, DETECTION_COLUMNS, DetectionFacts),
        read_piece(folder / "camera", piece, STEP_COLUMNS, MotionFacts),
    )
    if kept and moved:
        if advance:
            advance(kept[1]["expected"])
        return kept[0], moved[0], kept[1]
    reader = FrameReader(source, piece.start, piece.stop, size=detector.input_size)
    finder, looked_at, scale = MotionFinder(), [], 1.0
    rows: list[tuple] = []
    duplicates = 0

    def detect(batch: list[Frame]) -> tuple[list[Frame], list[sv.Detections]]:
        return batch, detector.detect([frame.image for frame in batch])

    for batch, people in in_order(detector, detect, prefetch(_batches(reader)), threads):
        for frame, found in zip(batch, people, strict=True):
            duplicates += found.metadata.get("duplicates", 0)
            # A frame that a decoder gives out late tells nothing of the one before it.
            if not looked_at or frame.index > looked_at[-1]:
                finder.add(frame.image, found.xyxy)
                looked_at.append(frame.index)
                scale = frame.width / frame.image.shape[1]
            sides = np.array([frame.width / frame.image.shape[1], frame.height / frame.image.shape[0]] * 2, np.float32)
            for box, confidence in zip(found.xyxy * sides, found.confidence, strict=True) if len(found) else ():
                rows.append((frame.index, frame.time, *map(float, box), float(confidence)))
            if not len(found):
                rows.append((frame.index, frame.time, None, None, None, None, None))
        if advance:
            advance(len(batch))
    table = pl.DataFrame(rows, schema=DETECTION_COLUMNS, orient="row")
    steps = steps_table(finder, looked_at, scale)
    count = reader.count
    boxes = int(table["x1"].is_not_null().sum())
    done = DetectionFacts(
        expected=count.expected, read=count.read, damaged=count.damaged, boxes=boxes, duplicates=duplicates
    )
    write_piece(folder / "camera", piece, steps, MotionFacts(frames=len(steps)))
    write_piece(folder, piece, table, done)
    return table, steps, done


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def outside(boxes: pl.DataFrame, ignore: Iterable[Box]) -> pl.DataFrame:
    """The boxes whose middle of the lower edge, where a person stands, is in no region to ignore.

    A frame all of whose detections go keeps a row with nulls: the tracker must know that it was looked at.
    """
    regions = list(ignore)
    if not regions:
        return boxes
    x, y = (pl.col("x1") + pl.col("x2")) / 2, pl.col("y2")
    inside = pl.any_horizontal(
        *[x.is_between(x1, x2) & y.is_between(y1, y2) for x1, y1, x2, y2 in regions],
    ).fill_null(False)
    if "track" in boxes.columns:
        return boxes.filter(~inside)
    empty = boxes.with_columns(
        [pl.when(inside).then(None).otherwise(pl.col(name)).alias(name) for name in (*BOX, "confidence")]
    )
    alone = ~pl.col("x1").is_not_null().any().over("frame") & pl.col("frame").is_first_distinct()
    return empty.filter(pl.col("x1").is_not_null() | alone)
