"""Boxes of single frames to tracks: `track_boxes(detections, fps=25.0)`; annotated ones: `annotated_tracks(people)`.

A table of tracks has the columns of `TRACK_COLUMNS`. Tracks are numbered from 1 in the order in which they begin.
"""

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import supervision as sv

from ..datasets.errors import UsageError, choices
from ..datasets.mot import Line
from .camera_path import IDENTITY, CameraPath
from .mcbyte import mcbyte

TRACK_COLUMNS = {
    "frame": pl.Int64,  # index in the source, from 0
    "time": pl.Float64,  # seconds from the source's first frame
    "track": pl.Int64,  # from 1, by time of birth
    "x1": pl.Float32,  # source pixels; may lie outside the frame
    "y1": pl.Float32,
    "x2": pl.Float32,
    "y2": pl.Float32,
    "confidence": pl.Float32,  # null for a box that fills a gap: nobody saw it
    "truth": pl.Int64,  # the annotated id; null for tracks that a tracker made
}
BOX = ("x1", "y1", "x2", "y2")
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)
REFERENCE_RATE = 30.0  # the rate in which `trackers` states its buffer of lost frames
# Least intersection over union of a box with the place where the tracker expects its person, or where the person's last
# box was. Below, the box is more likely another person's: with the library's default of 0.1, the track of a person who
# is hidden slides onto a neighbour.
LEAST_OVERLAP = 0.3


def _bytetrack(fps: float, confidence: float, buffer: int):
    from trackers import ByteTrackTracker

    return ByteTrackTracker(
        lost_track_buffer=buffer,
        frame_rate=fps,
        track_activation_threshold=confidence,
        high_conf_det_threshold=confidence,
        minimum_iou_threshold=LEAST_OVERLAP,
    )


def _ocsort(fps: float, confidence: float, buffer: int):
    from trackers import OCSORTTracker

    return OCSORTTracker(lost_track_buffer=buffer, frame_rate=fps, high_conf_det_threshold=confidence)


class _KnownMotion:
    """The camera's motion where BoT-SORT would read it off full-size frames, which aren't made for it."""

    def __init__(self) -> None:
        self.step = IDENTITY

    def estimate(self, frame: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
        return self.step


def _botsort(fps: float, confidence: float, buffer: int):
    from trackers import BoTSORTTracker

    tracker = BoTSORTTracker(
        lost_track_buffer=buffer,
        frame_rate=fps,
        track_activation_threshold=confidence,
        high_conf_det_threshold=confidence,
        enable_cmc=True,
    )
    tracker.cmc = _KnownMotion()
    return tracker


def _cbiou(fps: float, confidence: float, buffer: int):
    from trackers import CBIoUTracker

    return CBIoUTracker(
        lost_track_buffer=buffer,
        frame_rate=fps,
        track_activation_threshold=confidence,
        high_conf_det_threshold=confidence,
    )


# ByteTrack: arXiv 2110.06864; OC-SORT: 2203.14360; BoT-SORT (here without appearance): 2206.14651;
# C-BIoU: 2211.14317.
MCBYTE = "mcbyte"
TRACKERS: dict[str, Callable] = {
    "bytetrack": _bytetrack,
    "ocsort": _ocsort,
    "botsort": _botsort,
    "cbiou": _cbiou,
    MCBYTE: mcbyte,
}


def track_boxes(
    detections: pl.DataFrame,
    *,
    fps: float,
    tracker: str = "bytetrack",
    confidence: float = 0.5,
    max_gap: float = 1.0,
    camera: CameraPath | None = None,
    picture_of: Callable[[int], np.ndarray | None] | None = None,
) -> pl.DataFrame:
    """Follows people through one source, with a fresh tracker for every shot.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, confidence. A frame that was looked at and holds nobody has one
            row with null in place of a box: the tracker must see it too.
        fps: the source's true rate. The tracker is told every frame's time as well, for variable rates and lost frames.
        tracker: a name of `TRACKERS`.
        confidence: a track starts, and is first looked for, at boxes of this confidence.
        max_gap: seconds after which an unseen person's track ends.
        camera: its path through the frames; None: it stands. The trackers go without it, but for BoT-SORT.
        picture_of: the frame of that index, uint8 RGB [H, W, 3]; asked for in order, by mcbyte only.

    Returns:
        `TRACK_COLUMNS`, ordered by frame and track.
    """
    if tracker not in TRACKERS:
        raise UsageError(choices(tracker, TRACKERS, "tracker"))
    rows: list[tuple] = []
    follow, born = None, 0
    detections = detections.sort("frame", maintain_order=True)
    for k, ((frame, time), group) in enumerate(detections.group_by(["frame", "time"], maintain_order=True)):
        if follow is None or (camera is not None and camera.begins[k]):
            # The buffer is in frames at 30 a second, whatever the source's rate.
            follow = TRACKERS[tracker](fps, confidence, max(1, round(max_gap * REFERENCE_RATE)))
            before = born
        boxes = group.drop_nulls("x1")
        seen = sv.Detections(
            xyxy=boxes.select(BOX).to_numpy().astype(np.float32).reshape(-1, 4),
            confidence=boxes["confidence"].to_numpy().astype(np.float32),
            class_id=np.zeros(len(boxes), int),
        )
        picture = {}
        if tracker == "botsort" and camera is not None and not camera.stands:
            follow.cmc.step = camera.steps[k]
            picture = {"frame": NO_PICTURE}  # it asks for the motion where there is a picture only
        if tracker == MCBYTE and picture_of is not None:
            picture = {"frame": picture_of(int(frame))}
        followed = follow.update(seen, timestamp=float(time), **picture)
        for box, score, track in (
            zip(followed.xyxy, followed.confidence, followed.tracker_id, strict=True) if len(followed) else ()
        ):
            if track >= 0:
                number = before + int(track) + 1
                born = max(born, number)
                rows.append((frame, time, number, *map(float, box), float(score), None))
    return renumber(pl.DataFrame(rows, schema=TRACK_COLUMNS, orient="row"))


def renumber(tracks: pl.DataFrame) -> pl.DataFrame:
    """Numbers tracks from 1 by first frame (older number first in a tie); rows ordered by frame and track."""
    births = tracks.group_by("track").agg(pl.col("frame").min()).sort("frame", "track")
    names = births.select("track", new=pl.int_range(1, len(births) + 1, dtype=pl.Int64))
    renamed = tracks.join(names, on="track", how="left", maintain_order="left").with_columns(track=pl.col("new"))
    return renamed.select(list(TRACK_COLUMNS)).sort("frame", "track")


def cut_tracks(tracks: pl.DataFrame, *, max_gap: float, max_length: float | None = None) -> pl.DataFrame:
    """Ends a track where its person was unseen for more than `max_gap` seconds, and after `max_length` seconds.

    Who comes back after a long gap may be somebody else; a track that was kept whole across it would mix the two
    unseen.
    """
    slack = 1e-6  # seconds; times are binary fractions of a rate
    tracks = tracks.sort("track", "frame")
    gap = (pl.col("time") - pl.col("time").shift(1).over("track")).fill_null(0.0) > max_gap + slack
    tracks = tracks.with_columns(part=gap.cast(pl.Int64).cum_sum().over("track"))
    if max_length is not None:
        age = pl.col("time") - pl.col("time").min().over("track", "part")
        span = (pl.col("time").max() - pl.col("time").min()).over("track", "part")
        # Equal parts, so that no crumb is left over at the end.
        pieces = (span / max_length - slack).ceil().clip(lower_bound=1)
        piece = (age / (span + slack) * pieces).floor().cast(pl.Int64)
        tracks = tracks.with_columns(piece=piece)
    else:
        tracks = tracks.with_columns(piece=pl.lit(0, pl.Int64))
    keys = tracks.select("track", "part", "piece").unique().sort("track", "part", "piece").with_row_index("id", 1)
    tracks = tracks.join(keys, on=["track", "part", "piece"], how="left", maintain_order="left")
    return renumber(tracks.with_columns(track=pl.col("id").cast(pl.Int64)))


def cut_ambiguous(
    tracks: pl.DataFrame, detections: pl.DataFrame, camera: CameraPath | None = None
) -> tuple[pl.DataFrame, int]:
    """Cuts tracks where somebody else's box fits as well as the one they went on with, and says how many cuts that is.

    A tracker must decide when people cross; a dataset's tracklet needn't. A step from box p to box q of a track is cut
    where another box of q's frame overlaps p at least as much as q does (p's person may be there), where another box of
    p's frame overlaps q at least as much as p does (q's person may come from there), or where q hardly overlaps p.
    Linking joins the parts again by their looks.

    Args:
        tracks: TRACK_COLUMNS.
        detections: frame, box; all of them, as the unfollowed box may be the right one. A frame that holds nobody has
            a row with null in place of a box where `camera` is given.
        camera: its path through the frames of `detections`: boxes are compared where they'd lie, had it stood.
    """
    tracks = tracks.sort("track", "frame")
    if not len(tracks):
        return tracks, 0
    box, frame = tracks.select(BOX).to_numpy().astype(np.float64), tracks["frame"].to_numpy()
    track = tracks["track"].to_numpy()
    step = np.flatnonzero(track[1:] == track[:-1]) + 1  # rows that go on from the row before
    rivals = _by_frame(detections.drop_nulls("x1"))
    ahead, back = box[step - 1], box[step]
    if camera is not None:
        place = np.searchsorted(detections["frame"].unique().sort().to_numpy(), frame)
        ahead = camera.carry(ahead, place[step - 1], place[step])
        back = camera.carry(back, place[step], place[step - 1])
    overlap, best_after = _overlaps(ahead, box[step], frame[step], rivals)
    _, best_before = _overlaps(back, box[step - 1], frame[step - 1], rivals)
    cut = np.zeros(len(box), np.int64)
    cut[step] = (overlap < LEAST_OVERLAP) | (np.maximum(best_after, best_before) >= overlap)
    # Sorted by track, so a number that rises at births and at cuts names the parts.
    born = np.concatenate([[1], (track[1:] != track[:-1]).astype(np.int64)])
    return renumber(tracks.with_columns(track=pl.Series((born + cut).cumsum()))), int(cut.sum())


def _by_frame(boxes: pl.DataFrame) -> dict[int, np.ndarray]:
    """frame -> boxes [n, 4]."""
    groups = boxes.group_by("frame", maintain_order=True)
    return {int(frame): group.select(BOX).to_numpy().astype(np.float64) for (frame,), group in groups}


def _overlaps(
    of: np.ndarray, own: np.ndarray, frame: np.ndarray, rivals: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union of each box `of` [N, 4] with its `own` [N, 4], and the highest with another box of the
    own one's `frame` [N], 0 where there is none; both [N]."""
    overlap, best = np.zeros(len(of), np.float32), np.zeros(len(of), np.float32)
    order = np.argsort(frame, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(frame[order])) + 1) if len(order) else ():
        overlap[rows] = np.diagonal(sv.box_iou_batch(of[rows], own[rows]))
        others = rivals.get(int(frame[rows[0]]))
        if others is not None:
            itself = (np.abs(others[None] - own[rows, None]) < 1e-3).all(axis=2)
            best[rows] = np.where(itself, 0.0, sv.box_iou_batch(of[rows], others)).max(axis=1)
    return overlap, best


def drop_short(tracks: pl.DataFrame, seconds: float) -> tuple[pl.DataFrame, int]:
    """Tracks that last at least `seconds` from first to last frame, renumbered, and how many did not."""
    spans = tracks.group_by("track").agg(span=pl.col("time").max() - pl.col("time").min())
    short = spans.filter(pl.col("span") < seconds - 1e-6)
    return renumber(tracks.join(short, on="track", how="anti", maintain_order="left")), len(short)


def annotated_tracks(people: Iterable[Line], fps: float) -> pl.DataFrame:
    """Tracks of annotated people (`datasets.mot.read_people`): `track` is a new number, `truth` the annotated id."""
    rows = [
        (p.frame - 1, (p.frame - 1) / fps, p.id, p.x, p.y, p.x + p.width, p.y + p.height, 1.0, p.id) for p in people
    ]
    return renumber(pl.DataFrame(rows, schema=TRACK_COLUMNS, orient="row"))
