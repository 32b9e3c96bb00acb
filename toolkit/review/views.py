"""What the page is shown, as JSON: `state(session, judged)`, `identity(session, judged, 7)`, …

Times are seconds of the event's clock.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from functools import partial

from ...datasets.captions import Caption
from ...datasets.replay import Piece, with_texts
from .judgement import NEAREST, UNKNOWN, Judged
from .material import Material
from .questions import Question, questions
from .session import Session

PAUSE = 120.0  # seconds; who decides nothing for longer has paused
RECENT = 30  # decisions whose pace counts


class Views:
    """A session as it is shown.

    Attributes:
        judged: how sure it is; replaced by whoever judges anew.
        thinking: somebody is about to judge anew.
    """

    def __init__(self, session: Session, judged: Judged) -> None:
        self.session, self.judged = session, judged
        self.thinking = False
        self._events = _events(session.material)

    def state(self) -> dict:
        """`GET /api/state`."""
        with self.session.lock:
            review, material = self.session.review, self.session.material
            identities = [self._identity(identity) for identity in review.members]
            identities.sort(key=lambda one: (-one["doubt"], one["identity"]))
            kinds = Counter(piece.kind for piece in review.pieces.values())
            asked = questions(review, self.judged, partial(self.session.differ, review))
            return {
                "dataset": material.manifest.name,
                "revision": self.session.revision,
                "events": self._events,
                "progress": self._progress(identities),
                "identities": identities,
                "nobody": {"junk": kinds["junk"], "distractor": kinds["distractor"]},
                "questions": [self._question(one) for one in asked],
            }

    def identity(self, number: int) -> dict:
        """`GET /api/identity/7`.

        Raises:
            KeyError: there is no such identity.
        """
        with self.session.lock:
            review = self.session.review
            if number not in review.members:
                raise KeyError(number)
            judged = self.judged.nearest.get(number, ())
            there = [(other, likely) for other, likely in judged if other in review.members and other != number]
            nearest = [
                {
                    "identity": other,
                    "probability": round(likely, 4),
                    "conflict": self.session.conflict(review, number, other),
                    **{k: v for k, v in self._identity(other).items() if k in ("cover", "name", "events")},
                }
                for other, likely in there[:NEAREST]
            ]
            tracklets = self._tracklets(review.pieces[id_] for id_ in review.members[number])
            return self._identity(number) | {"tracklets": tracklets, "nearest": nearest}

    def nobody(self, kind: str) -> dict:
        """`GET /api/nobody/junk`."""
        with self.session.lock:
            pieces = self.session.review.pieces.values()
            return {"tracklets": self._tracklets(piece for piece in pieces if piece.kind == kind)}

    def timeline(self, event: str) -> dict:
        """`GET /api/timeline/EVENT`.

        Raises:
            KeyError: there is no such event.
        """
        with self.session.lock:
            cameras: dict[str, list[dict]] = {}
            for piece in self.session.review.pieces.values():
                origin = self.session.material.origins[piece.origin]
                if origin.event == event:
                    start, end = origin.span(piece)
                    track = {"id": piece.id, "identity": piece.identity, "kind": piece.kind, "start": start, "end": end}
                    cameras.setdefault(origin.camera, []).append(track)
            if not cameras:
                raise KeyError(event)
            tracks = [track for some in cameras.values() for track in some]
            return {
                "event": event,
                "start": min(track["start"] for track in tracks),
                "end": max(track["end"] for track in tracks),
                "cameras": [
                    {"name": name, "tracks": sorted(some, key=lambda track: (track["start"], track["id"]))}
                    for name, some in sorted(cameras.items())
                ],
            }

    def frames(self, id_: str) -> dict:
        """`GET /api/frames/TRACKLET`: the source frames of its crops.

        Raises:
            KeyError: there is no such tracklet.
        """
        piece = self.session.review.pieces[id_]
        origin = self.session.material.origins[piece.origin]
        return {"frames": origin.frames[origin.rows(piece)].tolist()}

    def crop(self, id_: str, number: int) -> tuple[bytes, int]:
        """The JPEG of the tracklet's crop `number`, from 0 in time, and its source frame.

        Raises:
            KeyError: there is no such crop.
            ReidkitError: it can't be read.
        """
        piece = self.session.review.pieces[id_]
        origin = self.session.material.origins[piece.origin]
        rows = origin.rows(piece)
        if not 0 <= number < rows.stop - rows.start:
            raise KeyError(number)
        place = rows.start + number
        return self.session.material.crop(piece.origin, place), int(origin.frames[place])

    def cover(self, id_: str) -> bytes:
        """The JPEG of the tracklet's best crop.

        Raises:
            KeyError: there is no such tracklet.
            ReidkitError: it can't be read.
        """
        piece = self.session.review.pieces[id_]
        origin = self.session.material.origins[piece.origin]
        return self.crop(id_, int(origin.crop_quality[origin.rows(piece)].argmax()))[0]

    def _identity(self, number: int) -> dict:
        review, origins = self.session.review, self.session.material.origins
        pieces = [review.pieces[id_] for id_ in review.members[number]]
        mine = [origins[piece.origin] for piece in pieces]
        confirmed = number in review.confirmed
        pure = 1.0 if confirmed else self.judged.pure.get(number, UNKNOWN)
        whole = 1.0 if confirmed else self.judged.whole.get(number, UNKNOWN)
        best = max(zip(mine, pieces, strict=True), key=lambda one: (one[0].quality or 0.0, one[1].id))
        return {
            "identity": number,
            "name": review.names.get(number, ""),
            "events": sorted({origin.event for origin in mine}),
            "pure": round(pure, 4),
            "whole": round(whole, 4),
            "doubt": round(1 - pure * whole, 4),
            "confirmed": confirmed,
            "tracklets": len(pieces),
            "cameras": sorted({origin.camera for origin in mine}),
            "cover": best[1].id,
            "caption_doubts": sum(bool(c.doubts) for piece in pieces for c in self._captions(piece)),
        }

    def _captions(self, piece: Piece) -> list[Caption]:
        here = self.session.material.captions.get(piece.id, [])
        text = self.session.review.texts.get(piece.id)
        return here if text is None else with_texts(here, {piece.id: text})

    def _tracklets(self, pieces: Iterable[Piece]) -> list[dict]:
        found = [self._tracklet(piece) for piece in pieces]
        return sorted(found, key=lambda one: (one["event"], one["camera"], one["start"], one["id"]))

    def _tracklet(self, piece: Piece) -> dict:
        origin = self.session.material.origins[piece.origin]
        rows = origin.rows(piece)
        start, end = origin.span(piece)
        sure = self.judged.sure.get(piece.id, origin.confidence)
        return {
            "id": piece.id,
            "camera": origin.camera,
            "event": origin.event,
            "start": start,
            "end": end,
            "crops": rows.stop - rows.start,
            "frames": [int(origin.frames[rows.start]), int(origin.frames[rows.stop - 1])],
            "confidence": None if sure is None else round(sure, 4),
            "kind": piece.kind,
            "captions": [
                {"text": c.text, "captioner": c.captioner, "model": c.model, "doubts": list(c.doubts)}
                for c in self._captions(piece)
            ],
        }

    def _progress(self, identities: list[dict]) -> dict:
        doubt = sum(one["doubt"] for one in identities)
        confirmed = sum(one["confirmed"] for one in identities)
        done, redo = self.session.stacks()
        pace = _pace(self.session.times)
        left = len(identities) - confirmed + doubt  # each is confirmed, and what is wrong is mended first
        return {
            "doubt": round(doubt, 2),
            "decisions": done,
            "per_minute": None if pace is None else round(pace, 1),
            "seconds_left": None if pace is None else round(60 * left / pace),
            "confirmed": confirmed,
            "identities": len(identities),
            "can_undo": done > 0,
            "can_redo": redo > 0,
            "thinking": self.thinking,
        }

    def _question(self, one: Question) -> dict:
        review = self.session.review
        return {
            "kind": one.kind,
            "identities": list(one.identities),
            "tracklets": list(one.tracklets),
            # Those of an identity come with it; strays are in none.
            "about": self._tracklets(review.pieces[id_] for id_ in one.tracklets) if one.kind == "stray" else [],
            "probability": round(one.probability, 4),
            "text": one.text,
        }


def _events(material: Material) -> list[dict]:
    found: dict[str, dict] = {}
    for origin in material.origins.values():
        start, end = origin.start + origin.offset, origin.end + origin.offset
        one = found.setdefault(origin.event, {"start": start, "end": end, "cameras": set()})
        one["start"], one["end"] = min(one["start"], start), max(one["end"], end)
        one["cameras"].add(origin.camera)
    return [{"name": name, **one, "cameras": sorted(one["cameras"])} for name, one in sorted(found.items())]


def _pace(times: list[float]) -> float | None:
    """Decisions a minute, of the last ones and without pauses; None of fewer than three.

    >>> _pace([0, 10, 20, 900, 910])
    6.0
    """
    steps = [b - a for a, b in itertools.pairwise(times[-RECENT:]) if b - a < PAUSE]
    return 60 * len(steps) / sum(steps) if len(steps) >= 2 and sum(steps) > 0 else None
