"""What a review of an earlier build demands of the linking of a new one: who is nobody, one person, or two people.

    reviewed = Reviewed(former, lying)                  # lying: of each source (`lies.lies_on`)
    times = reviewed.changes("cup/left", tracks)        # where a track goes from one reviewed person to another
    shown = reviewed.shown("cup/left", rows)            # which tracklets of the earlier build these boxes show
    seen, dropped = reviewed.constrain(seen, shown_by_piece, overlap=0.5)

It holds whatever the new build's embeddings say.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ...datasets.sides import components
from ..linking.constraints import seen_together
from ..linking.observations import Observations
from .former import Former

SHORTEST = 3  # crops; a change of person that doesn't last as long is none
NOBODY, OPEN = "nobody", "open"

Shown = Counter[str]  # tracklet of the earlier build -> number of its crops that a piece lies on


@dataclass(frozen=True)
class Reviewed:
    """The review of an earlier build, beside the boxes of a new one.

    Attributes:
        lying: source -> [boxes] the tracklet that each box of its tracks shows (`lies.lies_on`).
    """

    former: Former
    lying: Mapping[str, np.ndarray]

    def changes(self, source: str, tracks: pl.DataFrame) -> dict[int, list[float]]:
        """Track -> the seconds at which it goes on from one person, as people decided, to another, or to nobody."""
        lying = self.lying.get(source)
        if lying is None:
            return {}
        seen: dict[int, list[tuple[float, object]]] = defaultdict(list)
        for track, time, id_ in zip(tracks["track"].to_list(), tracks["time"].to_list(), lying.tolist(), strict=True):
            if id_ is not None:
                seen[track].append((time, self._state(id_)))
        found = {track: _changes(sorted(states, key=lambda one: one[0])) for track, states in seen.items()}
        return {track: times for track, times in found.items() if times}

    def _state(self, id_: str) -> object:
        """The person whom people say that a tracklet shows, NOBODY, or OPEN where they said nothing."""
        if id_ not in self.former.settled:
            return OPEN
        who = self.former.person(id_)
        return NOBODY if who is None else who

    def shown(self, source: str, rows: np.ndarray) -> Shown:
        """The tracklets that the boxes `rows` of the source's tracks show."""
        lying = self.lying.get(source)
        return Counter() if lying is None else Counter(id_ for id_ in lying[rows].tolist() if id_ is not None)

    def is_nobody(self, shown: Shown) -> bool:
        """Whether most of a piece is what people said is nobody."""
        nobody = sum(count for id_, count in shown.items() if self._state(id_) == NOBODY)
        return 2 * nobody > shown.total()

    def owner(self, shown: Shown) -> int | None:
        """Of the people whom the review settled, the one whom most of a piece shows; None where it shows none."""
        people: Counter[int] = Counter()
        for id_, count in shown.items():
            state = self._state(id_)
            if isinstance(state, int):
                people[state] += count
        return max(people, key=lambda who: (people[who], -who), default=None)

    def pieces_of(self, shown: Sequence[Shown]) -> dict[str, list[int]]:
        """Tracklet of the earlier build -> the numbers of the pieces that show it."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(shown):
            if self.is_nobody(one):
                for id_ in one:
                    if self._state(id_) == NOBODY:
                        found[id_].append(number)
                continue
            owner = self.owner(one)
            for id_, count in one.items():
                state = self._state(id_)
                if (state == owner and owner is not None) or (state == OPEN and 2 * count >= one.total()):
                    found[id_].append(number)
        return found

    def constrain(self, seen: Observations, shown: Sequence[Shown], overlap: float) -> tuple[Observations, list[int]]:
        """The observations with what people decided as constraints, and the tracklets that can't follow it.

        Those are seen at the same time in one camera as another one of their person, with more of the reviewed crops.

        Args:
            shown: of each of `seen`. overlap: seconds, see `linking.constraints.seen_together`.
        """
        shown, dropped = list(shown), list[int]()
        seen = replace(seen, must=self._without_contradicted(seen.must, shown))
        first, second = seen_together(seen, overlap)
        while True:
            must = _units(seen.must, self._together(shown))
            clash = np.flatnonzero((must[first] == must[second]) & (must[first] >= 0))
            held = (k for k in clash for i in (int(first[k]), int(second[k])) if shown[i])
            if (k := next(held, None)) is None:
                break
            weaker = min((int(first[k]), int(second[k])), key=lambda i: (not shown[i], shown[i].total(), i))
            shown[weaker] = Counter()
            dropped.append(weaker)
        where = self.pieces_of(shown)
        pairs = [
            (i, j)
            for some in self.former.apart.values()
            for one, other in some
            for i, j in itertools.product(where.get(one, ()), where.get(other, ()))
        ]
        for who in self.former.review.confirmed:  # whole: nobody else joins
            mine = sorted({i for id_ in self.former.review.members[who] for i in where.get(id_, ())})
            pairs += [(mine[0], j) for j in range(len(shown)) if mine and j not in mine]
        pairs = [(i, j) for i, j in pairs if must[i] < 0 or must[i] != must[j]]
        person = np.array([self.owner(one) is not None for one in shown], bool)
        apart = np.array(pairs, np.int64).reshape(-1, 2)
        return replace(seen, must=must, apart=apart, settled=person), dropped

    def _without_contradicted(self, must: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        """[N] `must` without what joins two people whom the review settled, as the parts of a track that goes from one
        to the other for a moment too short to be cut; or a confirmed one and what the review knew as somebody else."""
        owners: dict[int, set[int]] = defaultdict(set)
        people = [self.owner(one) for one in shown]
        for number, who in zip(must.tolist(), people, strict=True):
            if number >= 0 and who is not None:
                owners[number].add(who)
        wrong = {number for number, some in owners.items() if len(some) > 1}
        whole = {number for number, some in owners.items() if some & self.former.review.confirmed}
        loose = [
            (number in wrong and who is not None) or (number in whole and who is None and one.total() > 0)
            for number, who, one in zip(must.tolist(), people, shown, strict=True)
        ]
        return np.where(loose, -1, must)

    def _together(self, shown: Sequence[Shown]) -> list[list[int]]:
        """Groups of pieces that are one person."""
        where = self.pieces_of(shown)
        alone = ((id_,) for id_ in where if isinstance(self._state(id_), int))
        groups = itertools.chain(alone, *self.former.together.values())
        return [[i for id_ in group for i in where.get(id_, ())] for group in groups]


def _changes(states: Sequence[tuple[float, object]]) -> list[float]:
    """The seconds between two lasting runs of different people, or of somebody and nobody.

    >>> _changes([(t, 1 if t < 4 else OPEN if t < 8 else 2) for t in range(12)])
    [7.5]
    """
    runs = [list(run) for _, run in itertools.groupby(states, key=lambda one: one[1])]
    found: list[float] = []
    last: tuple[float, object] | None = None
    for run in (run for run in runs if len(run) >= SHORTEST):
        state = run[0][1]
        if last is not None:
            before = last[1]
            if NOBODY not in (before, state) and OPEN in (before, state):
                state = before if state == OPEN else state
            elif before != state:
                found.append((last[0] + run[0][0]) / 2)
        last = (run[-1][0], state)
    return found


def _units(must: np.ndarray, groups: Iterable[Sequence[int]]) -> np.ndarray:
    """[N] `must` with the groups joined to what it joins; -1 for those of which nothing is known."""
    known = [(f"must {number}", i) for i, number in enumerate(must.tolist()) if number >= 0]
    known += [(f"group {number}", i) for number, group in enumerate(groups) for i in group]
    out = np.full(len(must), -1, np.int64)
    for number, group in enumerate(components(sorted({i for _, i in known}), known)):
        out[group] = number
    return out
