"""Which tracks of a new build show which tracklets of the one that was reviewed: by footage, frame and box.

    places = same_footage(manifest.sources, {"final/left": sha256, …})
    former = lies_on(tracks, crops)         # [len(tracks)] the tracklet that each box shows, or None

Cameras are told by the sha256 of their footage, so that one that was renamed is found, and other footage under an old
name isn't taken for it.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from supervision import box_iou_batch

from ...datasets.manifest import SourceFacts
from ..matching import match
from ..track import BOX


def same_footage(before: Iterable[SourceFacts], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """New source -> (event, camera) that its footage had in the earlier build; those that are new are left out.

    Args:
        before: the earlier build's sources. now: source (`event/camera`) -> sha256 of its footage.
    """
    known = {one.sha256 or f"{one.event}/{one.camera}": (one.event, one.camera) for one in before}
    places = {key: known.get(digest) or known.get(key) for key, digest in now.items()}
    return {key: place for key, place in places.items() if place is not None}


def lies_on(tracks: pl.DataFrame, crops: pl.DataFrame) -> np.ndarray:
    """[len(tracks)] object: the earlier tracklet that a box shows; None where no earlier crop is.

    A box shows a crop at an intersection over union of 0.5 or more, one-to-one in each frame.

    Args:
        tracks: TRACK_COLUMNS of one camera. crops: tracklet, frame and box of the same camera's earlier crops.
    """
    found = np.full(len(tracks), None, object)
    here = _by_frame(tracks)
    new, old = (table.select(pl.col(BOX).cast(pl.Float64)).to_numpy() for table in (tracks, crops))
    names = crops["tracklet"].to_list()
    for frame, rows in _by_frame(crops).items():
        if frame in here:
            overlap = box_iou_batch(old[rows], new[here[frame]]).astype(np.float64)
            for i, j in match(overlap, np.ones(len(rows), bool)):
                found[here[frame][j]] = names[rows[i]]
    return found


def _by_frame(table: pl.DataFrame) -> dict[int, list[int]]:
    return dict(table.with_row_index("row").group_by("frame", maintain_order=True).agg("row").iter_rows())
