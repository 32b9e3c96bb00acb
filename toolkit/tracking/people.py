"""A take's detections to tracks, with the camera's motion taken out: `track_people(detections, None, settings)`."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl

from ..camera_path import CameraPath
from ..track import BOX, TRACK_COLUMNS, renumber
from .camera import pan
from .follow import Fate, FollowSettings, Seen, follow
from .geometry import crowding, expanded_overlap
from .mending import MendSettings, bridge, cut_changes, fill, second_tracks

ALONE, LEAST_PAIRS = 0.1, 30


def track_people(
    detections: pl.DataFrame,
    looks: np.ndarray | None,
    settings: FollowSettings,
    mending: MendSettings | None = None,
    steps: np.ndarray | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Follows people through one source.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, confidence, by frame; a frame that was looked at and holds
            nobody has one row with null in place of a box.
        looks: [rows of `detections`, D], L2-normalised, zeros for a box that has none; None: motion only.
        steps: [F, 2, 3] of the camera (`camera_path`) in each frame that was looked at; None: a pan is read off the
            boxes.

    Returns:
        TRACK_COLUMNS, ordered by frame and track, where boxes that fill gaps have null for confidence; and counts:
        boxes_second and boxes_weak (found, but in no track), boxes_filled, cuts_changed, tracks_bridged.
    """
    mending = mending or MendSettings(reach=settings.max_gap, gap=settings.max_gap)
    frames = detections.select("frame", "time").unique(maintain_order=True)
    rows = np.flatnonzero(detections["x1"].is_not_null().to_numpy())
    found = detections[rows]
    box = found.select(BOX).to_numpy().astype(np.float64).reshape(-1, 4)
    start = np.searchsorted(found["frame"].to_numpy(), frames["frame"].to_numpy())
    start = np.append(start, len(found)).astype(np.int64)
    per_frame = [box[a:b] for a, b in itertools.pairwise(start)]
    crowd = np.concatenate([crowding(boxes) for boxes in per_frame]) if per_frame else np.zeros(0)
    seen = Seen(
        time=frames["time"].to_numpy(),
        start=start,
        box=box,
        confidence=found["confidence"].to_numpy().astype(np.float64),
        looks=np.zeros((len(box), 0)) if looks is None else np.asarray(looks, np.float64)[rows],
        camera=CameraPath.of(pan(per_frame) if steps is None else steps),
    )
    seen = _measured(seen, crowd)
    followed = follow(seen, settings)
    track, cuts = cut_changes(seen, followed.track, crowd, mending)
    track, joins = bridge(seen, track, crowd, mending)
    second = second_tracks(seen, track, mending)
    track = np.where(second, 0, track)
    gaps = fill(seen, track, mending)
    tracks = _table(frames, found, track, gaps)
    counts = {
        "boxes_second": int((followed.fate == Fate.SECOND).sum() + second.sum()),
        "boxes_weak": int((followed.fate == Fate.WEAK).sum()),
        "boxes_filled": len(gaps),
        "cuts_changed": cuts,
        "tracks_bridged": joins,
    }
    return tracks, counts


def _measured(seen: Seen, crowd: np.ndarray) -> Seen:
    """With the cosines of two people's looks (in one frame) and of one person's (alone, from frame to frame)."""
    if not seen.looks.shape[1]:
        return seen
    known = seen.looks.any(1) & (crowd < ALONE)
    different, same = [], []
    last, before = np.zeros(0, np.int64), 0
    for k, (a, b) in enumerate(itertools.pairwise(seen.start)):
        here = np.arange(a, b)[known[a:b]]
        if not len(here):
            continue
        cosine = seen.looks[here] @ seen.looks[here].T
        different.append(cosine[np.triu_indices(len(here), 1)])
        if len(last):
            near = expanded_overlap(seen.camera.carry(seen.box[last], before, k), seen.box[here], 0.3) >= 0.5
            same.append((seen.looks[last] @ seen.looks[here].T)[near])
        last, before = here, k
    different, same = (np.concatenate(part) if part else np.zeros(0) for part in (different, same))
    if min(len(different), len(same)) < LEAST_PAIRS:
        return seen
    return replace(seen, different=float(different.mean()), same=float(same.mean()))


def _table(
    frames: pl.DataFrame,
    found: pl.DataFrame,
    track: np.ndarray,
    gaps: list[tuple[int, int, np.ndarray]],
) -> pl.DataFrame:
    """TRACK_COLUMNS of the boxes in tracks and of those that fill gaps."""
    inside = np.flatnonzero(track > 0)
    own = found[inside].with_columns(track=pl.Series(track[inside], dtype=pl.Int64), truth=pl.lit(None, pl.Int64))
    frame, time = frames["frame"].to_list(), frames["time"].to_list()
    rows = [(frame[k], time[k], int(track[row]), *box.tolist(), None, None) for k, row, box in gaps]
    filled = pl.DataFrame(rows, schema=TRACK_COLUMNS, orient="row")
    return renumber(pl.concat([own.select(list(TRACK_COLUMNS)).cast(TRACK_COLUMNS), filled]))
