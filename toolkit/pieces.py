"""Stage 6: the tracklets of one event, cut so that each piece shows one person in one view and lies in one shard.

    pieces = cut_event(works, EventSettings(), views=1)

A piece is linked as a whole. Those that don't take part in linking say why: `excluded` is "second box" for the tracklet
of a second box on a person whom another tracklet follows, and "scrap" for a piece with too few crops to be known by.
"""

import itertools
import string
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from .embed import CropEmbeddings, tracklet_embedding
from .footage import Extracted
from .linking.calibration import pair_products
from .linking.constraints import overlapping
from .purify import find_cuts, most_alike
from .settings import EventSettings
from .track import BOX
from .video import Take
from .work import source_slug

VIEW_SLACK = 0.25  # by which share of its length the end of a view may be moved


@dataclass(frozen=True)
class SourceWork:
    """A take, and what the earlier stages made of it."""

    take: Take
    extracted: Extracted
    crops: CropEmbeddings


@dataclass(frozen=True)
class Piece:
    """A tracklet, or a part of one.

    Attributes:
        work: the take.
        local: id of the tracklet within the take, before cutting.
        id: of the piece, in the dataset.
        camera: its name; `name@2` for the second view of an only camera.
        person: the how many-th person within the tracklet, from 0; parts cut at the border of a view or at the end of
            a shard have one number.
        changed: a person changes within the tracklet.
        truth: the annotated id; None where boxes come from a detector.
        start, end: seconds of the source's own clock.
        rows: of the take's table of frames.
        crops: rows of the take's `CropEmbeddings`.
        excluded: why it is not linked; "" where it is.
    """

    work: SourceWork
    local: str
    id: str
    camera: str
    person: int
    changed: bool
    truth: int | None
    start: float
    end: float
    rows: np.ndarray
    crops: np.ndarray
    excluded: str = ""

    @property
    def quality(self) -> float:
        """The mean quality of its embedded crops, 0 to 1."""
        return float(self.work.crops.quality[self.crops].mean())

    @property
    def embedding(self) -> np.ndarray:
        """[D] float32, L2-normalised."""
        return tracklet_embedding(self.work.crops.features[self.crops], self.work.crops.quality[self.crops])


def cut_event(
    works: list[SourceWork],
    settings: EventSettings,
    views: int = 1,
    changes: Mapping[str, Mapping[int, list[float]]] | None = None,
) -> list[Piece]:
    """The pieces of an event's takes, ordered by take, tracklet and time.

    Args:
        changes: source -> track -> seconds at which another person begins, as a reviewer said.
        views: number of time segments that the only take of an event is divided into, each a camera of its own.
    """
    second = [second_boxes(work, settings) for work in works]
    limit = most_alike(_similarities_of_different(works, second, settings.link.overlap), settings.purity)
    return [
        piece
        for work, excluded in zip(works, second, strict=True)
        for piece in _cut_take(work, excluded, limit, settings, views, (changes or {}).get(work.take.source.key, {}))
    ]


def second_boxes(work: SourceWork, settings: EventSettings) -> set[str]:
    """The local ids of the tracklets that follow a person whom a better tracklet follows at the same time.

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


def _similarities_of_different(works: list[SourceWork], second: list[set[str]], overlap: float) -> np.ndarray:
    """[M] cosine similarities of two tracklets of one take that are seen together for over `overlap` seconds."""
    found = [np.zeros(0)]
    for work, skip in zip(works, second, strict=True):
        names = [name for name in work.extracted.tracklets["tracklet"].to_list() if name not in skip]
        if len(names) < 2:
            continue
        table = work.extracted.tracklets.filter(pl.col("tracklet").is_in(names))
        crops = _crops_of(work)
        means = np.stack(
            [tracklet_embedding(work.crops.features[crops[n]], work.crops.quality[crops[n]]) for n in names]
        )
        for i, j, together in overlapping(table["start"].to_numpy(), table["end"].to_numpy()):
            beside = together > overlap
            found.append(pair_products(means, i[beside], j[beside]))
    return np.concatenate(found)


def view_ends(work: SourceWork, second: set[str], views: int) -> list[float]:
    """The seconds at which all views of a take but the last end: equal steps, each moved to where fewest people are.

    Of the spans in which nobody comes or goes, and of which a part lies less than a quarter of a view from the fixed
    time, it is the one with the fewest people in the picture, then the nearest.

    Args:
        second: local ids of the tracklets of second boxes, who are nobody.
    """
    people = work.extracted.tracklets.filter(~pl.col("tracklet").is_in(list(second)))
    start, end = np.sort(people["start"].to_numpy()), np.sort(people["end"].to_numpy())
    moments = np.unique(np.concatenate([start, end, [0.0, work.take.duration]]))
    first, last = moments[:-1], moments[1:]
    there = np.searchsorted(start, first, side="right") - np.searchsorted(end, first, side="right")
    step = work.take.duration / views
    found = []
    for fixed in step * np.arange(1, views):
        low, high = np.maximum(first, fixed - VIEW_SLACK * step), np.minimum(last, fixed + VIEW_SLACK * step)
        margin = (high - low) / 4  # away from the frames in which somebody comes or goes
        at = np.clip(fixed, low + margin, np.maximum(high - margin, low + margin))
        best = np.lexsort((np.abs(at - fixed), there, low >= high))[0]
        found.append(float(at[best]))
    return found


def _crops_of(work: SourceWork) -> dict[str, np.ndarray]:
    """Local id -> its rows in the source's CropEmbeddings, in time order."""
    names = work.extracted.frames["tracklet"].to_numpy()[work.crops.row] if len(work.crops.row) else np.zeros(0, str)
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names.tolist()):
        found.setdefault(name, []).append(i)
    return {name: np.array(rows) for name, rows in found.items()}


def _cut_take(
    work: SourceWork,
    second: set[str],
    limit: float | None,
    settings: EventSettings,
    views: int,
    told: Mapping[int, list[float]],
) -> list[Piece]:
    """The take's tracklets, cut where a person changes, where a shard ends and where a view ends.

    Args:
        second: local ids of the tracklets of second boxes.
        limit: see `purify.find_cuts`.
        told: see `cut_event`, of this take.
    """
    time = work.extracted.frames["time"].to_numpy()
    shards = work.extracted.frames["shard"].to_list()
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(work.extracted.frames["tracklet"].to_list()):
        rows_of.setdefault(name, []).append(row)
    crops_of = _crops_of(work)
    views_end = view_ends(work, second, views)
    pieces = []
    for record in work.extracted.tracklets.iter_rows(named=True):
        local = record["tracklet"]
        rows, crops = np.array(rows_of[local]), crops_of[local]
        changes = []
        if record["truth"] is None and local not in second:
            at = time[work.crops.row[crops]]
            cuts = find_cuts(work.crops.features[crops], work.crops.quality[crops], limit, settings.purity)
            changes = [float((at[k - 1] + at[k]) / 2) for k in cuts]
        changes += told.get(int(local), [])
        # A tracklet lies in one shard: where its crops go on in the next, it ends and another begins.
        shard_ends = [float((time[a] + time[b]) / 2) for a, b in itertools.pairwise(rows) if shards[a] != shards[b]]
        parts = _cut_tracklet(work, rows, crops, changes, [*views_end, *shard_ends])
        for number, part in enumerate(parts):
            view = sum(end <= part.start for end in views_end)
            scrap = len(parts) > 1 and len(part.rows) < settings.min_crops
            pieces.append(
                Piece(
                    work=work,
                    local=local,
                    id=f"{source_slug(work.take.source)}--{local}" + (f"-{_letters(number)}" if len(parts) > 1 else ""),
                    camera=work.take.source.camera + (f"@{view + 1}" if views > 1 else ""),
                    person=part.person,
                    changed=bool(changes),
                    truth=record["truth"],
                    start=max(record["start"], part.start),
                    end=min(record["end"], part.end),
                    rows=part.rows,
                    crops=part.crops,
                    excluded="second box" if local in second else "scrap" if scrap else "",
                )
            )
    return pieces


@dataclass(frozen=True)
class _Part:
    """A part of a tracklet between two cuts, in seconds (infinite at the tracklet's ends); rows and crops of it."""

    person: int
    start: float
    end: float
    rows: np.ndarray
    crops: np.ndarray


def _cut_tracklet(
    work: SourceWork, rows: np.ndarray, crops: np.ndarray, changes: list[float], ends: list[float]
) -> list[_Part]:
    """The parts of one tracklet that hold at least one frame.

    Args:
        rows, crops: of the tracklet.
        changes: seconds at which another person begins.
        ends: seconds at which the tracklet is cut though the person stays.
    """
    time = work.extracted.frames["time"].to_numpy()
    at = time[work.crops.row[crops]]
    marks = sorted([(moment, True) for moment in changes] + [(moment, False) for moment in ends])
    edges = [-np.inf, *(moment for moment, _ in marks), np.inf]
    parts = []
    for k, (start, end) in enumerate(itertools.pairwise(edges)):
        inside = rows[(time[rows] >= start) & (time[rows] < end)]
        if not len(inside):
            continue
        mine = crops[(at >= start) & (at < end)]
        if not len(mine):  # no embedded crop fell into this short part: the nearest of the same person
            lower = max([moment for moment, change in marks[:k] if change], default=-np.inf)
            upper = min([moment for moment, change in marks[k:] if change], default=np.inf)
            own = crops[(at >= lower) & (at < upper)]
            mine = own[np.argsort(np.abs(time[work.crops.row[own]] - time[inside].mean()), kind="stable")[:1]]
        parts.append(_Part(sum(change for _, change in marks[:k]), start, end, inside, mine))
    return parts


def _letters(number: int) -> str:
    """a, b, ..., z, ba, bb, ..."""
    text = string.ascii_lowercase[number % 26]
    return text if number < 26 else _letters(number // 26) + text
