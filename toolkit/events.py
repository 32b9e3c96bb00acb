"""Stages 6 and 7 for one event: its tracklets cut where they mix people, freed of second boxes on one person, linked.

proposals = propose(works, EventSettings(), views=1)
proposals.tracklets         # a row each: id, cluster (-1: junk), reason, confidence, camera, start, end, ...
"""

import itertools
import string
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from .embed import CropEmbeddings, tracklet_embedding
from .footage import Extracted
from .link import UNDECIDED, Calibration, LinkSettings, Observations, link
from .purify import PuritySettings, find_cuts
from .track import BOX
from .video import Take
from .work import source_slug

COLUMNS = {
    "id": pl.String,
    "event": pl.String,
    "camera": pl.String,
    "source": pl.String,
    "local": pl.String,  # id in the source, before cutting
    "cut": pl.Boolean,  # a person changed in it
    "cluster": pl.Int64,
    "reason": pl.String,  # why it's junk; "" for people
    "start": pl.Float64,
    "end": pl.Float64,
    "frames": pl.Int64,
    "quality": pl.Float32,
    "confidence": pl.Float32,
}


@dataclass(frozen=True)
class EventSettings:
    """Attributes:
    nested: share of the smaller box inside the larger at which both are taken for one person.
    nested_share: of the shorter tracklet's frames that must be so.
    min_quality, min_crops: a cluster whose every tracklet is below either is junk: nobody could tell who it shows.
    """

    link: LinkSettings = field(default_factory=LinkSettings)
    purity: PuritySettings = field(default_factory=PuritySettings)
    nested: float = 0.8
    nested_share: float = 0.5
    min_quality: float = 0.35
    min_crops: int = 3


@dataclass(frozen=True)
class SourceWork:
    """What earlier stages found in one source."""

    take: Take
    extracted: Extracted
    crops: CropEmbeddings


@dataclass(frozen=True)
class Proposals:
    """tracklets: COLUMNS, ordered by source and time. frames: FRAME_COLUMNS, `tracklet` being the new ids."""

    tracklets: pl.DataFrame
    frames: pl.DataFrame
    calibration: Calibration
    counts: dict[str, int]


@dataclass
class _Part:
    """A tracklet, or a piece of one."""

    work: int
    local: str
    id: str
    view: str
    piece: int  # of the person, within the local tracklet: pieces cut at a view's border have one number
    cut: bool
    start: float
    end: float
    rows: np.ndarray  # of the source's frames table
    crops: np.ndarray  # of its CropEmbeddings
    reason: str = ""


def propose(works: list[SourceWork], settings: EventSettings, views: int = 1) -> Proposals:
    """Who is who in one event.

    Args:
        works: its sources, in order.
        views: time segments that an only source is divided into, each a camera of its own.
    """
    second = [second_boxes(work, settings) for work in works]
    different = _different(works, second, settings.link.overlap)
    parts = [
        part
        for index, work in enumerate(works)
        for part in _parts(index, work, second[index], different, settings, views)
    ]
    counts = {
        "tracklets_cut": len({(p.work, p.local) for p in parts if p.cut}),
        "second_boxes": sum(p.reason == "second box" for p in parts),
        "scraps": sum(p.reason == "scrap" for p in parts),
    }
    alive = [p for p in parts if not p.reason]
    links = link(_observe(alive, works), settings.link)
    quality = [_quality(p, works) for p in parts]
    cluster = np.full(len(parts), UNDECIDED, np.int64)
    confidence = np.zeros(len(parts), np.float32)
    where = [i for i, p in enumerate(parts) if not p.reason]
    cluster[where], confidence[where] = links.cluster, links.confidence
    for number in range(int(cluster.max(initial=-1)) + 1):
        rows = np.flatnonzero(cluster == number)
        if all(quality[i] < settings.min_quality or len(parts[i].rows) < settings.min_crops for i in rows):
            for i in rows:
                parts[i].reason = "poor"
            cluster[rows] = UNDECIDED
    for i, p in enumerate(parts):
        if cluster[i] == UNDECIDED:
            p.reason = p.reason or "undecided"
            confidence[i] = 0.0
    for reason in ("poor", "undecided"):
        counts[reason] = sum(p.reason == reason for p in parts)
    rows = [
        {
            "id": p.id,
            "event": works[p.work].take.source.event,
            "camera": p.view,
            "source": works[p.work].take.source.key,
            "local": p.local,
            "cut": p.cut,
            "cluster": int(cluster[i]),
            "reason": p.reason,
            "start": p.start,
            "end": p.end,
            "frames": len(p.rows),
            "quality": quality[i],
            "confidence": float(confidence[i]),
        }
        for i, p in enumerate(parts)
    ]
    frames = [works[p.work].extracted.frames[p.rows].with_columns(tracklet=pl.lit(p.id, pl.String)) for p in parts] or [
        works[0].extracted.frames.head(0)
    ]
    return Proposals(pl.DataFrame(rows, schema=COLUMNS), pl.concat(frames), links.calibration, counts)


def second_boxes(work: SourceWork, settings: EventSettings) -> set[str]:
    """Local ids of tracklets that follow a person whom a better tracklet follows at the same time.

    Detectors put a second box on legs or on a torso; its tracklet lies inside the whole person's. Taken for somebody
    else, it would forbid the very links that are right.
    """
    boxes = (
        work.extracted.tracks.filter(pl.col("truth").is_null())
        .select("frame", "track", *BOX)
        .with_columns(area=(pl.col("x2") - pl.col("x1")) * (pl.col("y2") - pl.col("y1")))
    )
    length = dict(boxes.group_by("track").len().iter_rows())
    pairs = (
        boxes.lazy()
        .join(boxes.lazy(), on="frame", suffix="_b")
        .filter(pl.col("track") < pl.col("track_b"))
        .with_columns(
            width=pl.min_horizontal("x2", "x2_b") - pl.max_horizontal("x1", "x1_b"),
            height=pl.min_horizontal("y2", "y2_b") - pl.max_horizontal("y1", "y1_b"),
        )
        .filter((pl.col("width") > 0) & (pl.col("height") > 0))
        .filter(pl.col("width") * pl.col("height") >= settings.nested * pl.min_horizontal("area", "area_b"))
        .group_by("track", "track_b")
        .agg(nested=pl.len(), area=pl.col("area").mean(), area_b=pl.col("area_b").mean())
        .sort("track", "track_b")
        .collect()
    )
    local = {int(name): name for name in work.extracted.tracklets["tracklet"].to_list()}
    quality = dict(work.extracted.tracklets.select("tracklet", "quality").iter_rows())
    found: set[str] = set()
    for row in pairs.iter_rows(named=True):
        a, b = local.get(row["track"]), local.get(row["track_b"])
        if a is None or b is None or a in found or b in found:
            continue
        if row["nested"] < settings.nested_share * min(length[row["track"]], length[row["track_b"]]):
            continue
        # Longer and better wins.
        worth = [quality[name] * length[int(name)] for name in (a, b)]
        found.add(b if worth[0] >= worth[1] else a)
    return found


def _different(works: list[SourceWork], second: list[set[str]], overlap: float) -> np.ndarray:
    """Cosine similarities of tracklets of one source that are seen at the same time."""
    found = []
    for work, skip in zip(works, second, strict=True):
        names = [name for name in work.extracted.tracklets["tracklet"].to_list() if name not in skip]
        table = work.extracted.tracklets.filter(pl.col("tracklet").is_in(names))
        crops = _crops_of(work)
        means = [tracklet_embedding(work.crops.features[crops[n]], work.crops.quality[crops[n]]) for n in names]
        if len(means) < 2:
            continue
        start, end = table["start"].to_numpy(), table["end"].to_numpy()
        together = np.minimum(end[:, None], end[None]) - np.maximum(start[:, None], start[None]) > overlap
        upper = np.triu(together, 1)
        found.append((np.stack(means) @ np.stack(means).T)[upper])
    return np.concatenate(found) if found else np.zeros(0)


def _crops_of(work: SourceWork) -> dict[str, np.ndarray]:
    """Local id -> its rows in the source's CropEmbeddings, in time order."""
    names = work.extracted.frames["tracklet"].to_numpy()[work.crops.row] if len(work.crops.row) else np.zeros(0, str)
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names.tolist()):
        found.setdefault(name, []).append(i)
    return {name: np.array(rows) for name, rows in found.items()}


def _parts(
    index: int, work: SourceWork, second: set[str], different: np.ndarray, settings: EventSettings, views: int
) -> list[_Part]:
    """The source's tracklets, cut where a person changes and where a view ends."""
    time = work.extracted.frames["time"].to_numpy()
    shards = work.extracted.frames["shard"].to_list()
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(work.extracted.frames["tracklet"].to_list()):
        rows_of.setdefault(name, []).append(row)
    crops_of = _crops_of(work)
    borders = [work.take.duration * k / views for k in range(1, views)]
    parts = []
    for record in work.extracted.tracklets.iter_rows(named=True):
        local = record["tracklet"]
        rows, crops = np.array(rows_of[local]), crops_of[local]
        at = time[work.crops.row[crops]]
        changes = []
        if record["truth"] is None and local not in second:
            cuts = find_cuts(work.crops.features[crops], work.crops.quality[crops], different, settings.purity)
            changes = [float((at[k - 1] + at[k]) / 2) for k in cuts]
        # A tracklet lies in one shard: where its crops go on in the next, it ends and another begins.
        ends = [float((time[a] + time[b]) / 2) for a, b in itertools.pairwise(rows) if shards[a] != shards[b]]
        marks = sorted([(t, True) for t in changes] + [(t, False) for t in (*borders, *ends)])
        edges = [-np.inf, *(t for t, _ in marks), np.inf]
        pieces = []
        for k in range(len(edges) - 1):
            inside = rows[(time[rows] >= edges[k]) & (time[rows] < edges[k + 1])]
            if not len(inside):
                continue
            person = sum(is_change for _, is_change in marks[:k])
            mine = crops[(at >= edges[k]) & (at < edges[k + 1])]
            if not len(mine):  # no embedded crop fell into this short piece: the nearest of the same person
                lower = max([t for t, c in marks[:k] if c], default=-np.inf)
                upper = min([t for t, c in marks[k:] if c], default=np.inf)
                own = crops[(at >= lower) & (at < upper)]
                mine = own[np.argsort(np.abs(time[work.crops.row[own]] - time[inside].mean()), kind="stable")[:1]]
            view = sum(t <= edges[k] for t in borders) if views > 1 else 0
            camera = work.take.source.camera if views == 1 else f"{work.take.source.camera}@{view + 1}"
            span = max(record["start"], edges[k]), min(record["end"], edges[k + 1])
            pieces.append((person, camera, span, inside, mine))
        for k, (person, camera, (start, end), inside, mine) in enumerate(pieces):
            scrap = len(pieces) > 1 and len(inside) < settings.min_crops
            suffix = f"-{_letters(k)}" if len(pieces) > 1 else ""
            parts.append(
                _Part(
                    work=index,
                    local=local,
                    id=f"{source_slug(work.take.source)}--{local}{suffix}",
                    view=camera,
                    piece=person,
                    cut=bool(changes),
                    start=start,
                    end=end,
                    rows=inside,
                    crops=mine,
                    reason="second box" if local in second else "scrap" if scrap else "",
                )
            )
    return parts


def _letters(number: int) -> str:
    """a, b, ..., z, ba, bb, ..."""
    text = string.ascii_lowercase[number % 26]
    return text if number < 26 else _letters(number // 26) + text


def _quality(part: _Part, works: list[SourceWork]) -> float:
    return float(works[part.work].crops.quality[part.crops].mean())


def _observe(parts: list[_Part], works: list[SourceWork]) -> Observations:
    """What linking sees of the tracklets."""
    cameras = {name: i for i, name in enumerate(dict.fromkeys((p.work, p.view) for p in parts))}
    truth = [dict(w.extracted.tracklets.select("tracklet", "truth").iter_rows()) for w in works]
    groups: dict[tuple, int] = {}
    keys: list[tuple | None] = []
    pieces: dict[tuple, int] = {}
    for p in parts:
        pieces[(p.work, p.local, p.piece)] = pieces.get((p.work, p.local, p.piece), 0) + 1
    for p in parts:
        if truth[p.work][p.local] is not None:
            keys.append(("annotated", p.work, truth[p.work][p.local]))
        elif pieces[(p.work, p.local, p.piece)] > 1:  # one person's tracklet, cut at the border of two views
            keys.append(("piece", p.work, p.local, p.piece))
        else:
            keys.append(None)
    for key in keys:
        if key is not None:
            groups.setdefault(key, len(groups))
    means = [
        tracklet_embedding(works[p.work].crops.features[p.crops], works[p.work].crops.quality[p.crops]) for p in parts
    ]
    return Observations(
        features=np.stack(means) if means else np.zeros((0, 1)),
        camera=np.array([cameras[(p.work, p.view)] for p in parts], np.int64),
        start=np.array([p.start + works[p.work].take.source.offset for p in parts]),
        end=np.array([p.end + works[p.work].take.source.offset for p in parts]),
        weight=np.array([_quality(p, works) for p in parts]),
        must=np.array([-1 if key is None else groups[key] for key in keys], np.int64),
        annotated=np.array([p.work if truth[p.work][p.local] is not None else -1 for p in parts], np.int64),
    )
