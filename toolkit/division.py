"""Units (events, or people) divided into parts of wanted sizes: `divide(units, [0.3, 0.7], seed=0)`.

A unit that has a part keeps it. The others are placed so that every part comes as near to its share of all people, and
of each stratum's (a sport, a dance), as whole units allow. Among equally good divisions the seed decides, by a sha256
of each unit's name: the same on every machine and with every version of every library.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MOST_TRIED = 16  # units without a part; up to here every division into two is looked at
MOST_SWAPPED = 64  # units; of more, single ones are moved, and no pairs change places
PASSES = 20
BETTER = 1e-9


@dataclass(frozen=True)
class Unit:
    """What goes to one part as a whole.

    Attributes:
        name: stands for it in the seeded order; the same whatever else there is.
        people: stratum -> how many people it holds.
        part: the part that it keeps; None: it is free.
    """

    name: str
    people: Mapping[str, int]
    part: int | None = None


def divide(units: Sequence[Unit], shares: Sequence[float], seed: int) -> list[int]:
    """The part of each unit: 0 to len(shares) - 1.

    No part stays without a unit where there are enough of them that are free.

    Args:
        shares: of the people that each part shall have; their sum is 1.
        seed: chooses among equally good divisions.

    >>> divide([Unit("a", {"": 3}), Unit("b", {"": 1}), Unit("c", {"": 1})], [0.4, 0.6], seed=0)
    [1, 0, 0]
    """
    order = sorted(range(len(units)), key=lambda i: _rank(seed, units[i].name))
    strata = sorted({stratum for unit in units for stratum in unit.people})
    sizes = np.array([[units[i].people.get(s, 0) for s in strata] for i in order], np.float64)
    sizes = np.concatenate([sizes.reshape(len(units), len(strata)).sum(1, keepdims=True), sizes], 1)
    wanted = np.outer(shares, sizes.sum(0))
    part = np.array([-1 if (kept := units[i].part) is None else kept for i in order], np.int64)
    if len(shares) == 2 and (part < 0).sum() <= MOST_TRIED:
        found = _best_of_all(sizes, wanted, part)
    else:
        found = _improved(sizes, wanted, _greedy(sizes, wanted, part), part < 0)
    out = [0] * len(units)
    for place, i in enumerate(order):
        out[i] = int(found[place])
    return out


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()


def _best_of_all(sizes: np.ndarray, wanted: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Into two parts: of all divisions the best; of equally good ones the first in the seeded order."""
    free = np.flatnonzero(part < 0)
    first = (np.arange(1 << len(free))[:, None] >> np.arange(len(free))) & 1  # [2^free, free]: is it in part 0
    cost = np.abs(first @ sizes[free] + sizes[part == 0].sum(0) - wanted[0]).sum(1).round(9)
    in_first = first.sum(1) + (part == 0).sum()
    if len(part) > 1:
        empty = (in_first == 0) | (in_first == len(part))
        cost[empty] = np.where(empty.all(), cost[empty], np.inf)
    out = part.copy()
    out[free] = 1 - first[int(cost.argmin())]
    return out


def _greedy(sizes: np.ndarray, wanted: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Unit after unit, the largest first, to where most is missing; then one to each part that has none."""
    out, have = part.copy(), np.zeros_like(wanted)
    np.add.at(have, part[part >= 0], sizes[part >= 0])
    free = np.flatnonzero(part < 0)
    for i in free[np.argsort(-sizes[free, 0], kind="stable")]:
        cost = np.abs(have + sizes[i] - wanted).sum(1) - np.abs(have - wanted).sum(1)
        out[i] = np.lexsort((have[:, 0] - wanted[:, 0], cost.round(9)))[0]
        have[out[i]] += sizes[i]
    for empty in np.flatnonzero(np.bincount(out, minlength=len(wanted)) == 0):
        count = np.bincount(out, minlength=len(wanted))
        spare = free[count[out[free]] > 1]
        if len(spare):
            out[spare[np.argmin(sizes[spare, 0])]] = empty
    return out


def _improved(sizes: np.ndarray, wanted: np.ndarray, part: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Free units moved, or two of them exchanged, as long as that brings the parts nearer to their shares."""
    part, have = part.copy(), np.zeros_like(wanted)
    np.add.at(have, part, sizes)
    rows = np.flatnonzero(free)
    for _ in range(PASSES):
        moved = False
        for i in rows:
            here = part[i]
            if (part == here).sum() == 1:
                continue
            off = np.abs(have - wanted).sum(1)
            there = np.abs(have + sizes[i] - wanted).sum(1) - off
            there += np.abs(have[here] - sizes[i] - wanted[here]).sum() - off[here]
            there[here] = 0.0
            if there.min() < -BETTER:
                part[i] = int(there.argmin())
                have[here] -= sizes[i]
                have[part[i]] += sizes[i]
                moved = True
        for i, j in itertools.combinations(rows, 2) if len(rows) <= MOST_SWAPPED else ():
            a, b, gain = part[i], part[j], sizes[j] - sizes[i]
            if a == b:
                continue
            before = np.abs(have[[a, b]] - wanted[[a, b]]).sum()
            after = np.abs(have[a] + gain - wanted[a]).sum() + np.abs(have[b] - gain - wanted[b]).sum()
            if after < before - BETTER:
                part[i], part[j] = b, a
                have[a] += gain
                have[b] -= gain
                moved = True
        if not moved:
            break
    return part
