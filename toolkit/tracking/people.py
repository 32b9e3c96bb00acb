"""A take's detections to tracks: `track_people(detections, stand_still(detections), None, settings)`."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl

from ..looks import Looks
from ..track import BOX, TRACK_COLUMNS, renumber
from .camera import Standing
from .chains import chains, spread_looks
from .follow import Fate, FollowSettings, Seen, follow
from .mending import MendSettings, bridge, cut_changes, fill, second_tracks

ALONE, LEAST_PAIRS = 0.1, 30


def track_people(
    detections: pl.DataFrame,
    standing: Standing,
    looks: Looks,
    settings: FollowSettings,
    mending: MendSettings | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Follows people through one source.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, confidence, by frame; a frame that was looked at and holds
            nobody has one row with null in place of a box.
        standing: `stand_still` of them.
        looks: of the rows of `detections`; where they tell nothing, motion alone decides.

    Returns:
        TRACK_COLUMNS, ordered by frame and track, where boxes that fill gaps have null for confidence; and counts:
        boxes_second and boxes_weak (found, but in no track), boxes_filled, cuts_changed, tracks_bridged.
    """
    mending = mending or MendSettings(reach=settings.max_gap, gap=settings.max_gap)
    found = detections[standing.rows]
    chain, crowd = chains(standing), standing.crowd
    own = looks.rows(standing.rows)
    seen = Seen(
        time=standing.frames["time"].to_numpy(),
        start=standing.start,
        box=standing.box,
        confidence=found["confidence"].to_numpy().astype(np.float64),
        looks=spread_looks(standing, chain, own),
    )
    if looks:
        seen = _measured(seen, np.flatnonzero(own.known & (crowd < ALONE)), chain)
    followed = follow(seen, settings)
    track, cuts = cut_changes(seen, followed.track, crowd, mending)
    track, joins = bridge(seen, track, crowd, mending)
    second = second_tracks(seen, track, mending)
    track = np.where(second, 0, track)
    gaps = fill(seen, track, mending)
    tracks = _table(standing, found, track, gaps)
    counts = {
        "boxes_second": int((followed.fate == Fate.SECOND).sum() + second.sum()),
        "boxes_weak": int((followed.fate == Fate.WEAK).sum()),
        "boxes_filled": len(gaps),
        "cuts_changed": cuts,
        "tracks_bridged": joins,
    }
    return tracks, counts


def _measured(seen: Seen, clear: np.ndarray, chain: np.ndarray) -> Seen:
    """With the cosines of two people's looks and of one person's.

    Args:
        clear: [n] boxes that stand alone and have looks of their own.
        chain: [N] of `chains`.
    """
    different = []
    for a, b in itertools.pairwise(np.searchsorted(clear, seen.start)):
        here = seen.looks[clear[a:b]]
        different.append((here @ here.T)[np.triu_indices(len(here), 1)])
    by_chain = clear[np.argsort(chain[clear], kind="stable")]
    before, after = by_chain[:-1], by_chain[1:]
    same = (seen.looks[before] * seen.looks[after]).sum(1)[chain[before] == chain[after]]
    apart = np.concatenate([np.zeros(0), *different])
    if min(len(apart), len(same)) < LEAST_PAIRS:
        return seen
    return replace(seen, different=float(apart.mean()), same=float(same.mean()))


def _table(
    standing: Standing, found: pl.DataFrame, track: np.ndarray, gaps: list[tuple[int, int, int, float]]
) -> pl.DataFrame:
    """TRACK_COLUMNS of the boxes in tracks and of those that fill gaps."""
    inside = np.flatnonzero(track > 0)
    own = found[inside].with_columns(track=pl.Series(track[inside], dtype=pl.Int64), truth=pl.lit(None, pl.Int64))
    at, before, after = (np.array([gap[i] for gap in gaps], np.int64) for i in range(3))
    way = np.array([gap[3] for gap in gaps])[:, None]
    between = (1 - way) * standing.box[before] + way * standing.box[after] if gaps else np.zeros((0, 4))
    box = standing.seen_by_camera(between, at)
    filled = standing.frames[at].with_columns(
        pl.Series("track", track[before], dtype=pl.Int64), *(pl.Series(name, box[:, i]) for i, name in enumerate(BOX))
    )
    filled = filled.with_columns(confidence=None, truth=None)
    tables = [table.select(pl.col(name).cast(kind) for name, kind in TRACK_COLUMNS.items()) for table in (own, filled)]
    return renumber(pl.concat(tables))
