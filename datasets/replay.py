"""What the review's decisions make of a build's proposals.

    tracklets, frames = replay(tracklets, frames, decisions)           # the tables with the decisions applied
    captions = replay_captions(captions, decisions)

    review = Review(tracklets, frames)                                 # the same, one decision at a time
    fault = review.apply(decision)

The proposals (tracklets.parquet as it was built) and the log give the identities: the same two make the same tables,
row by row, whoever replays them and however often it was interrupted.

- merge: all identities of the tracklets become one, that of the lowest number, which takes over a name.
- split: the tracklets leave their identity, together, for a new one. At a frame: the crops from there on become a
  tracklet `<id>~<frame>` of a new identity.
- junk: the tracklets are nobody's; distractor: a passer-by's.
- identity: the tracklets get that number, and are a person's.
- different: the identities that the tracklets are of are different people. No table changes.
- confirm: the tracklets, all of one identity, are one whole person. No table changes; it holds until somebody leaves
  that identity or joins it.
- caption: the text takes the place of the tracklet's captions; where it is one of them, the doubts about it go.

A new identity's number is the largest proposed one plus the number of the decision, so that undoing another decision
doesn't renumber it; the next free one where somebody was given that number by hand, and the decision's own where it
carries one. Sides of the split stay as they were divided, but where one person of both sides was made: who tests is not
trained on (`sides.one_side`). Queries are chosen again.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from operator import itemgetter

import polars as pl

from .captions import Caption
from .decisions import Decision, in_force
from .errors import UsageError
from .sides import one_side, settled, with_roles
from .text import printable
from .tracklet import DISTRACTOR, JUNK

REVIEWER = "review"  # the captioner of a text that a reviewer wrote


@dataclass(frozen=True)
class Piece:
    """A tracklet, or a part of one: the frames from `first` up to but not including `stop`."""

    id: str
    origin: str
    identity: int
    kind: str
    first: float = float("-inf")
    stop: float = float("inf")


class Review:
    """What the decisions applied so far made of the proposals.

    Attributes:
        pieces: the tracklets by id.
        members: identity -> the ids of its tracklets.
        names: identity -> the name that was given to it last.
        confirmed: identities that somebody said are one whole person, and that nobody joined or left since.
        together: groups of tracklets, each of one person, as decisions say.
        apart: groups of groups: no tracklet of one is the person of a tracklet of another, as decisions say.
        largest: proposed identity.
        settled: tracklets about which a decision says whether they are a person's, or whose.
        texts: tracklet -> the caption that was written last.
    """

    def __init__(self, tracklets: pl.DataFrame, frames: pl.DataFrame) -> None:
        rows = tracklets.select("id", "identity", "kind").iter_rows()
        self.pieces = {id_: Piece(id_, id_, who, kind) for id_, who, kind in rows}
        self.members: dict[int, set[str]] = defaultdict(set)
        for piece in self.pieces.values():
            if piece.kind == "person":
                self.members[piece.identity].add(piece.id)
        self.names: dict[int, str] = {}
        self.confirmed: set[int] = set()
        self.together: list[tuple[str, ...]] = []
        self.apart: list[tuple[tuple[str, ...], ...]] = []
        self.settled: set[str] = set()
        self.texts: dict[str, str] = {}
        self._frames: dict[str, list[int]] = dict(frames.group_by("tracklet").agg("frame").iter_rows())
        self.largest = max(self.members, default=0)

    def apply(self, decision: Decision) -> str:
        """Applies one decision, no undo; the reason where it can't be, and then nothing is changed."""
        unknown = [id_ for id_ in decision.tracklets if id_ not in self.pieces]
        if unknown:
            return f"there is no tracklet '{unknown[0]}'"
        ids = decision.tracklets
        chosen = [self.pieces[id_] for id_ in ids]
        match decision.do:
            case "junk":
                self._set(ids, JUNK, "junk")
            case "distractor":
                self._set(ids, DISTRACTOR, "distractor")
            case "identity":
                assert decision.identity is not None  # `Draft.fault`
                self._set(ids, decision.identity, "person")
                self.together.append(ids)
                if decision.name:
                    self.names[decision.identity] = decision.name
            case "merge":
                self._merge(chosen, decision)
            case "split" if decision.frame is not None:
                return self._cut(chosen[0], decision.frame, decision)
            case "split":
                self._split(chosen, decision)
            case "different":
                return self._differ(chosen)
            case "confirm":
                return self._confirm(chosen)
            case "caption":
                self.texts[ids[0]] = decision.text
                return ""
        self.settled.update(ids)
        return ""

    def copy(self) -> "Review":
        """Another one in the same state."""
        other = copy(self)
        other.pieces, other.names, other.texts = dict(self.pieces), dict(self.names), dict(self.texts)
        other.members = defaultdict(set, {identity: set(ids) for identity, ids in self.members.items()})
        other.confirmed, other.settled = set(self.confirmed), set(self.settled)
        other.together, other.apart = list(self.together), list(self.apart)
        return other

    def _set(self, ids: Iterable[str], identity: int, kind: str) -> None:
        for id_ in ids:
            piece = self.pieces[id_]
            if (piece.identity, piece.kind) == (identity, kind):
                continue
            if piece.kind == "person":
                self._leave(piece)
            if kind == "person":
                self.members[identity].add(id_)
                self.confirmed.discard(identity)
            self.pieces[id_] = replace(piece, identity=identity, kind=kind)

    def _leave(self, piece: Piece) -> None:
        here = self.members[piece.identity]
        here.remove(piece.id)
        self.confirmed.discard(piece.identity)
        if not here:
            del self.members[piece.identity]

    def new_identity(self, decision: Decision) -> int:
        """The number that a split, or a merge of nobody's tracklets, would give now."""
        new = self.largest + decision.number if decision.identity is None else decision.identity
        while new in self.members:
            new += 1
        return new

    def _merge(self, chosen: Sequence[Piece], decision: Decision) -> None:
        identities = sorted({piece.identity for piece in chosen if piece.kind == "person"})
        one = identities[0] if identities else self.new_identity(decision)
        name = next((self.names[i] for i in identities if i in self.names), None)
        if name:
            self.names[one] = name
        for other in identities[1:]:
            self._set(sorted(self.members[other]), one, "person")
        self._set([piece.id for piece in chosen], one, "person")
        self.together.append(tuple(piece.id for piece in chosen))

    def _split(self, chosen: Sequence[Piece], decision: Decision) -> None:
        new = self.new_identity(decision)
        ids = tuple(piece.id for piece in chosen)
        left = {piece.identity for piece in chosen if piece.kind == "person"}
        self._set(ids, new, "person")
        self.together.append(ids)
        for identity in sorted(left):
            if identity in self.members:
                self.apart.append((ids, tuple(sorted(self.members[identity]))))

    def _cut(self, piece: Piece, frame: int, decision: Decision) -> str:
        numbers = [n for n in self._frames.get(piece.origin, ()) if piece.first <= n < piece.stop]
        if not any(n < frame for n in numbers) or not any(n >= frame for n in numbers):
            return f"tracklet '{piece.id}' has no crops on both sides of frame {frame}"
        later = f"{piece.id}~{frame}"
        if later in self.pieces:
            return f"there is a tracklet '{later}' already"
        self.pieces[piece.id] = replace(piece, stop=frame)
        identity, kind = piece.identity, piece.kind
        if kind == "person":
            identity = self.new_identity(decision)
            self.members[identity].add(later)
            self.confirmed.discard(piece.identity)
            self.apart.append(((piece.id,), (later,)))
        self.pieces[later] = Piece(later, piece.origin, identity, kind, frame, piece.stop)
        self.settled.add(later)
        return ""

    def _differ(self, chosen: Sequence[Piece]) -> str:
        nobody = next((piece for piece in chosen if piece.kind != "person"), None)
        if nobody:
            return f"tracklet '{nobody.id}' is no person's"
        if len({piece.identity for piece in chosen}) < len(chosen):
            return "two of the tracklets are of one identity"
        self.apart.append(tuple((piece.id,) for piece in chosen))
        return ""

    def _confirm(self, chosen: Sequence[Piece]) -> str:
        identity = chosen[0].identity
        if {piece.id for piece in chosen} != self.members.get(identity, set()):
            return "the tracklets are not all of one identity"
        self.confirmed.add(identity)
        return ""


def replay(
    tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables after the decisions; without any they are returned as they are.

    Raises:
        UsageError: a decision that doesn't apply; it is named.
    """
    if not in_force(decisions):
        return settled(tracklets) if decisions else tracklets, frames
    review, faults = follow(tracklets, frames, decisions)
    if faults:
        raise UsageError(f"{faults[0]} Undo it, or review the build that it was made on.")
    return tables(tracklets, frames, review)


def broken(tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]) -> list[str]:
    """A sentence for each decision that no longer applies, as after another build; what hangs on it is told, too."""
    return follow(tracklets, frames, decisions)[1]


def replay_captions(captions: Iterable[Caption], decisions: Sequence[Decision]) -> list[Caption]:
    """The captions after the decisions, in their order, those that a reviewer wrote at the end."""
    return with_texts(captions, {d.tracklets[0]: d.text for d in in_force(decisions) if d.do == "caption"})


def with_texts(captions: Iterable[Caption], texts: Mapping[str, str]) -> list[Caption]:
    """The same with a reviewer's texts of tracklets (`Review.texts`)."""
    captions = list(captions)
    accepted = {c.tracklet for c in captions if texts.get(c.tracklet) == c.text}
    out = []
    for caption in captions:
        text = texts.get(caption.tracklet)
        if text == caption.text:
            out.append(replace(caption, doubts=()))
        elif text is None or caption.tracklet in accepted:
            out.append(caption)
    return out + [Caption(id_, text, REVIEWER) for id_, text in texts.items() if id_ not in accepted]


def follow(tracklets: pl.DataFrame, frames: pl.DataFrame, decisions: Sequence[Decision]) -> tuple[Review, list[str]]:
    """The review after all decisions that count, and a sentence for each that doesn't apply and was left out."""
    review = Review(tracklets, frames)
    faults = []
    for decision in in_force(decisions):
        fault = review.apply(decision)
        if fault:
            faults.append(f"Decision {decision.number} ({decision.do}) no longer applies: {printable(fault)}.")
    return review, faults


def tables(tracklets: pl.DataFrame, frames: pl.DataFrame, review: Review) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The proposals' tables with what the review made of them."""
    place = {id_: n for n, id_ in enumerate(tracklets["id"].to_list())}
    pieces = sorted(review.pieces.values(), key=lambda piece: (place[piece.origin], piece.first))
    columns = {"origin": pl.String, "piece": pl.String, "identity": pl.Int64, "kind": pl.String}
    rows = [(p.origin, p.id, p.identity, p.kind) for p in pieces]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    cut = [p for p in pieces if p.first != float("-inf") or p.stop != float("inf")]
    frames = _with_pieces(frames, cut) if cut else frames
    joined = table.join(
        tracklets.drop("identity", "kind"), left_on="origin", right_on="id", how="left", maintain_order="left"
    ).rename({"piece": "id"})
    if cut:
        inside = frames.filter(pl.col("tracklet").is_in([p.id for p in cut])).group_by("tracklet")
        facts = inside.agg(pl.len().cast(pl.Int64).alias("n"), first=pl.col("time").min(), last=pl.col("time").max())
        joined = joined.join(facts, left_on="id", right_on="tracklet", how="left", maintain_order="left")
        begins, ends = ([p.id for p in cut if p.first != float("-inf")], [p.id for p in cut if p.stop != float("inf")])
        joined = joined.with_columns(
            frames=pl.coalesce("n", "frames"),
            start=pl.when(pl.col("id").is_in(begins)).then("first").otherwise("start"),
            end=pl.when(pl.col("id").is_in(ends)).then("last").otherwise("end"),
        )
    # Whom somebody confirmed the build need not be sure of.
    sure = pl.when(kind="person").then(pl.col("identity").is_in(list(review.confirmed))).otherwise(False)
    joined = joined.with_columns(confidence=pl.when(sure).then(pl.lit(1.0, pl.Float32)).otherwise("confidence"))
    were = dict(tracklets.select("id", "kind").iter_rows())
    sided = one_side(joined, [piece.id for piece in pieces if were[piece.origin] != "person"])
    return with_roles(sided).select(tracklets.columns), frames


def _with_pieces(frames: pl.DataFrame, cut: Sequence[Piece]) -> pl.DataFrame:
    """The crops of tracklets that were cut under the ids of their parts."""
    parts: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for piece in cut:
        parts[piece.origin].append((piece.first, piece.id))
    for starts in parts.values():
        starts.sort()
    owners = []
    for owner, frame in frames.select("tracklet", "frame").iter_rows():
        starts = parts.get(owner)
        owners.append(starts[bisect_right(starts, frame, key=itemgetter(0)) - 1][1] if starts else owner)
    return frames.with_columns(pl.Series("tracklet", owners, pl.String))
