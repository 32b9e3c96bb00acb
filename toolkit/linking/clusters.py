"""Clusters that units are moved between: refined, and completed with what founded none.

    clusters = Clusters(nodes, conflicts, label)
    refine(clusters)
    attach(clusters, threshold, margin)

Sums, masses and sizes of the clusters follow every move, so that a unit's mean similarity to all clusters is one
product.
"""

import numpy as np

from .calibration import pair_products
from .constraints import Conflicts
from .linkage import Nodes

UNDECIDED = -1
PASSES = 10
BETTER = 1e-6  # by how much a move must raise the similarity
CANDIDATES = 4_096  # clusters that a unit is compared with; of more, those with the most footage
BLOCK = 16_000_000  # similarities held at once
# Two clusters of one person are kept apart by a few tracklets of others that went astray in them; those of two people
# are seen together all the time. Up to this share of the smaller one's units may conflict.
TOLERATED = 0.02


class Clusters:
    """Which cluster each unit is in.

    Attributes:
        nodes, conflicts: the units.
        label: [n] cluster of each unit, UNDECIDED for those in none.
        sums: [K, D], mass: [K], size: [K] (units) of each cluster.
    """

    def __init__(self, nodes: Nodes, conflicts: Conflicts, label: np.ndarray) -> None:
        self.nodes, self.conflicts = nodes, conflicts
        self.label = np.asarray(label, np.int64).copy()
        count = int(self.label.max(initial=UNDECIDED)) + 1
        inside = self.label >= 0
        self.sums = nodes.sums(self.label, count)
        self.mass = np.bincount(self.label[inside], nodes.mass[inside], count)
        self.size = np.bincount(self.label[inside], minlength=count)

    def __len__(self) -> int:
        return len(self.mass)

    def as_nodes(self) -> Nodes:
        """The clusters as nodes, for the linkage."""
        return self.nodes.merged(self.label, len(self))

    def conflicts_between(self, tolerated: float = 0.0) -> Conflicts:
        """Pairs of clusters that hold units which are two people, more than a share of the smaller one's units."""
        first, second = self.label[self.conflicts.first], self.label[self.conflicts.second]
        inside = (first >= 0) & (second >= 0) & (first != second)
        first, second = np.minimum(first, second)[inside], np.maximum(first, second)[inside]
        key, count = np.unique(first * len(self) + second, return_counts=True)
        first, second = np.divmod(key, max(len(self), 1))
        many = count > tolerated * np.minimum(self.size[first], self.size[second])
        return Conflicts(len(self), first[many], second[many])

    def cohesion(self) -> np.ndarray:
        """[K] mean similarity of two units of each cluster; infinite for those of one."""
        known = np.flatnonzero(self.label >= 0)
        own = self.nodes.mass[known] ** 2 * pair_products(self.nodes.means, known, known)
        inside = np.einsum("kd,kd->k", self.sums, self.sums) - np.bincount(self.label[known], own, len(self))
        pairs = self.mass**2 - np.bincount(self.label[known], self.nodes.mass[known] ** 2, len(self))
        return np.where(self.size > 1, inside / np.maximum(pairs, 1e-12), np.inf)

    def expel(self) -> None:
        """Takes units out of clusters until none holds two that are two people: of each pair the one that fits less."""
        label = self.label
        inside = (label[self.conflicts.first] == label[self.conflicts.second]) & (label[self.conflicts.first] >= 0)
        if not inside.any():
            return
        units = np.unique(np.concatenate([self.conflicts.first[inside], self.conflicts.second[inside]]))
        fit = np.array([self.fit(int(unit))[label[unit]] for unit in units])
        for unit in units[np.argsort(fit, kind="stable")].tolist():
            if (label[self.conflicts.of(unit)] == label[unit]).any():
                self.move(unit, UNDECIDED)

    def merged(self, number: np.ndarray) -> "Clusters":
        """The clusters under new numbers [K]; those with one number are merged, those below 0 are dissolved."""
        label = np.full(len(self.label), UNDECIDED)
        known = self.label >= 0
        label[known] = number[self.label[known]]
        return self.relabelled(label)

    def relabelled(self, label: np.ndarray) -> "Clusters":
        """Other clusters of the same units; `label` [n] may leave out numbers."""
        label = label.copy()
        known = label >= 0
        label[known] = np.unique(label[known], return_inverse=True)[1]
        return Clusters(self.nodes, self.conflicts, label)

    def move(self, unit: int, target: int) -> None:
        """Takes the unit out of its cluster, if it is in one, and puts it into `target`."""
        own = self.label[unit]
        for cluster, sign in ((own, -1), (target, 1)):
            if cluster >= 0:
                self.sums[cluster] += sign * self.nodes.mass[unit] * self.nodes.means[unit]
                self.mass[cluster] += sign * self.nodes.mass[unit]
                self.size[cluster] += sign
        self.label[unit] = target

    def fit(self, unit: int, without: int | None = None) -> np.ndarray:
        """[K] mean similarity of the unit to each cluster without itself, and without a second unit; -inf: empty."""
        vector = self.nodes.means[unit].astype(np.float64)
        total, mass, size = self.sums @ vector, self.mass.copy(), self.size.copy()
        for other in {unit, without} - {None}:
            own = self.label[other]
            if own >= 0:
                total[own] -= self.nodes.mass[other] * (self.nodes.means[other] @ vector)
                mass[own] -= self.nodes.mass[other]
                size[own] -= 1
        fit = np.where(size > 0, total / np.maximum(mass, 1e-12), -np.inf)
        if self.nodes.pull is None:
            return fit
        label = self.label
        if without is not None:
            label = label.copy()
            label[without] = UNDECIDED
        return fit + self.nodes.pull.table(np.array([unit]), label, len(self))[0]

    def rivals(self, unit: int) -> np.ndarray:
        """The units in clusters that are other people than this one."""
        other = self.conflicts.of(unit)
        return other[self.label[other] >= 0]

    def allowed(self, unit: int, fit: np.ndarray) -> np.ndarray:
        """`fit` with -inf for clusters that the unit may not join."""
        fit = fit.copy()
        fit[self.label[self.rivals(unit)]] = -np.inf
        return fit


def refine(clusters: Clusters) -> None:
    """Moves a unit to a cluster that fits better, or swaps two that forbid each other; greedy mergers can't.

    Runs until nothing moves, `PASSES` times at most. A cluster's last unit stays, as the linkage decides which clusters
    there are.
    """
    if (clusters.size > 0).sum() < 2:
        return
    for _ in range(PASSES):
        moves = sum(_improve(clusters, int(unit)) for unit in _restless(clusters))
        if not moves:
            return


def _restless(clusters: Clusters) -> np.ndarray:
    """The units that another cluster fits better than their own, allowed or not."""
    candidates = np.flatnonzero(clusters.size > 0)
    candidates = candidates[np.argsort(-clusters.mass[candidates], kind="stable")[:CANDIDATES]]
    means = clusters.sums[candidates] / clusters.mass[candidates, None]
    column = np.full(len(clusters), -1)
    column[candidates] = np.arange(len(candidates))
    units = np.flatnonzero(clusters.label >= 0)
    found = [units[:0]]
    step = max(1, BLOCK // max(means.shape))
    for k in range(0, len(units), step):
        rows = units[k : k + step]
        own = clusters.label[rows]
        vectors, mass = clusters.nodes.means[rows].astype(np.float64), clusters.nodes.mass[rows]
        inside = np.einsum("nd,nd->n", vectors, clusters.sums[own] - mass[:, None] * vectors)
        with np.errstate(divide="ignore", invalid="ignore"):
            home = np.where(clusters.size[own] > 1, inside / (clusters.mass[own] - mass), np.inf)
        table = vectors @ means.T
        if clusters.nodes.pull:
            pull = clusters.nodes.pull.table(rows, clusters.label, len(clusters))
            table += pull[:, candidates]
            home += pull[np.arange(len(rows)), own]
        mine = np.flatnonzero(column[own] >= 0)
        table[mine, column[own[mine]]] = -np.inf
        found.append(rows[table.max(1) > home + BETTER / 2])
    return np.concatenate(found)


def _improve(clusters: Clusters, unit: int) -> bool:
    """Moves or swaps one unit, if that raises the similarity."""
    own = clusters.label[unit]
    if clusters.size[own] == 1:
        return False
    fit = clusters.fit(unit)
    rivals = clusters.rivals(unit)
    for target in np.argsort(-fit, kind="stable")[:3]:
        if target == own or fit[target] <= fit[own] + BETTER:
            return False
        there = rivals[clusters.label[rivals] == target]
        if not len(there):
            clusters.move(unit, target)
            return True
        if len(there) == 1 and _swap(clusters, unit, int(there[0]), fit):
            return True
    return False


def _swap(clusters: Clusters, unit: int, rival: int, fit: np.ndarray) -> bool:
    """Lets two units of two clusters change places, if that is allowed and raises the sum of their similarities."""
    own, target = clusters.label[unit], clusters.label[rival]
    others = clusters.rivals(rival)
    if (clusters.label[others[others != unit]] == own).any():
        return False
    before = fit[own] + clusters.fit(rival)[target]
    after = clusters.fit(unit, without=rival)[target] + clusters.fit(rival, without=unit)[own]
    if not after > before + BETTER:
        return False
    clusters.move(unit, target)
    clusters.move(rival, own)
    return True


def attach(clusters: Clusters, threshold: float, margin: float) -> None:
    """Gives units that are in no cluster to the one that they clearly fit, best first, and leaves the rest.

    Args:
        threshold: least mean similarity.
        margin: by which the best cluster that the unit may join must fit better than the next.
    """
    waiting = np.flatnonzero(clusters.label == UNDECIDED)
    if not len(clusters) or not len(waiting):
        return
    means = clusters.sums / np.maximum(clusters.mass, 1e-12)[:, None]
    step = max(1, BLOCK // max(means.shape))
    best = [(clusters.nodes.means[waiting[k : k + step]] @ means.T).max(1) for k in range(0, len(waiting), step)]
    # In order of best fit, once: to sort anew after each one would be slow with thousands of scraps.
    for unit in waiting[np.lexsort((waiting, -np.concatenate(best)))].tolist():
        fit = clusters.allowed(unit, clusters.fit(unit))
        target = int(fit.argmax())
        rest = np.delete(fit, target)
        if fit[target] >= threshold and fit[target] - rest.max(initial=-np.inf) >= margin:
            clusters.move(unit, target)


def parts_of(label: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each camera saw of each cluster: [n] the part that a unit is in, -1 for units in no cluster; [P] the cluster
    of each part, rising.

    Args:
        label: [n] cluster of each unit, below 0 for those in none. camera: [n] numbers from 0.
    """
    inside = np.flatnonzero(label >= 0)
    cameras = int(camera.max(initial=0)) + 1
    part = np.full(len(label), -1)
    keys, part[inside] = np.unique(label[inside] * cameras + camera[inside], return_inverse=True)
    return part, keys // cameras
