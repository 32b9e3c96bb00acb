"""`decisions.jsonl`, the append-only log of review decisions: its schema, its one reader and its one writer.

    for decision in read_decisions(root): ...
    with open_decisions(root) as log:                       # no other process writes meanwhile
        log.append(Draft("merge", ("a", "b")), by="anna")   # durable when it returns

A line is a decision, numbered from 1. What a decision means, `replay.py` says:

    {"number": 1, "do": "merge", "tracklets": ["a", "b"], "by": "anna", "at": "2026-11-24T12:00:00Z"}
    {"number": 2, "do": "split", "tracklets": ["c", "d"]}             out of their identity, together, into a new one
    {"number": 3, "do": "split", "tracklets": ["e"], "frame": 120}    e ends there, and e~120 begins
    {"number": 4, "do": "junk", "tracklets": ["f"]}
    {"number": 5, "do": "identity", "tracklets": ["g"], "identity": 7, "name": "Anna"}
    {"number": 6, "do": "distractor", "tracklets": ["h"]}             a passer-by
    {"number": 7, "do": "different", "tracklets": ["a", "g"]}         their identities are different people
    {"number": 8, "do": "confirm", "tracklets": ["a", "b"]}           all of their identity, which is one whole person
    {"number": 9, "do": "caption", "tracklets": ["a"], "text": "red shoes"}
    {"number": 10, "do": "merge", "tracklets": ["c", "g"], "after": 8, "by": "machine"}   counts as long as 8 does
    {"number": 11, "do": "undo", "decision": 5}                       undoing an undo does it again
    {"number": 12, "do": "forgotten"}                                 was about people whom `reidkit forget` took out
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .errors import UsageError
from .files import append_durably
from .format import DECISIONS
from .locks import exclusive
from .schema import decode_json, read_bytes
from .text import printable

LOCK = ".decisions.lock"
LONGEST = 200  # characters of a name
FIX = "Mend that line by hand, or take the file away: the identities are then those that the build proposed."

Do = Literal["merge", "split", "junk", "distractor", "identity", "different", "confirm", "caption", "undo", "forgotten"]
Number = Annotated[int, Meta(ge=1, le=1 << 53)]


class Draft(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is decided, before it has a number.

    Attributes:
        tracklets: whom it is about, each once; how many, `fault` says.
        frame: a split's; the tracklet's crops from this frame of the source on become a tracklet of their own.
        identity: an identity's: the number that the tracklets get, 0 or more. A split or a merge that makes a new
            identity may carry the number it had before somebody was forgotten.
        name: an identity's: the person's name, or a shirt number; "" where nobody said.
        text: a caption's: what it says.
        decision: an undo's: the number of the decision that counts no longer.
    """

    do: Do
    tracklets: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    frame: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    identity: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    name: Annotated[str, Meta(max_length=LONGEST)] = ""
    text: Annotated[str, Meta(max_length=10_000)] = ""
    decision: Number | None = None

    def fault(self) -> str:
        """What is missing or too much; "" where the fields fit the kind of decision."""
        wanted = {"merge": 2, "different": 2, "undo": 0, "forgotten": 0}.get(self.do, 1)
        if len(self.tracklets) < wanted or len(set(self.tracklets)) != len(self.tracklets):
            return f"a {self.do} names {wanted} tracklets or more, each once"
        if bool(self.text.strip()) != (self.do == "caption") or (self.do == "caption" and len(self.tracklets) != 1):
            return "a text goes with the caption of one tracklet, which needs it"
        if self.frame is not None and (self.do != "split" or len(self.tracklets) != 1):
            return "a frame goes with the split of one tracklet"
        numbered = self.do in ("identity", "split", "merge") if self.identity is not None else self.do != "identity"
        if not numbered or (self.name and self.do != "identity"):
            return "a number or a name goes with do identity, which needs the number"
        if self.do == "forgotten" and self.tracklets:
            return "what is forgotten names nobody"
        if (self.decision is not None) != (self.do == "undo") or (self.do == "undo" and self.tracklets):
            return "an undo names a decision and nothing else"
        return ""


class Decision(Draft, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One line.

    Attributes:
        number: from 1, one more than the line before.
        by: who decided; "" where that isn't known.
        after: of what the machine made of a decision: the number of that decision. It counts as long as that one does.
        at: when, ISO 8601 in UTC; it decides nothing.
    """

    number: Number
    after: Number | None = None
    by: Annotated[str, Meta(max_length=LONGEST)] = ""
    at: Annotated[str, Meta(max_length=40)] = ""


def read_decisions(root: Path) -> tuple[Decision, ...]:
    """All decisions of the dataset folder `root`, those undone among them; none where there is no file.

    The beginning of a line that a kill cut off was never acknowledged; it is left out.

    Raises:
        UsageError: the file can't be read, or a line is no decision or has the wrong number; it is named.
    """
    path = root / DECISIONS
    if not path.exists():
        return ()
    lines = [line for line in _whole(read_bytes(path, FIX)).split(b"\n") if line.strip()]
    out = []
    for number, line in enumerate(lines, start=1):
        where = f"Line {number} of '{path}'"
        decision = decode_json(line, Decision, where, FIX)
        fault = decision.fault()
        if decision.number != number:
            fault = f"it has number {decision.number}, and {number} is due"
        elif max(decision.decision or 0, decision.after or 0) >= number:
            fault = f"it names decision {max(decision.decision or 0, decision.after or 0)}, which isn't before it"
        elif decision.do == "undo" and decision.after is not None:
            fault = "an undo comes after no decision"
        if fault:
            raise UsageError(f"{where} can't be used: {fault}. {FIX}")
        out.append(decision)
    return tuple(out)


def in_force(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions that count, in order: without undone ones, what the machine made of these, and the undos."""
    undone: set[int] = set()
    for decision in reversed(decisions):  # an undo that was undone itself undoes nothing
        if decision.decision is not None and decision.number not in undone:
            undone.add(decision.decision)
    for decision in decisions:
        if decision.after in undone:
            undone.add(decision.number)
    none = "undo", "forgotten"
    return [decision for decision in decisions if decision.do not in none and decision.number not in undone]


def numbered(
    drafts: Iterable[Draft], first: int, *, by: str = "", at: str = "", after: int | None = None
) -> list[Decision]:
    """Drafts as the decisions that follow each other from number `first` on.

    Raises:
        UsageError: a draft whose fields don't fit its kind, or one that undoes, or comes after, what isn't there.
    """
    made = []
    for number, draft in enumerate(drafts, start=first):
        fault = draft.fault()
        for before in (draft.decision, after):
            if not fault and before is not None and before >= number:
                fault = f"there is no decision {before} before number {number}"
        if fault:
            raise UsageError(f"A decision '{draft.do}' can't be written: {fault}.")
        made.append(Decision(number=number, by=by, at=at, after=after, **msgspec.structs.asdict(draft)))
    return made


class DecisionLog:
    """The file while this process alone writes it; `open_decisions` makes one."""

    def __init__(self, path: Path, count: int) -> None:
        self._path, self._count = path, count

    def append(self, *drafts: Draft, by: str = "", at: str | None = None, after: int | None = None) -> list[Decision]:
        """Writes the drafts as lines, all in one go, and returns when they are durable.

        Args:
            by: who decides; it is written in one line, and cut where it is longer than a line of the log may say.
            at: the time to be written; None: now.
            after: the decision that the machine made these of; None: a person decides.

        Raises:
            UsageError: a draft whose fields don't fit its kind, or one that undoes, or comes after, what isn't there.
            ReidkitError: they can't be written.
        """
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at is None else at
        made = numbered(drafts, self._count + 1, by=printable(by)[:LONGEST], at=at, after=after)
        if not made:
            return []
        data = b"".join(msgspec.json.encode(decision) + b"\n" for decision in made)
        append_durably(self._path, data, "Free some space, or allow writing, and decide again.")
        self._count += len(made)
        return made


@contextmanager
def open_decisions(root: Path) -> Iterator[DecisionLog]:
    """The log of the dataset folder `root`, for this process alone to write while the block runs.

    Raises:
        UsageError: another process writes it; or a line is no decision, and then the file stays as it is.
        ReidkitError: the folder can't be written.
    """
    with exclusive(root / LOCK, f"Somebody else is reviewing '{root}'. Wait until they are done."):
        count = len(read_decisions(root))
        path = root / DECISIONS
        if path.exists():
            whole = _whole(path.read_bytes())
            os.truncate(path, len(whole))
            if whole and not whole.endswith(b"\n"):  # as an editor leaves a last line
                with open(path, "ab") as file:
                    file.write(b"\n")
        yield DecisionLog(path, count)


def _whole(data: bytes) -> bytes:
    """The file without a last line that is no whole JSON."""
    before, feed, rest = data.rpartition(b"\n")
    return before + feed if _is_cut(rest) else data


def _is_cut(line: bytes) -> bool:
    try:
        return bool(line.strip()) and not isinstance(json.loads(line), dict)
    except ValueError:
        return True
