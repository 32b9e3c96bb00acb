"""What speaks for and against a linking, read off the event itself.

    g = Grouping.of(seen, unit, nodes, conflicts, label)
    table, target = unit_evidence(g, crowd)             # name -> [n], a unit each
    one, other, table = pair_evidence(g)                # name -> [M], a pair of clusters each
    pure, whole = identity_evidence(g, wrong, target, (one, other, same), crowd)   # name -> [K], a cluster each

A similarity means nothing by itself: to an embedder of few numbers everybody looks alike. Each is therefore told as the
number of standard deviations by which it lies above the mean similarity of *different* people, who are known where two
are seen at the same time in one camera. What is left has no unit, and carries over to other embedders and footage.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.special import ndtri
from sklearn.neighbors import NearestNeighbors

from .calibration import pair_products
from .clusters import BLOCK, CANDIDATES, TOLERATED, Clusters, parts_of
from .constraints import Conflicts
from .linkage import Nodes
from .observations import Observations

LEAST_PART = 0.05  # of an identity's footage: smaller parts make it neither impure nor incomplete
FEWEST = 30  # pairs of different people that their spread is read off
ROUNDS = 5  # of dividing a cluster in two
PAIR = ("alike", "beyond chance", "lead", "never together", "disputed", "disputed more", "footage")
NEIGHBOURS = 64  # clusters that an identity is held against, the most similar ones
FAR = 8.0  # standard deviations; beyond, nothing is told apart


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of some similarities."""

    mean: float
    std: float

    def above(self, values: np.ndarray) -> np.ndarray:
        """By how many standard deviations the values lie above the mean; within ±FAR."""
        return np.clip((values - self.mean) / self.std, -FAR, FAR)


class Grouping:
    """The clusters of a linking, and their parts: what each camera saw of each cluster.

    Attributes:
        nodes, conflicts: the units, n of them.
        seconds: [n] of each unit's tracklets together.
        label: [n] cluster of each, from 0 without gaps; below 0 for those in none.
        cameras: number of cameras.
        sums: [K, D], mass: [K], size: [K] (units) of the clusters.
        part: [n] number of the unit's part, -1 for units in no cluster.
        part_cluster, part_mass, part_size: [P] of the parts. part_sums: [P, D].
    """

    def __init__(
        self, nodes: Nodes, conflicts: Conflicts, camera: np.ndarray, seconds: np.ndarray, label: np.ndarray
    ) -> None:
        """`camera` [n] of each unit."""
        self.nodes, self.conflicts, self.seconds, self.label = nodes, conflicts, seconds, label
        clusters = Clusters(nodes, conflicts, label)
        self.count, self.sums, self.mass, self.size = len(clusters), clusters.sums, clusters.mass, clusters.size
        number = np.unique(camera, return_inverse=True)[1]
        self.cameras = int(number.max(initial=-1)) + 1
        self.part, self.part_cluster = parts_of(label, number)
        parts = Clusters(nodes, conflicts, self.part)
        self.part_sums, self.part_mass, self.part_size = parts.sums, parts.mass, parts.size

    @classmethod
    def of(
        cls, seen: Observations, unit: np.ndarray, nodes: Nodes, conflicts: Conflicts, label: np.ndarray
    ) -> "Grouping":
        """A unit's camera is that of its first tracklet.

        Args:
            unit: [N] of each tracklet. nodes, conflicts: the units. label: [n].
        """
        camera = seen.camera[np.unique(unit, return_index=True)[1]]
        return cls(nodes, conflicts, camera, np.bincount(unit, seen.end - seen.start, len(label)), label)

    @cached_property
    def means(self) -> np.ndarray:
        """[K, D] of the clusters."""
        return self.sums / self.mass[:, None]

    def forbidden(self, owner: np.ndarray, count: int, size: np.ndarray) -> coo_array:
        """[count, K] of 1 where what owns the units may not join the cluster; `owner` [n] below 0 owns none.

        Args:
            size: [count] units that each owns.
        """
        one = np.concatenate([self.conflicts.first, self.conflicts.second])
        other = np.concatenate([self.conflicts.second, self.conflicts.first])
        row, column = owner[one], self.label[other]
        known = (row >= 0) & (column >= 0)
        key, times = np.unique(row[known] * max(self.count, 1) + column[known], return_counts=True)
        row, column = np.divmod(key, max(self.count, 1))
        many = times > TOLERATED * np.minimum(size[row], self.size[column])
        return coo_array((np.ones(many.sum()), (row[many], column[many])), shape=(count, self.count))

    @cached_property
    def directions(self) -> np.ndarray:
        """[K, D] the clusters' means at length 1: noise makes a mean shorter, and tells nothing of who it is."""
        return self.means / np.maximum(np.linalg.norm(self.means, axis=1, keepdims=True), 1e-12)

    @cached_property
    def apart(self) -> coo_array:
        """[K, K] of 1 where two clusters are two people for certain."""
        return self.forbidden(self.label, self.count, self.size)

    @cached_property
    def disputed(self) -> csr_array:
        """[K, K] footage of the first cluster's units that are other people than one of the second's."""
        unit = np.concatenate([self.conflicts.first, self.conflicts.second])
        rival = self.label[np.concatenate([self.conflicts.second, self.conflicts.first])]
        known = (self.label[unit] >= 0) & (rival >= 0)
        unit, rival = np.divmod(np.unique(unit[known] * self.count + rival[known]), max(self.count, 1))
        return csr_array((self.nodes.mass[unit], (self.label[unit], rival)), shape=(self.count, self.count))

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """[K, k] cosine and number of the clusters most like each, falling, itself among them."""
        search = NearestNeighbors(n_neighbors=min(self.count, NEIGHBOURS), metric="cosine", algorithm="brute")
        distance, which = search.fit(self.directions).kneighbors(self.directions)
        return 1 - distance, which

    @cached_property
    def parts(self) -> "Compared":
        """How well the parts fit."""
        means = self.part_sums / np.maximum(self.part_mass, 1e-12)[:, None]
        barred = self.forbidden(self.part, len(self.part_mass), self.part_size)
        return compare(self, means, self.part_mass, self.part_cluster, barred)

    @cached_property
    def people(self) -> Spread:
        """The cosine of the means of two clusters that are different people."""
        one, other = self.apart.row, self.apart.col
        alike = pair_products(self.directions, one, other)
        if len(one) < FEWEST:
            cosine, which = self.neighbours
            own = np.arange(self.count)[:, None]
            keep = which != own
            one, other = np.broadcast_to(own, which.shape)[keep], which[keep]
            alike = cosine[keep]
        if not len(one):
            return Spread(0.0, 0.3)
        # From the lower half alone: among the upper are those who are one person, kept apart by a mistake.
        low, middle = np.quantile(alike, [0.16, 0.5])
        return Spread(float(middle), float(max(middle - low, 1e-3)))


@dataclass(frozen=True)
class Compared:
    """How well some things fit their own cluster without them, and the others. All [m].

    Attributes:
        own: similarity to the rest of the own cluster; NaN where nothing is left of it.
        other: the highest similarity to another cluster that it may join; -inf where there is none.
        target: that cluster, -1 for none. rivals: number of other clusters that it may join.
        different: similarities to clusters that are other people for certain, as a spread.
    """

    own: np.ndarray
    other: np.ndarray
    target: np.ndarray
    rivals: np.ndarray
    different: Spread


def compare(g: Grouping, means: np.ndarray, mass: np.ndarray, cluster: np.ndarray, forbidden: coo_array) -> Compared:
    """Compares things (units, or parts of clusters) with the clusters.

    Args:
        means: [m, D]. mass: [m]. cluster: [m] that each is in, below 0 for none.
        forbidden: [m, K], see `Grouping.forbidden`.
    """
    rows, columns = forbidden.tocsr(), np.sort(np.argsort(-g.mass, kind="stable")[:CANDIDATES])
    place = np.full(g.count, -1)
    place[columns] = np.arange(len(columns))
    inside = cluster >= 0
    safe = np.where(inside, cluster, 0)
    own = np.full(len(means), np.nan)
    left = g.mass[safe] - mass
    alone = ~inside | (left < 1e-9 * g.mass[safe])
    other, target = np.full(len(means), -np.inf), np.full(len(means), -1)
    rivals = np.zeros(len(means), np.int64)
    total = np.zeros(3)  # of weight, weight * similarity, weight * similarity²
    every = np.zeros(3)
    step = max(1, BLOCK // max(len(columns), g.means.shape[1], 1))
    for k in range(0, len(means), step):
        part = slice(k, k + step)
        vectors = means[part].astype(np.float64)
        table = vectors @ g.means[columns].T
        mine = np.flatnonzero(~alone[part])
        at = safe[part][mine]
        rest = g.sums[at] - mass[part][mine, None] * vectors[mine]
        own[k + mine] = np.einsum("md,md->m", vectors[mine], rest) / left[part][mine]
        here = np.flatnonzero(inside[part] & (place[safe[part]] >= 0))
        table[here, place[safe[part][here]]] = np.nan
        barred = rows[part].tocoo()
        seen = place[barred.col] >= 0
        i, j = barred.row[seen], place[barred.col[seen]]
        values, weight = table[i, j], mass[part][i]
        fine = np.isfinite(values)
        total += _moments(values[fine], weight[fine])
        if k == 0:
            flat = table[np.isfinite(table)]
            every += _moments(flat, np.ones(len(flat)))
        table[i, j] = np.nan
        table = np.where(np.isnan(table), -np.inf, table)
        rivals[part] = np.isfinite(table).sum(1)
        if table.shape[1]:
            best = table.argmax(1)
            other[part] = table[np.arange(len(table)), best]
            target[part] = np.where(np.isfinite(other[part]), columns[best], -1)
    if forbidden.nnz < FEWEST or total[0] <= 0:
        total = every
    mean = total[1] / total[0] if total[0] else 0.0
    std = np.sqrt(max(total[2] / total[0] - mean**2, 1e-6)) if total[0] else 0.1
    return Compared(own, other, target, rivals, Spread(float(mean), float(std)))


def _moments(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.array([weight.sum(), weight @ values, weight @ values**2])


def unit_evidence(g: Grouping, crowd: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """name -> [n], for each unit in a cluster (others hold values without meaning), and [n] the next best cluster.

    Args:
        crowd: the most people seen at once in a camera.
    """
    units = g.forbidden(np.arange(len(g.label)), len(g.label), np.ones(len(g.label)))
    one = compare(g, g.nodes.means, g.nodes.mass, g.label, units)
    part = np.maximum(g.part, 0)
    safe = np.maximum(g.label, 0)
    table = _fit(one, "unit") | {f"part {k}": v[part] for k, v in _fit(g.parts, "").items()} if g.count else {}
    share = np.clip(g.nodes.mass / g.mass[safe], 1e-4, 1 - 1e-4)
    part_share = np.clip(g.part_mass[part] / g.mass[safe], 1e-4, 1 - 1e-4)
    same = one.own[np.isfinite(one.own)]
    level = np.median(same) if len(same) else one.different.mean
    table |= {
        "unit share": np.log(share / (1 - share)),
        "unit most": (share > 0.5).astype(float),
        "part share": np.log(part_share / (1 - part_share)),
        "part most": (part_share > 0.5).astype(float),
        "length": np.log(np.clip(g.seconds, 0.1, 10.0)),
        "gap": np.full(len(g.label), one.different.above(np.array([level]))[0]),
        "split": np.log(max(g.count, 1) / max(crowd, 1)) * np.ones(len(g.label)),
    }
    return table, one.target


def _fit(c: Compared, name: str) -> dict[str, np.ndarray]:
    alone = np.isnan(c.own)
    own = np.where(alone, 0.0, c.different.above(np.where(alone, 0, c.own)))
    other = c.different.above(np.where(np.isfinite(c.other), c.other, -1e3))
    # What the best of so many strangers reaches by chance.
    chance = ndtri(1 - 1 / (1.0 + np.maximum(c.rivals, 1)))
    return {
        f"{name} alone".strip(): alone.astype(float),
        f"{name} own".strip(): own,
        f"{name} beyond chance".strip(): np.where(alone, 0.0, own - chance),
        f"{name} margin".strip(): np.where(alone, 0.0, own - np.maximum(other, -2.0)),
        f"{name} other".strip(): np.maximum(other, -2.0) - chance,
    }


def identity_evidence(
    g: Grouping, wrong: np.ndarray, target: np.ndarray, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], crowd: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """name -> [K]: what says that a cluster is one person (pure), and that it is all of that person (whole).

    Args:
        wrong: [n] probability that the unit is in the wrong cluster; of units in none, that it belongs to `target`.
        target: [n] next best cluster of each unit, -1 for none.
        crowd: the most people seen at once in a camera.
    """
    inside = g.label >= 0
    # In seconds, as crops are cut at a rate: of what is in the cluster, in others, and in none.
    footage = np.bincount(g.label[inside], g.seconds[inside], g.count)
    lost = np.bincount(g.label[inside], (wrong * g.seconds)[inside], g.count) / footage
    beside, outside = (target >= 0) & inside, (target >= 0) & ~inside
    elsewhere = np.bincount(target[beside], (wrong * g.seconds)[beside], g.count) / footage
    left = np.bincount(target[outside], (wrong * g.seconds)[outside], g.count) / footage
    parts = g.parts
    share = g.part_mass / g.mass[g.part_cluster]
    counts = (share >= LEAST_PART) & np.isfinite(parts.own)
    own, other = parts.different.above(np.nan_to_num(parts.own)), parts.different.above(np.maximum(parts.other, -1e3))
    several = np.bincount(g.part_cluster[counts], minlength=g.count) > 1

    def least(values: np.ndarray) -> np.ndarray:
        found = np.full(g.count, FAR)
        np.minimum.at(found, g.part_cluster[counts], values[counts])
        return np.where(several, found, 0.0)

    cross, cosine, within, minor = halves(g)
    divided = np.isfinite(cross)
    across = np.where(divided, g.people.above(np.where(divided, cosine, 0)), 0.0)
    typical = np.median(np.sort(footage)[-max(crowd, 1) :])
    scattered = g.seconds[~inside].sum() / (typical * max(crowd, 1))
    cameras = np.bincount(g.part_cluster[share >= LEAST_PART], minlength=g.count)
    mean_gap = np.median(own[counts]) if counts.any() else 0.0
    common = {
        "gap": np.full(g.count, mean_gap),
        "split": np.full(g.count, np.log(max(g.count, 1) / max(crowd, 1))),
        "footage": np.log(np.clip(footage / typical, 1e-3, 10)),
        "units": np.log(g.size),
    }
    pure = common | {
        "wrong": np.log(lost + 1e-3),
        "one part": (~several).astype(float),
        "weakest part": least(own),
        "weakest margin": least(own - np.maximum(other, -2.0)),
        "halves alone": (~divided).astype(float),
        "halves alike": across,
        "halves apart": np.where(divided, np.clip((within - cross) / parts.different.std, -FAR, FAR), 0.0),
        "smaller half": np.log(np.maximum(minor, 1e-2)),
        "cameras": np.log(np.maximum(cameras, 1)),
    }
    one, other, same = pairs
    likeliest = np.zeros(g.count)
    np.maximum.at(likeliest, one, same)
    astray = np.bincount(one, same * np.minimum(g.mass[other] / g.mass[one], 1.0), g.count)
    whole = common | {
        "likeliest": np.log(likeliest + 1e-3) - np.log(1 - likeliest + 1e-3),
        "astray": np.log(astray + 1e-2),
        "elsewhere": np.log(elsewhere + 1e-3),
        "left out": np.log(left + 1e-2),
        "scattered": np.full(g.count, np.log(scattered + 1e-2)),
        "wrong": np.log(lost + 1e-3),
        "unseen by": np.log(g.cameras + 0.0) - np.log(np.maximum(cameras, 1)),
    }
    return pure, whole


def pair_evidence(g: Grouping) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Pairs of clusters that may be one person after all: [M] and [M] their numbers, and name -> [M].

    Each cluster is held against those most like it. Being seen together speaks against, but doesn't forbid: one
    tracklet that went over to another person keeps two halves of a person apart.
    """
    if g.count < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), dict.fromkeys(PAIR, np.zeros(0))
    cosine, which = g.neighbours
    one = np.repeat(np.arange(g.count), which.shape[1])
    alike, other = g.people.above(cosine.ravel()), which.ravel()
    keep = (one != other) & (g.mass[other] >= LEAST_PART * g.mass[one])
    one, other, alike = one[keep], other[keep], alike[keep]
    disputed = g.disputed
    shares = np.stack([disputed[one, other] / g.mass[one], disputed[other, one] / g.mass[other]])
    smaller = np.minimum(g.mass[one], g.mass[other])
    least = np.minimum(shares[0] * g.mass[one], shares[1] * g.mass[other]) / smaller
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    following = np.full(len(one), -2.0)
    more = np.flatnonzero((rank == 0) & (np.append(one[1:], -1) == one))
    following[more] = alike[more + 1]
    first = alike[np.searchsorted(one, one)]
    return (
        one,
        other,
        {
            "alike": alike,
            "beyond chance": alike - ndtri(1 - 1 / (1.0 + g.count)),
            "lead": alike - np.where(rank == 0, following, first),
            "never together": (least == 0).astype(float),
            "disputed": np.log(least + 0.02),
            "disputed more": np.log(shares.max(0) + 0.02),
            "footage": np.log(np.clip(g.mass[other] / g.mass[one], LEAST_PART, 1 / LEAST_PART)),
        },
    )


def halves(g: Grouping) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each cluster divided in the two parts that are least alike (2-means from its principal axis).

    Returns:
        [K] mean similarity of a unit of one half and one of the other, NaN for a cluster of one unit; [K] cosine of the
        halves' means; [K] the lower mean similarity of two units of one half; [K] share of the smaller half's footage.
    """
    cross, cosine, within = (np.full(g.count, np.nan) for _ in range(3))
    minor = np.zeros(g.count)
    order = np.argsort(g.label, kind="stable")
    borders = np.searchsorted(g.label[order], np.arange(g.count + 1))
    for k in range(g.count):
        rows = order[borders[k] : borders[k + 1]]
        if len(rows) < 2:
            continue
        vectors, mass = g.nodes.means[rows].astype(np.float64), g.nodes.mass[rows].astype(np.float64)
        side = divide(vectors, mass)
        sums = np.stack([mass[side] @ vectors[side], mass[~side] @ vectors[~side]])
        sizes = np.array([mass[side].sum(), mass[~side].sum()])
        product = sums[0] @ sums[1]
        cross[k] = product / (sizes[0] * sizes[1])
        cosine[k] = product / max(np.prod(np.linalg.norm(sums, axis=1)), 1e-12)
        squares = mass**2 * np.einsum("nd,nd->n", vectors, vectors)
        inner = [
            (sums[h] @ sums[h] - squares[s].sum()) / max(sizes[h] ** 2 - (mass[s] ** 2).sum(), 1e-12)
            for h, s in enumerate((side, ~side))
            if s.sum() > 1
        ]
        within[k] = min(inner) if inner else cross[k]
        minor[k] = sizes.min() / sizes.sum()
    return cross, cosine, within, minor


def divide(vectors: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """[n] bool, neither all nor none."""
    centred = vectors - mass @ vectors / mass.sum()
    axis = centred[np.einsum("nd,nd->n", centred, centred).argmax()]
    for _ in range(ROUNDS):  # power iteration towards the axis of the greatest spread
        axis = (mass * (centred @ axis)) @ centred
        axis /= max(np.linalg.norm(axis), 1e-12)
    along = centred @ axis
    side = along > 0
    if side.all() or not side.any():  # all are alike: the first stands alone
        side = np.arange(len(mass)) == 0
    for _ in range(ROUNDS):
        middles = [np.average(vectors[s], axis=0, weights=mass[s]) for s in (side, ~side)]
        found = ((vectors - middles[0]) ** 2).sum(1) < ((vectors - middles[1]) ** 2).sum(1)
        if found.all() or not found.any() or (found == side).all():
            break
        side = found
    return side
