"""A review at work: what is decided is on disk before it counts, and nobody's decision overwrites another's.

    with open_session(Path("dancers")) as session:
        session.decide(session.revision, "anna", [Draft("merge", ("a", "b"))])
        session.undo("anna")

The state in memory is always that of `datasets.replay.follow` of the log. A session may be used by several threads.
"""

import bisect
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...datasets.decisions import Decision, DecisionLog, Draft, numbered, open_decisions, read_decisions
from ...datasets.errors import ReidkitError, UsageError
from ...datasets.replay import Piece, Review, follow
from ..linking.constraints import HANDOVER
from .material import Material, read_material

KEPT = 1_000  # changes that a window which was away can catch up on
MACHINE = "machine"


class Refused(ReidkitError):
    """A decision that isn't taken. `conflict`: two tracklets that can't be one person; `stale`: somebody was faster."""

    def __init__(self, message: str, *, conflict: tuple[str, str] | None = None, stale: bool = False) -> None:
        super().__init__(message)
        self.conflict, self.stale = conflict, stale


@dataclass(frozen=True)
class Change:
    """What somebody changed, for all windows. identities: those that are other than before, gone ones among them."""

    revision: int
    by: str
    text: str
    identities: tuple[int, ...]


class Session:
    """A dataset under review; `open_session` makes one.

    Attributes:
        material: the proposals.
        review: what the decisions made of them; replaced, never changed.
        decisions: all lines of the log.
        watchers: called with every change, by the thread that made it.
    """

    def __init__(self, material: Material, log: DecisionLog, decisions: Sequence[Decision]) -> None:
        """
        Raises:
            UsageError: a decision doesn't apply to this build.
        """
        self.material, self._log = material, log
        self.decisions = list(decisions)
        self.review, faults = follow(material.tracklets, material.frames, decisions)
        if faults:
            raise UsageError(f"{faults[0]} `reidkit check` names all such; undo it in decisions.jsonl.")
        self.lock = threading.RLock()
        self.changes: deque[Change] = deque(maxlen=KEPT)
        self.watchers: list[Callable[[Change], None]] = []
        self.times: list[float] = []  # when this session's decisions of people were taken
        self._changed: dict[int, int] = defaultdict(lambda: len(decisions))  # identity -> revision
        self._moved: dict[str, int] = defaultdict(lambda: len(decisions))  # tracklet -> revision

    @property
    def revision(self) -> int:
        """The number of lines in the log."""
        return len(self.decisions)

    def decide(self, revision: int, by: str, drafts: Sequence[Draft]) -> Change:
        """Takes decisions that rest on what a window saw at `revision`; all or none. Returns what changed.

        Raises:
            Refused: somebody changed since what they are about, or a person would be in two places at once.
            UsageError: a draft that doesn't fit its kind or this state.
            ReidkitError: they can't be written.
        """
        with self.lock:
            if not 0 <= revision <= self.revision:
                raise UsageError(f"There is no revision {revision}; the review is at {self.revision}.")
            for draft in drafts:
                if draft.do == "undo":
                    raise UsageError("A decision is undone by `undo`, not by deciding.")
                if draft.do == "forgotten":
                    raise UsageError("People are forgotten by `reidkit forget`, not by deciding.")
                self._require_fresh(revision, draft)
            made = numbered(drafts, self.revision + 1)
            after = self._tried(made, self.review)
            self.times.append(time.monotonic())
            return self._write(drafts, after, by, told(self.review, drafts))

    def append_consequences(
        self, revision: int, drafts: Sequence[Draft], text: Callable[[Sequence[Draft]], str]
    ) -> tuple[int, ...]:
        """Takes what the machine made of the last decision, but for what doesn't fit. Returns the changed identities.

        Nothing is taken where somebody decided since `revision`, or where there is something to redo: an undo brings
        back what was before, and what follows would stand in the way of redoing.

        Args:
            text: what the drafts taken do, in words.
        """
        with self.lock:
            done, redo = self._stacks()
            if revision != self.revision or not done or redo:
                return ()
            taken: list[Draft] = []
            after = self.review
            for draft in drafts:
                with suppress(Refused, UsageError):
                    made = numbered([draft], self.revision + len(taken) + 1, after=done[-1])
                    after = self._tried(made, after)
                    taken.append(draft)
            return self._write(taken, after, MACHINE, text(taken), cause=done[-1]).identities if taken else ()

    def undo(self, by: str) -> Change:
        """Takes back the last decision of a person, and what the machine made of it. Returns what changed.

        Raises:
            Refused: there is nothing to undo.
        """
        with self.lock:
            done, _ = self._stacks()
            if not done:
                raise Refused("There is nothing to undo.")
            return self._revoke(done[-1], by, "Undone: ")

    def redo(self, by: str) -> Change:
        """Takes the last undone decision again.

        Raises:
            Refused: there is nothing to redo; a new decision makes what was undone before it final.
        """
        with self.lock:
            _, redo = self._stacks()
            if not redo:
                raise Refused("There is nothing to redo.")
            return self._revoke(redo[-1], by, "Done again: ")

    def conflict(self, review: Review, one: int, other: int) -> str:
        """Why two identities can't be one person, as a sentence; "" where they can."""
        first, second = review.members.get(one, set()), review.members.get(other, set())
        for a, b in self.together([review.pieces[id_] for id_ in first | second]):
            if (a in first) != (b in first):
                camera = self.material.origins[review.pieces[a].origin].camera
                return f"They are seen at the same time in camera {camera}."
        return ""

    def differ(self, review: Review, one: int, other: int) -> bool:
        """Whether two identities can't be one person, or aren't, as somebody said."""
        first, second = review.members.get(one, set()), review.members.get(other, set())
        for groups in review.apart:
            sides = [(not first.isdisjoint(group), not second.isdisjoint(group)) for group in groups]
            if any(a and not b for a, b in sides) and any(b and not a for a, b in sides):
                return True
        return bool(self.conflict(review, one, other))

    def stacks(self) -> tuple[int, int]:
        """How many decisions of people count, which can be undone, and how many undos can be taken back."""
        done, redo = self._stacks()
        return len(done), len(redo)

    def announce(self, change: Change) -> None:
        """Tells all windows."""
        with self.lock:
            self.changes.append(change)
            for watcher in list(self.watchers):
                watcher(change)

    def missed(self, since: int | None) -> list[Change]:
        """What a window that knows revision `since` hasn't heard of; None: it is new, and knows all.

        Of a window that was away for too long, or over another server's life, one change stands for all.
        """
        if since is None or since == self.revision:
            return []
        kept = [change for change in self.changes if change.revision > since]
        complete = since < self.revision and len(self.changes) > 0 and self.changes[0].revision <= since + 1
        return kept if complete else [Change(self.revision, "", "", tuple(sorted(self.review.members)))]

    def _stacks(self) -> tuple[list[int], list[int]]:
        """Numbers of the people's decisions that count, and of the undos that can be taken back, the last ones last."""
        done: list[int] = []
        undone: dict[int, int] = {}  # number of the undo -> of the decision
        for decision in self.decisions:
            target = decision.decision
            if decision.after is not None or decision.do == "forgotten":
                continue
            if target is None:
                done.append(decision.number)
                undone.clear()
            elif target in undone:
                bisect.insort(done, undone.pop(target))
            elif target in done:
                done.remove(target)
                undone[decision.number] = target
        return done, list(undone)

    def _revoke(self, number: int, by: str, word: str) -> Change:
        draft = Draft("undo", decision=number)
        (made,) = numbered([draft], self.revision + 1)
        after, faults = follow(self.material.tracklets, self.material.frames, [*self.decisions, made])
        if faults:
            raise Refused(faults[0])
        target = self.decisions[number - 1]
        while target.decision is not None:
            target = self.decisions[target.decision - 1]
        before = after if target.number == number else self.review  # the state that the decision was taken in
        return self._write([draft], after, by, word + told(before, [target]), about=[target])

    def _require_fresh(self, revision: int, draft: Draft) -> None:
        pieces = [self.review.pieces[id_] for id_ in draft.tracklets if id_ in self.review.pieces]
        seen = [self._moved[piece.id] for piece in pieces]
        if draft.do != "caption":
            about = {piece.identity for piece in pieces if piece.kind == "person"}
            if draft.identity in self.review.members:
                about.add(draft.identity)
            seen += [self._changed[identity] for identity in about]
        if max(seen, default=0) > revision:
            raise Refused("Somebody changed since what this is about. Look again.", stale=True)

    def _tried(self, made: Sequence[Decision], base: Review) -> Review:
        """The review `base` after the decisions."""
        after = base.copy()
        for decision in made:
            fault = after.apply(decision)
            if fault:
                raise UsageError(f"That can't be decided: {fault}.")
        clash = self._clash(base, after)
        if clash:
            origin = self.material.origins[after.pieces[clash[0]].origin]
            raise Refused(
                f"'{clash[0]}' and '{clash[1]}' are seen at the same time in camera {origin.camera} of "
                f"{origin.event}, so they can't be one person.",
                conflict=clash,
            )
        return after

    def _clash(self, base: Review, after: Review) -> tuple[str, str] | None:
        """Two tracklets that would become one person, and are seen at one time in one camera; None: there are none."""
        before = base.pieces
        joined = {p.identity for p in after.pieces.values() if p.kind == "person" and before.get(p.id) is not p}
        for identity in sorted(joined):
            for one, other in self.together([after.pieces[id_] for id_ in after.members[identity]]):
                a, b = before.get(one), before.get(other)
                if not (a and b and a.kind == b.kind == "person" and a.identity == b.identity):
                    return one, other
        return None

    def together(self, pieces: Iterable[Piece]) -> Iterator[tuple[str, str]]:
        """The pairs of tracklets that are seen at the same time in one camera, for longer than a handover lasts."""
        spans: dict[tuple[str, str], list[tuple[float, float, str]]] = defaultdict(list)
        for piece in pieces:
            origin = self.material.origins[piece.origin]
            spans[origin.event, origin.camera].append((*origin.span(piece), piece.id))
        for here in spans.values():
            here.sort()
            for k, (start, end, one) in enumerate(here):
                for later, until, other in here[k + 1 :]:
                    if later >= end:
                        break
                    if min(end, until) - later > min(HANDOVER, (end - start) / 2, (until - later) / 2):
                        yield one, other

    def _write(
        self,
        drafts: Sequence[Draft],
        after: Review,
        by: str,
        text: str,
        *,
        about: Sequence[Draft] = (),
        cause: int | None = None,
    ) -> Change:
        """Writes the drafts, and makes `after` the state. about: what they are about, where that isn't they."""
        made = self._log.append(*drafts, by=by, after=cause)
        changed, moved = differences(self.review, after)
        for draft in about or drafts:
            if draft.do in ("different", "confirm", "caption"):
                moved |= set(draft.tracklets)
                pieces = (after.pieces[id_] for id_ in draft.tracklets)
                changed |= {piece.identity for piece in pieces if piece.kind == "person"}
        self.decisions += made
        self.review = after
        self._changed.update(dict.fromkeys(changed, self.revision))
        self._moved.update(dict.fromkeys(moved, self.revision))
        who = next((one.by for one in made), by)
        change = Change(self.revision, who, text, tuple(sorted(changed)))
        self.announce(change)
        return change


def differences(before: Review, after: Review) -> tuple[set[int], set[str]]:
    """The identities that other tracklets belong to, or that have another name; and the tracklets that moved."""
    moved: set[str] = set()
    changed = {i for i in before.names.keys() | after.names.keys() if before.names.get(i) != after.names.get(i)}
    for id_ in before.pieces.keys() | after.pieces.keys():
        old, new = before.pieces.get(id_), after.pieces.get(id_)
        if old is new or old == new:
            continue
        moved.add(id_)
        changed |= {piece.identity for piece in (old, new) if piece is not None and piece.kind == "person"}
    return changed, moved


def told(before: Review, drafts: Sequence[Draft]) -> str:
    """What the decisions do, in words."""
    return " ".join(_sentence(before, draft) for draft in drafts[:3]) + (" …" if len(drafts) > 3 else "")


def _sentence(before: Review, draft: Draft) -> str:
    many = len(draft.tracklets)
    what = "1 tracklet" if many == 1 else f"{many} tracklets"
    pieces = [before.pieces[id_] for id_ in draft.tracklets if id_ in before.pieces]
    identities = sorted({piece.identity for piece in pieces if piece.kind == "person"})
    who = " and ".join(map(str, identities))
    match draft.do:
        case "merge":
            return f"Identities {who} are one person." if len(identities) > 1 else f"{what} went to identity {who}."
        case "split" if draft.frame is not None:
            return f"A tracklet of identity {who} was cut at frame {draft.frame}."
        case "split":
            return f"{what} left identity {who}." if identities else f"{what} became a person."
        case "junk":
            return f"{what} went to junk."
        case "distractor":
            return f"{what} became passers-by."
        case "identity" if draft.name:
            return f"Identity {draft.identity} is {draft.name}."
        case "identity":
            return f"{what} went to identity {draft.identity}."
        case "different":
            return f"Identities {who} are different people."
        case "confirm":
            return f"Identity {who} is confirmed."
        case _:
            return "A caption changed."


@contextmanager
def open_session(root: Path) -> Iterator[Session]:
    """The review of the dataset folder `root`, which no other process reviews while the block runs.

    Raises:
        UsageError: no dataset of ours, a damaged one, one that somebody reviews, or decisions of another build.
    """
    material = read_material(root)
    with open_decisions(root) as log:
        yield Session(material, log, read_decisions(root))
