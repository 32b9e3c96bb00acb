"""The decisions on an earlier build as decisions on a new one: `carry(reviewed, tracklets, frames, shown)`.

The linking has honoured them by then. They are written anew, under the new tracklets' names, so that they hold whatever
is decided next, and the next build finds them. What can't be carried is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ...datasets.decisions import Decision, Draft, numbered
from ...datasets.replay import Review
from ...datasets.text import printable
from .constraints import Reviewed, Shown


@dataclass(frozen=True)
class Carried:
    """What became of the decisions.

    Attributes:
        decisions: on the new build, numbered from 1; who decided and when is as it was.
        held: how many of the earlier decisions hold in full.
        lost: a sentence for each of which something could not be carried.
    """

    decisions: tuple[Decision, ...]
    held: int
    lost: tuple[str, ...]


def carry(reviewed: Reviewed, tracklets: pl.DataFrame, frames: pl.DataFrame, shown: Mapping[str, Shown]) -> Carried:
    """The decisions that people made on the earlier build, on the new one.

    Args:
        tracklets, frames: of the new build.
        shown: new tracklet -> which of the earlier ones it shows.
    """
    names = list(shown)
    where = {id_: [names[i] for i in some] for id_, some in reviewed.pieces_of(list(shown.values())).items()}
    review, former = Review(tracklets, frames), reviewed.former
    made: list[Decision] = []
    lost = [f"{sentence}." for sentence in former.broken]
    held = 0
    for decision in former.decisions:
        missing = [id_ for id_ in decision.tracklets if not where.get(id_)]
        faults = [f"no tracklet of this build shows '{id_}'" for id_ in missing[:3]]
        if len(missing) > 3:
            faults.append(f"nor {len(missing) - 3} others")
        for draft in _drafts(reviewed, review, decision, where, shown):
            if isinstance(draft, str):
                faults.append(draft)
                continue
            said = draft.do, draft.tracklets, draft.name, draft.text
            if any(said == (one.do, one.tracklets, one.name, one.text) for one in made):
                continue
            (line,) = numbered([draft], len(made) + 1, by=decision.by, at=decision.at)
            fault = review.apply(line)
            if fault:
                faults.append(fault)
            else:
                made.append(line)
        held += not faults
        if faults:
            lost.append(f"decision {decision.number} ({decision.do}): {printable('; '.join(faults))}.")
    return Carried(tuple(made), held, tuple(lost))


def _drafts(
    reviewed: Reviewed,
    review: Review,
    decision: Decision,
    where: Mapping[str, Sequence[str]],
    shown: Mapping[str, Shown],
) -> list[Draft | str]:
    """What a decision is on the new build; a text is a fault."""
    former = reviewed.former
    pieces = former.review.pieces
    found: list[Draft | str] = []

    def new(ids: Sequence[str], person: bool = True) -> tuple[str, ...]:
        found = {one for id_ in ids for one in where.get(id_, ())}
        return tuple(sorted(one for one in found if not person or review.pieces[one].kind == "person"))

    if decision.do in ("junk", "distractor"):
        ids = new([id_ for id_ in decision.tracklets if pieces[id_].kind == decision.do], person=False)
        return [Draft(decision.do, ids)] if ids else []
    if decision.do == "caption":
        (id_,) = decision.tracklets
        if former.review.texts.get(id_) != decision.text:  # a later caption took its place
            return []
        best = max(where.get(id_, ()), key=lambda one: (shown[one][id_], one), default=None)
        return [Draft("caption", (best,), text=decision.text)] if best else []
    for group in former.together[decision.number]:
        ids = new(group)
        if len(ids) > 1:
            found.append(Draft("merge", ids))
    if decision.name and former.review.names.get(decision.identity or 0) == decision.name:
        ids = new([id_ for id_ in decision.tracklets if former.person(id_) == decision.identity])
        if ids:
            found.append(Draft("identity", ids, identity=review.pieces[ids[0]].identity, name=decision.name))
    pairs: dict[tuple[int, int], tuple[str, str]] = {}
    for one, other in former.apart[decision.number]:
        for a in where.get(one, ()):
            for b in where.get(other, ()):
                if a != b and review.pieces[a].kind == review.pieces[b].kind == "person":
                    pairs.setdefault((review.pieces[a].identity, review.pieces[b].identity), (a, b))
    found += [Draft("different", pair) for pair in pairs.values()]
    if decision.do == "confirm" and (who := former.person(decision.tracklets[0])) in former.review.confirmed:
        found.append(_confirmed(review, new(sorted(former.review.members[who or 0])), shown))
    return found


def _confirmed(review: Review, ids: tuple[str, ...], shown: Mapping[str, Shown]) -> Draft | str:
    """All of the identity; what else is of it may only be parts of its tracks without a crop of the earlier build."""
    people = {review.pieces[id_].identity for id_ in ids if review.pieces[id_].kind == "person"}
    members = {id_ for who in people for id_ in review.members[who]}
    if not ids or (len(people) != 1 and members != set(ids)):
        return "its tracklets are not all of one identity now"
    others = sorted(id_ for id_ in members - set(ids) if shown[id_])
    return f"its identity now also holds '{others[0]}'" if others else Draft("confirm", tuple(sorted(members)))
