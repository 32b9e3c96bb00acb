"""Boxes steadied along their tracks: `tracks, detections = steadied(tracks, detections)`.

A detector's boxes tremble from frame to frame, most where somebody else stands before a person. The mean of a box and
those of the frames around it, weighted by confidence, lies nearer to the person. A box is compared with as many before
as behind it, so that neither a person who walks nor a camera that turns pulls it along.
"""

import numpy as np
import polars as pl

from ..track import BOX

WEIGHTS = (1.0, 0.7, 0.4)  # of a box, and of those one and two frames before and behind it
REACH = 0.15  # seconds; what is farther off tells nothing, as the person turns meanwhile
FILLED = 0.1  # stands for the confidence of a box that fills a gap


def steadied(tracks: pl.DataFrame, detections: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tracks with steadier boxes, and the detections with the same ones where they are in a track.

    Args:
        tracks: TRACK_COLUMNS of `detections` (frame, box, and more), which hold a row for every frame looked at.
    """
    if not len(tracks):
        return tracks, detections
    ordered = tracks.with_row_index("row").sort("track", "frame")
    looked = detections["frame"].unique().sort().to_numpy()
    place, track = np.searchsorted(looked, ordered["frame"].to_numpy()), ordered["track"].to_numpy()
    time = ordered["time"].to_numpy()
    box = ordered.select(pl.col(BOX).cast(pl.Float64)).to_numpy()
    weight = ordered["confidence"].cast(pl.Float64).fill_null(FILLED).to_numpy()[:, None]
    total, mass = WEIGHTS[0] * weight * box, WEIGHTS[0] * weight
    for away, share in enumerate(WEIGHTS[1:], start=1):
        follows = (track[away:] == track[:-away]) & (place[away:] - place[:-away] == away)
        at = np.flatnonzero(follows[away:] & follows[:-away]) + away  # with a box on either side
        at = at[time[at + away] - time[at - away] <= 2 * REACH]
        # The same share from both sides: unequal ones would shift the box of somebody who walks.
        beside = share * np.minimum(weight[at - away], weight[at + away])
        total[at] += beside * (box[at - away] + box[at + away])
        mass[at] += 2 * beside
    new = total / mass
    columns = [pl.Series(f"new_{name}", new[:, k], dtype=pl.Float32) for k, name in enumerate(BOX)]
    ordered = ordered.with_columns(columns).sort("row")
    moved = ordered.filter(pl.col("confidence").is_not_null()).unique(
        ["frame", *BOX], keep="first", maintain_order=True
    )
    named = [pl.coalesce(f"new_{name}", name).alias(name) for name in BOX]
    joined = detections.join(
        moved.select("frame", *BOX, pl.col("^new_.*$")), on=["frame", *BOX], how="left", maintain_order="left"
    )
    return ordered.with_columns(named).select(tracks.columns), joined.with_columns(named).select(detections.columns)
