"""Near-duplicates: tracklets that show the same pictures, though their bytes differ, as of one video encoded twice.

    for pair in twins(material): pair.one, pair.other, pair.share

A crop is found again by a perceptual hash (dHash of 256 bits; at most `BITS` differ, so that one of eight parts is
equal) and by its colours. Two tracklets are twins where most crops of the shorter one are found again in the other.
Cameras of one event may well show one person alike at one moment: there, the boxes must agree, too.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from supervision import box_iou_batch

from .material import Looks, Material, Problem

BITS, BANDS = 7, 8
COLOUR = 8.0  # grey levels that the colours may differ on average
SHARE = 0.5  # of the shorter tracklet's crops
COMMON = 40  # tracklets; a part of the hash that more of them have says nothing
OVERLAP = 0.9  # intersection over union of the boxes, within an event
FOOTAGE = 0.5  # share of a video's tracklets that another's must show again, to be one footage


@dataclass(frozen=True)
class Twins:
    """Two tracklets that show the same pictures; `share` of the shorter one's crops."""

    one: str
    other: str
    share: float


def near_duplicates(material: Material) -> Iterator[Problem]:
    """No tracklet is in train and, encoded otherwise, in test; no video is there under two names."""
    if material.tracklets is None or material.frames is None or material.looks is None:
        return
    rows = {row["id"]: row for row in material.tracklets.iter_rows(named=True)}
    found = twins(material)
    across = [pair for pair in found if rows[pair.one]["split"] != rows[pair.other]["split"]]
    if across:
        ids = tuple(dict.fromkeys(id_ for pair in across for id_ in (pair.one, pair.other)))
        first = across[0]
        yield Problem(
            "near-duplicates",
            f"{len(across)} pairs of tracklets show the same pictures in train and in test, '{first.one}' and "
            f"'{first.other}' first ({first.share:.0%} of the crops).",
            ids,
        )
    videos: dict[tuple, set[str]] = defaultdict(set)
    for pair in found:
        one, other = sorted((rows[i]["event"], rows[i]["camera"]) for i in (pair.one, pair.other))
        if one != other:
            videos[one, other] |= {pair.one, pair.other}
    sizes = material.tracklets.group_by("event", "camera").len().rows()
    size = {(event, camera): number for event, camera, number in sizes}
    for (one, other), ids in sorted(videos.items()):
        if len(ids) / 2 >= FOOTAGE * min(size[one], size[other]):
            yield Problem(
                "one video twice",
                f"'{'/'.join(one)}' and '{'/'.join(other)}' show the same footage under two names. Take one out and "
                "build again.",
                tuple(sorted(ids)),
            )


def twins(material: Material) -> list[Twins]:
    """Pairs of tracklets of different videos or different sides that show the same pictures, in order of their ids."""
    tracklets, frames, looks = material.tracklets, material.frames, material.looks
    assert tracklets is not None
    assert frames is not None
    assert looks is not None
    rows = {row["id"]: row for row in tracklets.iter_rows(named=True)}
    owner = frames["tracklet"].to_list()
    whole = np.flatnonzero(looks.digest != 0)
    crops: dict[str, list[int]] = defaultdict(list)
    for row in whole.tolist():
        crops[owner[row]].append(row)
    boxes = frames.select("x1", "y1", "x2", "y2").to_numpy() if "x1" in frames.columns else None
    out = []
    for one, other in sorted(_candidates(looks, owner, whole)):
        a, b = rows.get(one), rows.get(other)
        if a is None or b is None:
            continue
        near = a["event"] == b["event"]
        if near and a["split"] == b["split"] and (a["camera"] == b["camera"] or boxes is None):
            continue
        same = _alike(looks, np.array(crops[one]), np.array(crops[other]))
        if near and a["camera"] != b["camera"] and boxes is not None:
            same &= box_iou_batch(boxes[crops[one]], boxes[crops[other]]) >= OVERLAP
        share = float(same.any(1).mean() if len(same) <= same.shape[1] else same.any(0).mean())
        if share >= SHARE:
            out.append(Twins(one, other, share))
    return out


def _candidates(looks: Looks, owner: list[str], whole: np.ndarray) -> set[tuple[str, str]]:
    """Pairs of tracklets of which one crop each agrees in a part of the hash, and is alike."""
    found: set[tuple[str, str]] = set()
    parts = looks.bits[whole].reshape(len(whole), BANDS, looks.bits.shape[1] // BANDS)
    for band in range(BANDS):
        values = np.ascontiguousarray(parts[:, band]).view(np.uint32).ravel()
        table = pl.DataFrame({"value": values, "row": whole, "owner": [owner[r] for r in whole]})
        table = table.unique(["value", "owner"], keep="first", maintain_order=True)
        table = table.filter((pl.len().over("value") > 1) & (pl.len().over("value") <= COMMON))
        pairs = table.join(table, on="value", suffix="_2").filter(pl.col("owner") < pl.col("owner_2"))
        if pairs.is_empty():
            continue
        one, other = (pairs[name].to_numpy() for name in ("row", "row_2"))
        near = _distance(looks.bits[one], looks.bits[other]) <= BITS
        near &= np.abs(looks.colours[one].astype(np.int16) - looks.colours[other]).mean(1) <= COLOUR
        found |= set(pairs.filter(pl.Series(near)).select("owner", "owner_2").iter_rows())
    return found


def _alike(looks: Looks, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [len(one), len(other)]: which crops are near-duplicates."""
    bits = _distance(looks.bits[one][:, None], looks.bits[other][None]) <= BITS
    colours = np.abs(looks.colours[one][:, None].astype(np.int16) - looks.colours[other][None]).mean(2) <= COLOUR
    return bits & colours


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Number of bits that differ, over the last axis."""
    return np.bitwise_count(one ^ other).sum(-1)
