"""Average linkage of nodes that know only their mean embedding, under conflicts that hold exactly.

    cluster = merge_in_windows(nodes, conflicts, threshold=0.2)       # [n], from 0

The mean similarity of two clusters is the product of their mean embeddings, so that no table of similarities is needed:
a cluster is as small as one node. Two clusters that are each other's most similar allowed partner can be merged at
once, whatever else is merged before: no merger makes a cluster more similar to a third than the better of its halves
was (average linkage is reducible; Bruynooghe 1977), and none lifts a conflict. All such pairs are merged in one round.
The result is that of merging the most similar pair again and again.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from .constraints import Conflicts
from .pull import Pull

# Units that are compared with each other at once. Within some hundred, each person is there a dozen times; larger
# windows cost more and link no better, as early mistakes then block more.
WINDOW = 500
MOST = 16_384  # nodes that are ever compared with each other; of more, those with the most footage
BLOCK = 16_000_000  # similarities held at once
ROWS = 20_000  # nodes that are summed at once


@dataclass(frozen=True)
class Nodes:
    """Tracklets, or clusters of them.

    Attributes:
        means: [n, D] weighted mean of the embeddings; the less alike they are, the shorter.
        mass: [n] sum of the weights.
        time: [n] seconds, weighted mean of the times.
        pull: what else than looks speaks for and against pairs of them; None: nothing.
    """

    means: np.ndarray
    mass: np.ndarray
    time: np.ndarray
    pull: Pull | None = None

    def __len__(self) -> int:
        return len(self.mass)

    def rows(self, which: np.ndarray) -> "Nodes":
        pull = self.pull.rows(which) if self.pull else None
        return Nodes(self.means[which], self.mass[which], self.time[which], pull)

    def merged(self, label: np.ndarray, count: int) -> "Nodes":
        """The clusters 0 to count - 1 of these nodes, none of which is empty; nodes labelled below 0 are in none."""
        sums = self.sums(label, count)
        inside = label >= 0
        mass = np.bincount(label[inside], self.mass[inside], count)
        time = np.bincount(label[inside], (self.time * self.mass)[inside], count) / mass
        pull = self.pull.merged(label, count) if self.pull else None
        return Nodes((sums / mass[:, None]).astype(self.means.dtype), mass, time, pull)

    def sums(self, label: np.ndarray, count: int) -> np.ndarray:
        """[count, D] float64, weighted sum of the embeddings of each cluster."""
        found = np.zeros((count, self.means.shape[1]))
        for k in range(0, len(label), ROWS):
            rows = np.flatnonzero(label[k : k + ROWS] >= 0) + k
            ends = np.arange(len(rows) + 1)
            spread = csc_array((self.mass[rows], label[rows], ends), shape=(count, len(rows)))
            found += spread @ self.means[rows].astype(np.float64)
        return found


def merge_in_windows(nodes: Nodes, conflicts: Conflicts, threshold: float, least: int = 1) -> np.ndarray:
    """[n] cluster of each node: merged within windows of time, then the clusters of windows with each other.

    The windows of one round lie across the borders of the round before, and hold as many nodes of it; as those are
    clusters by then, each covers a longer time. Time and memory grow with n, not with its square.

    Args:
        threshold: two clusters are merged at this mean cosine similarity or more.
        least: no window merges to fewer clusters.
    """
    label = np.arange(len(nodes))
    rounds = 0
    while len(nodes) > WINDOW:
        window = (_ranks(nodes.time) + (WINDOW // 2) * (rounds % 2)) // WINDOW
        found = np.empty(len(nodes), np.int64)
        count, clusters = 0, []
        inside = window[conflicts.first] == window[conflicts.second]
        order = np.argsort(window[conflicts.first[inside]], kind="stable")
        first, second = conflicts.first[inside][order], conflicts.second[inside][order]
        borders = np.searchsorted(window[first], np.arange(window.max() + 2))
        place = np.empty(len(nodes), np.int64)
        for number, rows in enumerate(np.split(np.argsort(window, kind="stable"), np.cumsum(np.bincount(window))[:-1])):
            place[rows] = np.arange(len(rows))
            pairs = slice(borders[number], borders[number + 1])
            mine = Conflicts.between(len(rows), place[first[pairs]], place[second[pairs]])
            merged = merge_alike(nodes.rows(rows), mine, threshold, least)
            found[rows] = count + merged
            clusters.append(nodes.rows(rows).merged(merged, int(merged.max()) + 1))
            count += len(clusters[-1])
        shrunk = count < 0.8 * len(nodes)
        conflicts, label = conflicts.merged(found, count), found[label]
        pull = nodes.pull.merged(found, count) if nodes.pull else None
        means, mass, time = (np.concatenate([getattr(c, name) for c in clusters]) for name in ("means", "mass", "time"))
        nodes = Nodes(means, mass, time, pull)
        rounds += 1
        if not shrunk:
            break
    rows = np.sort(np.argsort(-nodes.mass, kind="stable")[:MOST])
    found = np.full(len(nodes), -1)
    found[rows] = np.arange(len(rows))
    some = merge_alike(nodes.rows(rows), conflicts.merged(found, len(rows)), threshold, least)
    found[rows] = some
    rest = found < 0
    found[rest] = int(some.max(initial=-1)) + 1 + np.arange(rest.sum())
    return found[label]


def merge_alike(nodes: Nodes, conflicts: Conflicts, threshold: float, least: int = 1) -> np.ndarray:
    """[n] cluster of each node: the most similar two are merged until none reach `threshold`, or `least` are left."""
    n = len(nodes)
    mass = nodes.mass.astype(np.float64)
    sums = nodes.means * mass[:, None]
    alive = np.ones(n, bool)
    partner, similarity = np.full(n, -1), np.full(n, -np.inf)
    merged: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    pull = nodes.pull
    stale = np.arange(n)
    while len(stale):
        active = np.flatnonzero(alive)
        partner[stale], similarity[stale] = _best_partners(sums, mass, active, stale, conflicts, pull)
        wanted = active[(similarity[active] >= threshold) & np.isfinite(similarity[active])]
        if not len(wanted):
            break
        one = wanted[(partner[partner[wanted]] == wanted) & (wanted < partner[wanted])]
        if not len(one):  # only rounding can make a circle of best partners
            one = wanted[[similarity[wanted].argmax()]]
        other = partner[one]
        merged.append((one, other, similarity[one]))
        sums[one] += sums[other]
        mass[one] += mass[other]
        alive[other] = False
        into = np.arange(n)
        into[other] = one
        conflicts = conflicts.merged(into, n)
        changed = into != np.arange(n)
        changed[one] = True
        active = np.flatnonzero(alive)
        if pull:  # it adds up, so that a merged cluster may suit a third better than either half did
            pull = pull.merged(into, n)
            changed[pull.touched(one)] = True
        stale = active[changed[active] | changed[partner[active]]]
    return _cut(n, merged, least)


def _best_partners(
    sums: np.ndarray,
    mass: np.ndarray,
    active: np.ndarray,
    rows: np.ndarray,
    conflicts: Conflicts,
    pull: Pull | None,
) -> tuple[np.ndarray, np.ndarray]:
    """For each of `rows` the most similar active cluster that it may join, and the similarity; -inf: there is none."""
    place = np.empty(len(mass), np.int64)
    place[active] = np.arange(len(active))
    column = np.full(len(mass), -1)
    column[active] = place[active]
    means = sums[active] / mass[active, None]
    partner, similarity = np.empty(len(rows), np.int64), np.empty(len(rows))
    step = max(1, BLOCK // len(active))
    for k in range(0, len(rows), step):
        part = rows[k : k + step]
        table = means[place[part]] @ means.T
        if pull:
            table += pull.table(part, column, len(active))
        table[np.arange(len(part)), place[part]] = -np.inf
        i, other = conflicts.of_all(part)
        table[i, place[other]] = -np.inf
        best = table.argmax(1)
        partner[k : k + step], similarity[k : k + step] = active[best], table[np.arange(len(part)), best]
    return partner, similarity


def _cut(n: int, merged: list[tuple[np.ndarray, np.ndarray, np.ndarray]], least: int) -> np.ndarray:
    """The clusters after the mergers, the least similar of which are taken back where fewer than `least` are left."""
    if not merged:
        return np.arange(n)
    one, other, height = (np.concatenate(part) for part in zip(*merged, strict=True))
    # A merger is never more similar than those of its halves, but for rounding.
    lowest = np.full(n, np.inf)
    for k in range(len(one)):
        height[k] = lowest[one[k]] = min(height[k], lowest[one[k]], lowest[other[k]])
    kept = np.sort(np.argsort(-height, kind="stable")[: max(n - least, 0)])
    label = np.arange(n)
    for k in kept[::-1]:  # the last mergers first: what was merged into another moves on with it
        label[other[k]] = label[one[k]]
    return np.unique(label, return_inverse=True)[1]


def _ranks(values: np.ndarray) -> np.ndarray:
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank
