"""Stage 7 for one event: who is who among its tracklets, as a proposal.

    proposals = propose(works, EventSettings(), views=1)
    proposals.identities        # how sure it is of each
    proposals.tracklets         # a row each: id, cluster (-1: junk), reason, confidence, camera, start, end, ...

The tracklets are first cut where a person changes (`pieces`), then those that can be told apart are linked (`link`).
What remains is junk, each with the reason.
"""

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from .floor.event import event_floor, scene_of
from .floor.picture import Scene
from .linking import UNDECIDED, Calibration, Links, Observations, Portraits, link, portraits
from .pieces import Piece, SourceWork, cut_event
from .rejoin import Rejoined, TrackRows, rejoin
from .review.constraints import Reviewed, Shown
from .settings import EventSettings

COLUMNS = {
    "id": pl.String,
    "event": pl.String,
    "camera": pl.String,
    "source": pl.String,
    "local": pl.String,  # number of the track in `Proposals.tracks`, before cutting
    "cut": pl.Boolean,  # a person changed in it
    "cluster": pl.Int64,
    "reason": pl.String,  # why it's junk: "second box", "scrap", "reviewed", "poor" or "undecided"; "" for people
    "start": pl.Float64,
    "end": pl.Float64,
    "frames": pl.Int64,
    "quality": pl.Float32,
    "confidence": pl.Float32,
}

IDENTITY_COLUMNS = {
    "event": pl.String,
    "cluster": pl.Int64,
    "pure": pl.Float32,
    "whole": pl.Float32,
    "twin": pl.Int64,  # the cluster that is most likely the same person; null where none may be
    "same": pl.Float32,
}


@dataclass(frozen=True)
class Proposals:
    """Who is who in one event.

    Attributes:
        tracklets: COLUMNS, ordered by source and time.
        identities: IDENTITY_COLUMNS, a row a cluster: how sure the linking is of it.
        frames: FRAME_COLUMNS, a row a crop; `tracklet` is the id in `tracklets`.
        tracks: source -> TRACK_COLUMNS, in which each tracklet's boxes carry the number `local`.
        calibration: of the linking.
        portraits: of the clusters, to be compared with those of other events.
        counts: tracklets_cut, what `rejoin` counts, boxes_kept (under an identity), boxes_junk, boxes_cropless (in
            a track, but in no tracklet), and the number of pieces that are junk, by reason.
        floor: what is known of where people stand, for the manifest.
        scene: what the picture of the floor shows; None where no floor is known.
    """

    tracklets: pl.DataFrame
    identities: pl.DataFrame
    frames: pl.DataFrame
    tracks: dict[str, pl.DataFrame]
    calibration: Calibration
    portraits: Portraits
    counts: dict[str, int]
    floor: dict
    scene: Scene | None


def propose(
    works: Sequence[SourceWork],
    settings: EventSettings,
    views: int = 1,
    *,
    at_once: bool = True,
    reviewed: Reviewed | None = None,
) -> Proposals:
    """Who is who in one event.

    Args:
        works: its takes, in order.
        views: number of time segments that an only take is divided into, each a camera of its own.
        at_once: the takes are of cameras that stand and film at one time, not clips of one that moves.
        reviewed: what people decided about an earlier build of this footage; all of it holds.

    Raises:
        UsageError: tracklets that the annotation says are one person are seen at the same time in one camera.
    """
    changes = {w.take.source.key: reviewed.changes(w.take.source.key, w.extracted.tracks) for w in works if reviewed}
    pieces = cut_event(list(works), settings, views, changes)
    shown = _shown(works, pieces, reviewed)
    if reviewed:
        pieces = _admitted(pieces, shown, reviewed)
    linked = [i for i, piece in enumerate(pieces) if not piece.excluded]
    some = [pieces[i] for i in linked]
    seen, dropped = _observe(some), []
    if reviewed:
        seen, dropped = reviewed.constrain(seen, [shown[i] for i in linked], settings.link.overlap)
    floor = event_floor(works if at_once else [], some, seen, settings.floor)
    links = link(seen, settings.link, floor.floor.evidence)
    cluster = np.full(len(pieces), UNDECIDED, np.int64)
    confidence = np.zeros(len(pieces), np.float32)
    cluster[linked], confidence[linked] = links.cluster, links.confidence
    reason = [piece.excluded for piece in pieces]
    for i in (linked[k] for k in dropped):  # its person is there already at that time
        cluster[i], reason[i] = UNDECIDED, "reviewed"
    for number in np.unique(cluster[cluster >= 0]):
        rows = np.flatnonzero(cluster == number)
        told = reviewed is not None and any(reviewed.owner(shown[i]) is not None for i in rows)
        if not told and all(_is_poor(pieces[i], settings) for i in rows):
            cluster[rows] = UNDECIDED
            for i in rows:
                reason[i] = "poor"
    for i in np.flatnonzero(cluster == UNDECIDED):
        reason[i] = reason[i] or "undecided"
        confidence[i] = 0.0
    excluded = dict(zip((piece.id for piece in pieces), reason, strict=True))
    joined = rejoin(works, pieces, cluster, confidence, settings.rejoin)
    rows = [
        {
            "id": piece.id,
            "event": piece.work.take.source.event,
            "camera": piece.camera,
            "source": piece.work.take.source.key,
            "local": piece.local,
            "cut": piece.changed,
            "cluster": int(joined.cluster[i]),
            "reason": excluded[piece.id],
            "start": piece.start,
            "end": piece.end,
            "frames": len(piece.rows),
            "quality": piece.quality,
            "confidence": float(joined.confidence[i]),
        }
        for i, piece in enumerate(joined.pieces)
    ]
    return Proposals(
        pl.DataFrame(rows, schema=COLUMNS),
        _identities(works[0].take.source.event, links, set(cluster[cluster >= 0].tolist())),
        _frames(works, joined.pieces),
        {work.take.source.key: table for work, table in zip(works, joined.tracks, strict=True)},
        links.calibration,
        portraits(seen, cluster[linked], settings.link.overlap),
        {
            "tracklets_cut": len({(p.work.take.source.key, p.local) for p in pieces if p.changed}),
            **joined.counts,
            **_boxes(works, joined),
            "second_boxes": reason.count("second box"),
            "scraps": reason.count("scrap"),
            "poor": reason.count("poor"),
            "undecided": reason.count("undecided"),
            **(
                {"nobody_by_review": reason.count("reviewed") - len(dropped), "review_not_followed": len(dropped)}
                if reviewed
                else {}
            ),
        },
        floor.floor.facts,
        scene_of(works, some, floor, cluster[linked]),
    )


def _shown(works: Sequence[SourceWork], pieces: Sequence[Piece], reviewed: Reviewed | None) -> list[Shown]:
    """Which tracklets of the reviewed build each piece shows; nothing where there was none."""
    if reviewed is None:
        return [Shown() for _ in pieces]
    rows_of = {id(work): TrackRows(work.extracted.tracks) for work in works}
    return [reviewed.shown(piece.work.take.source.key, rows_of[id(piece.work)].of(piece)) for piece in pieces]


def _admitted(pieces: Sequence[Piece], shown: Sequence[Shown], reviewed: Reviewed) -> list[Piece]:
    """The pieces without those that are nobody, as people decided, and with the one that shows most of a tracklet which
    they decided is a person's, whatever else would leave it out."""
    excluded = [
        "reviewed" if reviewed.is_nobody(one) else piece.excluded for piece, one in zip(pieces, shown, strict=True)
    ]
    for id_, numbers in reviewed.pieces_of(shown).items():
        if reviewed.former.person(id_) is not None and id_ in reviewed.former.settled:
            best = max(numbers, key=lambda i: (not pieces[i].excluded, shown[i][id_], -i))
            excluded[best] = ""
    return [replace(piece, excluded=reason) for piece, reason in zip(pieces, excluded, strict=True)]


def _identities(event: str, links: Links, kept: set[int]) -> pl.DataFrame:
    """IDENTITY_COLUMNS of the clusters that are `kept`."""
    rows = []
    for number in sorted(kept):
        twin = int(links.twin[number])
        some = twin in kept
        rows.append(
            {
                "event": event,
                "cluster": number,
                "pure": float(links.pure[number]),
                "whole": float(links.whole[number]),
                "twin": twin if some else None,
                "same": float(links.same[number]) if some else None,
            }
        )
    return pl.DataFrame(rows, schema=IDENTITY_COLUMNS)


def _frames(works: Sequence[SourceWork], pieces: Sequence[Piece]) -> pl.DataFrame:
    """The frames of all pieces, in their order, under the pieces' ids."""
    tables = [works[0].extracted.frames.head(0)]
    for work, group in itertools.groupby(pieces, key=lambda piece: piece.work):
        mine = list(group)
        ids = pl.Series("tracklet", [piece.id for piece in mine], dtype=pl.String)
        owner = np.repeat(np.arange(len(mine)), [len(piece.rows) for piece in mine])
        frames = work.extracted.frames[np.concatenate([piece.rows for piece in mine])]
        tables.append(frames.with_columns(ids.gather(owner)))
    return pl.concat(tables)


def _boxes(works: Sequence[SourceWork], joined: Rejoined) -> dict[str, int]:
    """How many of the boxes that somebody saw are under an identity, in a junk tracklet, or in none as no crop was cut
    near them."""
    counts = dict.fromkeys(("boxes_kept", "boxes_junk", "boxes_cropless"), 0)
    for work, tracks in zip(works, joined.tracks, strict=True):
        where, rows_of = np.zeros(len(tracks), np.int64), TrackRows(tracks)
        for piece, cluster in zip(joined.pieces, joined.cluster, strict=True):
            if piece.work is work:
                rows = rows_of.of(piece)
                where[rows] = np.maximum(where[rows], 2 if cluster >= 0 else 1)
        seen = tracks["confidence"].is_not_null().to_numpy()
        for name, value in zip(counts, (2, 1, 0), strict=True):
            counts[name] += int((where[seen] == value).sum())
    return counts


def _is_poor(piece: Piece, settings: EventSettings) -> bool:
    return piece.quality < settings.min_quality or len(piece.rows) < settings.min_crops


def _observe(pieces: Sequence[Piece]) -> Observations:
    """What linking sees of the pieces."""
    keys = [piece.work.take.source.key for piece in pieces]
    offset = np.array([piece.work.take.source.offset for piece in pieces])
    parted = Counter((key, piece.local, piece.person) for key, piece in zip(keys, pieces, strict=True))
    same: list[Hashable] = []  # equal for pieces that must be one person; None where nothing is known
    for key, piece in zip(keys, pieces, strict=True):
        if piece.truth is not None:
            same.append(("annotated", key, piece.truth))
        elif parted[key, piece.local, piece.person] > 1:  # one person's tracklet, cut at a border
            same.append((key, piece.local, piece.person))
        else:
            same.append(None)
    return Observations(
        features=np.stack([piece.embedding for piece in pieces]) if pieces else np.zeros((0, 1)),
        camera=_numbered([(key, piece.camera) for key, piece in zip(keys, pieces, strict=True)]),
        start=np.array([piece.start for piece in pieces]) + offset,
        end=np.array([piece.end for piece in pieces]) + offset,
        weight=np.array([piece.quality for piece in pieces]),
        must=_numbered(same),
        annotated=_numbered([None if p.truth is None else key for key, p in zip(keys, pieces, strict=True)]),
    )


def _numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """[N] int64: equal keys get one number, in the order in which they first appear; None gets -1."""
    numbers: dict[Hashable, int] = {}
    return np.array([-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
