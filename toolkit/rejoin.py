"""Stage 7, afterwards: parts of one person's way through a camera's picture become one tracklet again.

    joined = rejoin(pieces, cluster, confidence, seconds=1.0)
    joined.pieces, joined.cluster, joined.confidence, joined.tracks

A tracker that loses a person for a moment goes on with a new track. Linking has told by now that both show one person,
so that they are one tracklet, and the moment between is filled with boxes that nobody saw.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from .pieces import Piece, SourceWork
from .track import BOX, TRACK_COLUMNS
from .tracking.geometry import nested

# How far, in heights of a person, the middle of the box may have moved: a runner's 7 m/s and a turn of the body.
SPEED, SLACK = 4.0, 0.5
HIDDEN = 0.9  # share of a box inside another person's from which too little of who stands there can be seen
BORDER = 1e-6  # seconds


class TrackRows:
    """Where the boxes of a piece lie in TRACK_COLUMNS that are ordered by frame: `TrackRows(tracks).of(piece)`."""

    def __init__(self, tracks: pl.DataFrame) -> None:
        track = tracks["track"].to_numpy()
        self._order = np.argsort(track, kind="stable")
        self._track, self._time = track[self._order], tracks["time"].to_numpy()[self._order]

    def of(self, piece: Piece) -> np.ndarray:
        """[n] rows, by time."""
        return self.between(int(piece.local), piece.start, piece.end)

    def between(self, track: int, start: float, end: float) -> np.ndarray:
        """[n] rows of a track from one second to another, by time."""
        first, last = np.searchsorted(self._track, [track, track + 1])
        time = self._time[first:last]
        at = np.searchsorted(time, start - BORDER)
        return self._order[first + at : first + np.searchsorted(time, end + BORDER)]


@dataclass(frozen=True)
class Rejoined:
    """What became of an event's pieces.

    Attributes:
        pieces: in their order; where several became one, in the place of the first.
        cluster, confidence: [len(pieces)]; the confidence is that of the least sure part.
        tracks: TRACK_COLUMNS of each take, with joined tracks under new numbers, and gaps filled.
        counts: tracklets_joined (that became part of another), boxes_filled_between.
    """

    pieces: list[Piece]
    cluster: np.ndarray
    confidence: np.ndarray
    tracks: list[pl.DataFrame]
    counts: dict[str, int]


def rejoin(
    works: Sequence[SourceWork],
    pieces: Sequence[Piece],
    cluster: np.ndarray,
    confidence: np.ndarray,
    seconds: float,
) -> Rejoined:
    """Joins pieces of one cluster and camera that follow each other within `seconds`, where a person can have gone.

    Annotated pieces stay as they are, and so do those that lie in two shards.

    Args:
        cluster: [N] of each piece; below 0 where it is in none.
        confidence: [N].
    """
    place = {id(work): number for number, work in enumerate(works)}
    rows_of = [TrackRows(work.extracted.tracks) for work in works]
    boxes = [rows_of[place[id(piece.work)]].of(piece) for piece in pieces]
    chains = _chains(pieces, boxes, cluster, seconds)
    links: list[list[list[np.ndarray]]] = [[] for _ in works]
    kept: list[Piece] = []
    for rows in chains:
        parts = [pieces[i] for i in rows]
        number = place[id(parts[0].work)]
        if len(parts) > 1:
            links[number].append([boxes[i] for i in rows])
        kept.append(_whole(parts, _new_number(works[number], len(links[number]))))
    tracks = [_joined(work, mine) for work, mine in zip(works, links, strict=True)]
    before = sum(len(work.extracted.tracks) for work in works)
    counts = {"tracklets_joined": len(pieces) - len(kept), "boxes_filled_between": sum(map(len, tracks)) - before}
    return Rejoined(
        kept,
        np.array([cluster[rows[0]] for rows in chains], np.int64),
        np.array([confidence[list(rows)].min() for rows in chains], np.float32),
        tracks,
        counts,
    )


def _chains(
    pieces: Sequence[Piece], boxes: Sequence[np.ndarray], cluster: np.ndarray, seconds: float
) -> list[list[int]]:
    """The pieces that become one each, in the order of the first of them.

    Args:
        boxes: rows of its take's tracks of each piece.
    """
    groups: dict[tuple, list[int]] = {}
    for i, piece in enumerate(pieces):
        key = (id(piece.work), piece.camera, int(cluster[i])) if cluster[i] >= 0 and piece.truth is None else (i,)
        groups.setdefault(key, []).append(i)
    chains = []
    for rows in groups.values():
        rows.sort(key=lambda i: (pieces[i].start, i))
        chain = [rows[0]]
        for i in rows[1:]:
            at = chain[-1]
            if _goes_on(pieces[at], pieces[i], int(boxes[at][-1]), int(boxes[i][0]), seconds):
                chain.append(i)
            else:
                chains.append(chain)
                chain = [i]
        chains.append(chain)
    return sorted(chains, key=lambda chain: min(chain))


def _goes_on(before: Piece, after: Piece, end: int, start: int, seconds: float) -> bool:
    """Whether one piece may be the other one's continuation: soon after it, in one shard, within a runner's reach.

    Args:
        end, start: the row of its last box, and of the other one's first.
    """
    if after.start - before.end > seconds + BORDER:
        return False
    frames = before.work.extracted.frames
    if frames["shard"][int(before.rows[-1])] != frames["shard"][int(after.rows[0])]:
        return False
    tracks = before.work.extracted.tracks
    wait = float(tracks["time"][start] - tracks["time"][end])
    last, first = tracks[[end, start]].select(pl.col(BOX).cast(pl.Float64)).to_numpy()
    way = np.hypot(*((last[:2] + last[2:] - first[:2] - first[2:]) / 2))
    reach = (SLACK + SPEED * wait) * min(last[3] - last[1], first[3] - first[1])
    return BORDER < wait <= seconds + BORDER and bool(way <= reach)


def _new_number(work: SourceWork, count: int) -> int:
    return int(work.extracted.tracks["track"].max() or 0) + count  # type: ignore[arg-type]


def _whole(parts: Sequence[Piece], number: int) -> Piece:
    """The pieces as one, under the first one's id and a new number of a track."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        local=f"{number:05d}",
        changed=any(part.changed for part in parts),
        end=parts[-1].end,
        rows=np.concatenate([part.rows for part in parts]),
        crops=np.concatenate([part.crops for part in parts]),
    )


def _joined(work: SourceWork, chains: Iterable[Sequence[np.ndarray]]) -> pl.DataFrame:
    """The take's tracks, the parts of each chain (rows of them) as one, with the gaps between them filled."""
    tracks = work.extracted.tracks
    number, gaps = tracks["track"].to_numpy().copy(), []
    for count, parts in enumerate(chains, start=1):
        number[np.concatenate(list(parts))] = _new_number(work, count)
        gaps += [(int(a[-1]), int(b[0])) for a, b in itertools.pairwise(parts)]
    if not gaps:
        return tracks
    joined = tracks.with_columns(track=pl.Series(number, dtype=pl.Int64))
    return pl.concat([joined, _between(joined, gaps, work.extracted.detections)]).sort("frame", "track")


def _between(tracks: pl.DataFrame, gaps: Sequence[tuple[int, int]], detections: pl.DataFrame) -> pl.DataFrame:
    """TRACK_COLUMNS of boxes on the straight line from one row of `tracks` to another, in each frame between.

    Args:
        detections: frame, time of all frames that were looked at.
    """
    looked = detections.select("frame", "time").unique().sort("frame")
    frame, time = looked["frame"].to_numpy(), looked["time"].to_numpy()
    box, at = tracks.select(pl.col(BOX).cast(pl.Float64)).to_numpy(), tracks["frame"].to_numpy()
    start = np.searchsorted(at, frame)
    rows = []
    for a, b in gaps:
        for k in range(np.searchsorted(frame, at[a]) + 1, np.searchsorted(frame, at[b])):
            way = (frame[k] - at[a]) / (at[b] - at[a])
            here = (1 - way) * box[a] + way * box[b]
            others = box[start[k] : np.searchsorted(at, frame[k], side="right")]
            if not (nested(here[None], others) >= HIDDEN).any():
                rows.append((int(frame[k]), float(time[k]), int(tracks["track"][a]), *here.tolist(), None, None))
    return pl.DataFrame(rows, schema=TRACK_COLUMNS, orient="row")
