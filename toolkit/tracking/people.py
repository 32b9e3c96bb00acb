"""A take's detections to tracks: `track_people(detections, by_frame(detections), looks, FollowSettings(fps=25.0))`."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl

from ..looks import Looks
from ..track import TRACK_COLUMNS, renumber
from .by_frame import TakenBoxes
from .chains import chains, spread_looks
from .follow import Fate, FollowSettings, Seen, follow
from .mending import MendSettings, bridge, cut_changes, fill, second_tracks

ALONE, LEAST_PAIRS = 0.1, 30


def track_people(
    detections: pl.DataFrame,
    boxes: TakenBoxes,
    looks: Looks,
    settings: FollowSettings,
    mending: MendSettings | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Follows people through one source.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, confidence, by frame.
        boxes: `by_frame` of them.
        looks: of the rows of `detections`; where they tell nothing, motion alone decides.

    Returns:
        TRACK_COLUMNS, ordered by frame and track, where boxes that fill gaps have null for confidence; and counts:
        boxes_second and boxes_weak (found, but in no track), boxes_filled, cuts_changed, tracks_bridged.
    """
    mending = mending or MendSettings(reach=settings.max_gap, gap=settings.max_gap)
    found, chain, crowd = detections[boxes.rows], chains(boxes), boxes.crowd
    own = looks.rows(boxes.rows)
    seen = Seen(
        time=boxes.frames["time"].to_numpy(),
        start=boxes.start,
        box=boxes.box,
        confidence=found["confidence"].to_numpy().astype(np.float64),
        looks=spread_looks(boxes, chain, own),
        camera=boxes.camera,
    )
    if looks:
        seen = _measured(seen, own.known, crowd < ALONE, chain)
    followed = follow(seen, settings)
    track, cuts = cut_changes(seen, followed.track, crowd, mending)
    track, joins = bridge(seen, track, crowd, mending)
    second = second_tracks(seen, track, mending)
    track = np.where(second, 0, track)
    gaps = fill(seen, track, mending)
    tracks = _table(boxes.frames, found, track, gaps)
    counts = {
        "boxes_second": int((followed.fate == Fate.SECOND).sum() + second.sum()),
        "boxes_weak": int((followed.fate == Fate.WEAK).sum()),
        "boxes_filled": len(gaps),
        "cuts_changed": cuts,
        "tracks_bridged": joins,
    }
    return tracks, counts


def _measured(seen: Seen, own: np.ndarray, alone: np.ndarray, chain: np.ndarray) -> Seen:
    """With the cosines of two people's looks, who stand in one frame, and of one person's, at two times.

    Args:
        own: [N] whether a box has looks of its own.
        alone: [N] whether it stands alone.
        chain: [N] of `chains`.
    """
    different = []
    known = np.flatnonzero(seen.looks.known & alone)
    for a, b in itertools.pairwise(np.searchsorted(known, seen.start)):
        here = seen.looks[known[a:b]]
        different.append((here @ here.T)[np.triu_indices(len(here), 1)])
    clear = np.flatnonzero(own & alone)
    by_chain = clear[np.argsort(chain[clear], kind="stable")]
    before, after = by_chain[:-1], by_chain[1:]
    same = (seen.looks[before] * seen.looks[after]).sum(1)[chain[before] == chain[after]]
    apart = np.concatenate([np.zeros(0), *different])
    if min(len(apart), len(same)) < LEAST_PAIRS:
        return seen
    return replace(seen, different=float(apart.mean()), same=float(same.mean()))


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
