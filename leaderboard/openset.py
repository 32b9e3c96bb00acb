"""Is this anybody we know? How many pairs of one person are found at a bounded rate of wrong ones.

    found = open_set(source, matches, removed)
    found.points[1].fpr, found.points[1].tpr, found.points[1].threshold       # 0.001, 61.2 (percent), 0.2312

Over all pairs of a query and a gallery entry that the protocol ranks, those of queries without a match among them: a
pair of one person is positive, any other negative, a distractor's too. At a threshold every pair at that distance or
nearer counts as the same person. Distances are counted by their bits, the upper sixteen in one pass over the blocks,
the lower sixteen of the few ranges that matter in another, so figures are exact and pairs needn't be held at once. Up
to `HELD` of them are, for the second pass; beyond, their distances are taken again. They are exact float64 products,
taken on the processor whatever the device.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .counting import BLOCK_COLUMNS, BLOCK_QUERIES, Ragged, Source

FALSE_POSITIVE_RATES = (1e-2, 1e-3, 1e-4)
NEGATIVES_A_RATE = 10  # false positives that a rate must stand for
HELD = 1 << 27  # pairs whose distances are kept from the first pass to the second: 512 MiB
_HALF = 1 << 16


@dataclass(frozen=True)
class OperatingPoint:
    """What one bound on the false-positive rate gives.

    Attributes:
        fpr: the bound, a share of the negative pairs.
        tpr: percent of the positive pairs at the threshold or nearer; None where it can't be told.
        threshold: the largest distance of a ranked pair at which no larger share of the negatives is accepted; None
            where there is none.
        reason: a sentence where something is None; otherwise "".
    """

    fpr: float
    tpr: float | None
    threshold: float | None
    reason: str = ""


@dataclass(frozen=True)
class OpenSet:
    """The numbers of positive and negative pairs, and a point for each of `FALSE_POSITIVE_RATES`."""

    positives: int
    negatives: int
    points: tuple[OperatingPoint, ...]


def open_set(
    source: Source,
    matches: Ragged,
    removed: Ragged,
    *,
    block_queries: int = BLOCK_QUERIES,
    block_columns: int = BLOCK_COLUMNS,
) -> OpenSet:
    """The operating points of the pairs of `source`.

    Args:
        matches: columns of each query's true matches.
        removed: columns that don't take part for that query.
        block_queries, block_columns: the distances held at once. The figures don't depend on them.
    """
    few = math.prod(source.shape) <= HELD
    kept: list[tuple[np.ndarray, tuple, tuple]] = []
    coarse, positives = np.zeros(_HALF, np.int64), []
    for block in _keys(source, matches, removed, block_queries, block_columns):
        kept += [block] if few else []
        keys, matched, left_out = block
        upper = keys >> 16
        coarse += np.bincount(upper.ravel(), minlength=_HALF)
        coarse -= np.bincount(upper[left_out], minlength=_HALF) + np.bincount(upper[matched], minlength=_HALF)
        positives.append(keys[matched])
    same = np.sort(np.concatenate(positives)) if positives else np.empty(0, np.uint32)
    negatives = int(coarse.sum())
    allowed = {
        rate: negatives // round(1 / rate)
        for rate in FALSE_POSITIVE_RATES
        if negatives >= round(NEGATIVES_A_RATE / rate)
    }
    ranges = _ranges(coarse, allowed.values()) if len(same) else []
    fine = np.zeros(len(ranges) * _HALF, np.int64)
    if ranges:
        place = np.full(_HALF, -1)
        place[ranges] = np.arange(len(ranges))
        for keys, matched, left_out in kept or _keys(source, matches, removed, block_queries, block_columns):
            for part, sign in ((keys.ravel(), 1), (keys[left_out], -1), (keys[matched], -1)):
                at = place[part >> 16]
                inside = at >= 0
                fine += sign * np.bincount(at[inside] * _HALF + (part[inside] & (_HALF - 1)), minlength=len(fine))
    points = tuple(
        _point(rate, allowed[rate], coarse, fine, ranges, same, source)
        if rate in allowed and ranges
        else OperatingPoint(rate, None, None, _too_few(rate, negatives, len(same)))
        for rate in FALSE_POSITIVE_RATES
    )
    return OpenSet(len(same), negatives, points)


def _too_few(rate: float, negatives: int, positives: int) -> str:
    if not positives:
        return "No ranked pair shows one person."
    return f"{negatives:,} pairs of different people are too few; {round(NEGATIVES_A_RATE / rate):,} are needed."


def _ranges(coarse: np.ndarray, allowed: Iterable[int]) -> list[int]:
    """The upper halves in which a first refused negative lies, and the ones before them that hold negatives."""
    counted, found = coarse.cumsum(), set()
    for count in allowed:
        here = int(counted.searchsorted(count, "right"))
        before = np.flatnonzero(coarse[:here])
        found |= {here, *before[-1:].tolist()}
    return sorted(found)


def _point(rate, allowed, coarse, fine, ranges, same, source) -> OperatingPoint:
    """`allowed` negatives may be accepted, so every pair must be nearer than the negative after them."""
    here = int(coarse.cumsum().searchsorted(allowed, "right"))
    at = ranges.index(here)
    lower = fine[at * _HALF : (at + 1) * _HALF]
    rest = allowed - int(coarse[:here].sum())
    refused = (here << 16) + int(lower.cumsum().searchsorted(rest, "right"))
    # the nearest below it: of the positives, and of the negatives in its range or the one before that holds some
    found = same[: same.searchsorted(refused)]
    nearer = np.flatnonzero(fine[: at * _HALF + (refused & (_HALF - 1))])
    candidates = [int(found[-1])] if len(found) else []
    if len(nearer):
        candidates.append((ranges[nearer[-1] // _HALF] << 16) + int(nearer[-1] % _HALF))
    if not candidates:
        reason = f"More than {allowed:,} pairs of different people lie at the smallest distance of all."
        return OperatingPoint(rate, 0.0, None, reason)
    return OperatingPoint(rate, 100 * len(found) / len(same), source.plain(_distance(max(candidates))))


def _keys(
    source: Source, matches: Ragged, removed: Ragged, block_queries: int, block_columns: int
) -> Iterator[tuple[np.ndarray, tuple, tuple]]:
    """Of each block the distances as integers of the same order, and where its matches and its removed pairs are."""
    queries, width = source.shape
    for q0 in range(0, queries, block_queries):
        q1 = min(q0 + block_queries, queries)
        for g0 in range(0, width, block_columns):
            g1 = min(g0 + block_columns, width)
            yield _key(source.block(q0, q1, g0, g1)), matches.inside(q0, q1, g0, g1), removed.inside(q0, q1, g0, g1)


def _key(distances: np.ndarray) -> np.ndarray:
    """uint32 of the same order as float32 distances, -0 beside 0 made equal to it.

    >>> _key(np.array([-1.0, -0.0, 0.0, 2.0], np.float32)).tolist()
    [1082130431, 2147483648, 2147483648, 3221225472]
    """
    bits = (np.asarray(distances, np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _distance(key: int) -> float:
    """The distance of a key."""
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))
