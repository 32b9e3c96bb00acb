"""The proposals and the log of decisions without some people: they replay to what they did, less these.

    less = without_pieces(tracklets, frames, decisions, gone={"cup--left--00003"}, identities={7})
    replay(less.tracklets, less.frames, less.decisions)     # the reviewed tables without the piece

Decisions keep their numbers. One that was about nobody else becomes the line `{"number": 4, "do": "forgotten"}`; any
other names only who is left. A number that a split gave, and that would now be another, is written down with it. Where
a tracklet showed two people, what stays of it becomes a tracklet of its own: nothing tells any more that it was cut.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from ...datasets.decisions import Decision, Draft, in_force, numbered
from ...datasets.errors import UsageError
from ...datasets.format import origin_of
from ...datasets.replay import Piece, Review, follow, tables

BY = "forget"


@dataclass(frozen=True)
class Less:
    """What is left; the columns are those that the tables had."""

    tracklets: pl.DataFrame
    frames: pl.DataFrame
    decisions: tuple[Decision, ...]


def without_pieces(
    tracklets: pl.DataFrame,
    frames: pl.DataFrame,
    decisions: Sequence[Decision],
    gone: Collection[str],
    identities: Collection[int],
) -> Less:
    """Proposals and log without the pieces `gone`, which are ids of the reviewed tracklets.

    Args:
        tracklets, frames: the proposals.
        identities: reviewed numbers of the people; names given to them go.

    Raises:
        UsageError: a decision doesn't apply to the proposals.
    """
    review, faults = follow(tracklets, frames, decisions)
    if faults:
        raise UsageError(f"{faults[0]} Undo it first.")
    reviewed, reviewed_frames = tables(tracklets, frames, review) if in_force(decisions) else (tracklets, frames)
    pieces = review.pieces.values()
    affected = {piece.origin for piece in pieces if piece.id in gone}
    kept: dict[str, list[Piece]] = defaultdict(list)  # of affected origins, what stays
    for piece in pieces:
        if piece.origin in affected and piece.id not in gone:
            kept[piece.origin].append(piece)
    parts = [piece for some in kept.values() for piece in some]
    left = _proposals(tracklets, reviewed, affected, parts)
    left_frames = pl.concat(
        [
            frames.filter(~pl.col("tracklet").is_in(list(affected))),
            reviewed_frames.filter(pl.col("tracklet").is_in([piece.id for piece in parts])),
        ]
    )
    log = _Rewriting(Review(tracklets, frames), Review(left, left_frames), affected, kept, set(identities))
    counting = {decision.number for decision in in_force(decisions)}
    written = [log.rewrite(d) if d.number in counting else log.filtered(d) for d in decisions]
    wanted = {p.id: (p.kind, p.identity) for p in pieces if p.id not in gone}
    found = follow(left, left_frames, written)[0].pieces
    drafts: dict[tuple[str, int], list[str]] = defaultdict(list)
    for id_, who in wanted.items():
        if (found[id_].kind, found[id_].identity) != who:
            drafts[who].append(id_)
    more = numbered((_draft(*who, ids) for who, ids in sorted(drafts.items())), len(written) + 1, by=BY)
    return Less(left, left_frames, (*written, *more))


def _proposals(
    tracklets: pl.DataFrame, reviewed: pl.DataFrame, affected: Collection[str], parts: Sequence[Piece]
) -> pl.DataFrame:
    """The proposals that stay, in the table's order: whole tracklets, and parts as tracklets of their own."""
    origin = {piece.id: piece.origin for piece in parts}
    rows = tracklets.with_row_index("place")
    whole = rows.filter(~pl.col("id").is_in(list(affected)))
    now = reviewed.filter(pl.col("id").is_in(list(origin))).select("id", "start", "end", "frames")
    now = now.with_columns(origin=pl.col("id").replace_strict(origin, return_dtype=pl.String))
    old = rows.rename({"id": "origin"}).drop("start", "end", "frames")
    cut = now.join(old, on="origin").select(whole.columns)
    table = pl.concat([whole, cut]).sort("place", "start", maintain_order=True).drop("place")
    # Which side an event is on may have hung on somebody who goes: it stays where it is.
    sides = reviewed.select("id", now_split="split")
    table = table.join(sides, on="id", how="left", maintain_order="left")
    moved = pl.col("split") != pl.col("now_split")
    role = pl.when(~moved).then("role").when(pl.col("now_split") == "train").then(pl.lit("train"))
    return table.with_columns(role=role.otherwise(pl.lit("gallery")), split="now_split").drop("now_split")


def _draft(kind: str, identity: int, ids: Sequence[str]) -> Draft:
    if kind == "person":
        return Draft("identity", tuple(ids), identity=identity)
    return Draft("junk" if kind == "junk" else "distractor", tuple(ids))


@dataclass
class _Rewriting:
    """The log, decision by decision, over all the pieces (`full`) and over those that stay (`less`)."""

    full: Review
    less: Review
    affected: Collection[str]
    kept: dict[str, list[Piece]]
    identities: set[int]

    def rewrite(self, decision: Decision) -> Decision:
        """A decision that counts; applies it to both reviews."""
        ids = self._left(decision.tracklets)
        new = self._about(decision, ids)
        pieces = [self.full.pieces[id_] for id_ in decision.tracklets]
        self.full.apply(decision)
        if new.do in ("split", "merge"):
            target = self.full.pieces[_result(decision, pieces)]
            new = self._with_number(new, target.identity if target.kind == "person" else None)
        if new.do != "forgotten" and self.less.apply(new):
            return _forgotten(decision)  # nothing is left that it could be said of
        return new

    def filtered(self, decision: Decision) -> Decision:
        """A decision that doesn't count: without the tracklets that go, or parts of which go."""
        if decision.do in ("undo", "forgotten"):
            return decision
        known = [id_ for id_ in decision.tracklets if self._origin(id_) not in self.affected]
        changed = len(known) < len(decision.tracklets)
        new = msgspec.structs.replace(decision, tracklets=tuple(known), name=self._name(decision))
        return _forgotten(decision) if new.fault() or (changed and decision.do == "caption") else new

    def _origin(self, id_: str) -> str:
        id_ = origin_of(id_, self.full.pieces)
        return self.full.pieces[id_].origin if id_ in self.full.pieces else id_

    def _left(self, ids: Sequence[str]) -> list[str]:
        """What stays of these pieces."""
        found: dict[str, None] = {}
        for id_ in ids:
            piece = self.full.pieces[id_]
            if piece.origin not in self.affected:
                found[id_] = None
            for part in self.kept.get(piece.origin, ()):
                if piece.first <= part.first < piece.stop:
                    found[part.id] = None
        return list(found)

    def _about(self, decision: Decision, ids: list[str]) -> Decision:
        """The decision about who is left; "forgotten" where nobody is."""
        piece = self.full.pieces[decision.tracklets[0]] if decision.tracklets else None
        frame = decision.frame
        if decision.do == "merge":
            ids = [*ids, *(one for one in self._companions(decision) if one not in ids)]
            if len(ids) < 2:
                return self._joined(decision, ids)
        elif decision.do == "different":
            ids = [some[0] for id_ in decision.tracklets if (some := self._left([id_]))]
        elif decision.do == "caption" and piece and piece.origin in self.affected:
            ids = []  # nobody knows which of the two people it describes
        elif frame is not None and piece and piece.origin in self.affected:
            later = [part.id for part in self.kept[piece.origin] if frame <= part.first < piece.stop]
            ids, frame = (later if piece.kind == "person" else []), None
        name = self._name(decision)
        new = msgspec.structs.replace(decision, tracklets=tuple(ids), frame=frame, name=name)
        return _forgotten(decision) if new.fault() else new

    def _companions(self, decision: Decision) -> list[str]:
        """For each tracklet of a merge that goes, one that stays of the identity that it brings along."""
        found = []
        for id_ in decision.tracklets:
            piece = self.full.pieces[id_]
            if piece.kind == "person" and not self._left([id_]):
                found += self._left(sorted(self.full.members[piece.identity]))[:1]
        return found

    def _joined(self, decision: Decision, ids: Sequence[str]) -> Decision:
        """A merge of which one tracklet stays: what is left of its identity may have got another number by it."""
        if not ids:
            return _forgotten(decision)
        piece = self.less.pieces[ids[0]]
        mine = sorted(self.less.members[piece.identity]) if piece.kind == "person" else list(ids)
        brought = [self.full.pieces[id_] for id_ in decision.tracklets]
        numbers = [one.identity for one in brought if one.kind == "person"]
        target = min(numbers) if numbers else self.full.new_identity(decision)
        if piece.kind == "person" and piece.identity == target:
            return _forgotten(decision)
        return msgspec.structs.replace(decision, do="identity", tracklets=tuple(mine), identity=target)

    def _with_number(self, decision: Decision, target: int | None) -> Decision:
        """The split or merge so that its identity has the number `target`, as it had."""
        if target is None:
            return decision
        chosen = [self.less.pieces[id_] for id_ in decision.tracklets]
        people = sorted({piece.identity for piece in chosen if piece.kind == "person"})
        if decision.do == "merge" and people:
            if people[0] == target:
                return decision
            ids = {id_ for number in people for id_ in self.less.members[number]} | set(decision.tracklets)
            return msgspec.structs.replace(decision, do="identity", tracklets=tuple(sorted(ids)), identity=target)
        if self.less.largest == self.full.largest and self.less.new_identity(decision) == target:
            return decision
        return msgspec.structs.replace(decision, identity=target)

    def _name(self, decision: Decision) -> str:
        return "" if decision.identity in self.identities else decision.name


def _result(decision: Decision, pieces: Sequence[Piece]) -> str:
    """The piece that shows which number a split or a merge gave."""
    return pieces[0].id if decision.frame is None else f"{pieces[0].id}~{decision.frame}"


def _forgotten(decision: Decision) -> Decision:
    return Decision("forgotten", number=decision.number)
