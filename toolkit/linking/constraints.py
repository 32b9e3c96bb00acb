"""What holds whatever the embeddings say: units that are one person, and pairs of units that are two people.

    unit = units_of(seen.must)                          # [N] -> number of the unit
    conflicts = unit_conflicts(seen, unit, overlap=0.5)
    conflicts.of(unit_a)                                # the units that are other people than unit_a

A unit is a tracklet, or all tracklets that must be one person. The pairs are kept as a list: a tracklet is seen
together with as many others as stand beside it, however long the match.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...datasets import UsageError
from .observations import Observations

HANDOVER = 0.5  # seconds that two tracklets of one person in one camera may be seen together at the most
BLOCK = 4_000_000  # candidate pairs that are looked at in one step


@dataclass(frozen=True)
class Conflicts:
    """Pairs of nodes that are two people.

    Attributes:
        count: number of nodes.
        first, second: [M], first < second, each pair once, in order.
    """

    count: int
    first: np.ndarray
    second: np.ndarray

    @staticmethod
    def between(count: int, first: np.ndarray, second: np.ndarray) -> "Conflicts":
        """From pairs in any order, with repetitions."""
        key = np.unique(np.minimum(first, second).astype(np.int64) * count + np.maximum(first, second))
        return Conflicts(count, key // count, key % count)

    def merged(self, label: np.ndarray, count: int) -> "Conflicts":
        """The conflicts of clusters of nodes; `label` [self.count] is below `count`, or -1 for nodes in none."""
        first, second = label[self.first], label[self.second]
        inside = (first >= 0) & (second >= 0)
        return Conflicts.between(count, first[inside], second[inside])

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Both directions as compressed rows: node i conflicts with `column[start[i]:start[i + 1]]`."""
        one, other = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        order = np.argsort(one, kind="stable")
        return np.searchsorted(one[order], np.arange(self.count + 1)), other[order]

    def of(self, node: int) -> np.ndarray:
        """The nodes that are other people than `node`."""
        start, column = self.rows
        return column[start[node] : start[node + 1]]

    def of_all(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in `nodes`, and the node that each of them conflicts with; a pair an entry."""
        start, column = self.rows
        return _ranges(start[nodes], start[nodes + 1], column)


def units_of(must: np.ndarray) -> np.ndarray:
    """[N] number of the unit of each tracklet, by first tracklet; tracklets with one `must` >= 0 are one unit."""
    alone = must.max(initial=-1) + 1 + np.arange(len(must))
    _, first, inverse = np.unique(np.where(must >= 0, must, alone), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def seen_together(seen: Observations, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tracklets ([M], [M]) of one camera that are seen together for more than a handover.

    Args:
        overlap: seconds that a handover lasts at the most; half of the shorter tracklet where that is less.
    """
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for camera in np.unique(seen.camera):
        rows = np.flatnonzero(seen.camera == camera)
        handover = np.minimum(overlap, (seen.end[rows] - seen.start[rows]) / 2)
        for i, j, together in overlapping(seen.start[rows], seen.end[rows]):
            apart = together > np.minimum(handover[i], handover[j])
            found.append((rows[i[apart]], rows[j[apart]]))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def overlapping(start: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs of spans that overlap, each once, and the length of their overlap; some millions of pairs at a time.

    Args:
        start, end: [N] seconds.
    """
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    after = np.searchsorted(start, end, side="left")  # those that start before this one ends
    before = np.arange(1, len(order) + 1)
    total = np.cumsum(np.maximum(after - before, 0))
    steps = np.searchsorted(total, np.arange(BLOCK, total[-1], BLOCK)) if len(total) else []
    for piece in np.split(np.arange(len(order)), steps):
        i, j = _ranges(before[piece], after[piece], np.arange(len(order)))
        i = piece[i]
        yield order[i], order[j], np.minimum(end[i], end[j]) - start[j]


def unit_conflicts(seen: Observations, unit: np.ndarray, overlap: float) -> Conflicts:
    """The units that are two people: seen together in one camera, two ids of one annotated sequence, or as a reviewer
    said.

    Raises:
        UsageError: two tracklets of one unit are seen together.
    """
    first, second = seen_together(seen, overlap)
    clash = np.flatnonzero(unit[first] == unit[second])
    if len(clash):
        a, b = sorted((int(first[clash[0]]), int(second[clash[0]])))
        raise UsageError(
            f"Tracklets {a} and {b} must be one person, but are seen at the same time in one camera "
            f"(from {max(seen.start[a], seen.start[b]):.2f} s on). Mend the annotation."
        )
    pairs = [(unit[first], unit[second])]
    for sequence in np.unique(seen.annotated[seen.annotated >= 0]):
        people = np.unique(unit[seen.annotated == sequence])
        one, other = np.triu_indices(len(people), 1)
        pairs.append((people[one], people[other]))
    if seen.apart is not None:
        one, other = unit[seen.apart].T
        pairs.append((one[one != other], other[one != other]))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return Conflicts.between(int(unit.max(initial=-1)) + 1, one, other)


def _ranges(start: np.ndarray, stop: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values[start[i]:stop[i]]` of all i, one after the other, with the i of each."""
    counts = np.maximum(stop - start, 0)
    i = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, values[start[i] + within]
