"""How similar different people look in this event, and one person: `calibrate(features, seen, unit, conflicts)`."""

from dataclasses import dataclass

import numpy as np

from .constraints import seen_together
from .observations import Observations

# The threshold as a share of the way from the mean similarity of different people (0) to that of one person (1). It
# lies below the middle because linkage compares the mean similarity of two clusters: over many pairs the chance
# likeness of two different people averages out, while the likeness of one person to himself remains.
NEARER_DIFFERENT = 0.4
SAMPLE = 3_000  # tracklets that are compared with each other, of an event that has more
MOST_PAIRS = 1_000_000  # of different people
STEP = 100_000  # pairs whose embeddings are held at once


@dataclass(frozen=True)
class Calibration:
    """Similarities of an event's different people and of one person across cameras, and the threshold between."""

    different_mean: float
    different_std: float
    same_mean: float
    same_std: float
    threshold: float
    pairs_different: int
    pairs_same: int


def calibrate(features: np.ndarray, seen: Observations, overlap: float, crowd: int) -> Calibration:
    """How similar different people and one person look in this event, and the threshold between the two.

    "Different" comes from tracklets that are two people for certain. Of the pairs that may be one person about one in K
    is, for K people who are about equally often seen; `crowd`, the most people seen at once in a camera, stands for K,
    and the best 1/K of the pairs for "same", must-link pairs with them. Of many tracklets a sample is looked at, which
    is spread evenly over the event.

    Args:
        features: [N, D] of `camera_centred`.
        overlap: seconds, see `constraints.seen_together`.
    """
    rows = _spread(len(features), SAMPLE)
    some = seen.rows(rows)
    vectors = np.asarray(features[rows], np.float64)
    similarity = vectors @ vectors.T
    two_ids = (some.annotated[:, None] == some.annotated[None]) & (some.annotated[:, None] >= 0)
    forbidden = two_ids & (some.must[:, None] != some.must[None])
    forbidden[seen_together(some, overlap)] = True
    forbidden |= forbidden.T
    known = (some.must[:, None] == some.must[None]) & (some.must[:, None] >= 0)
    upper = np.triu_indices(len(rows), 1)
    different, known, every = forbidden[upper], known[upper], similarity[upper]
    rest = np.sort(every[~different & ~known])
    same = np.concatenate([rest[len(rest) - -(-len(rest) // crowd) :], every[known]])
    apart = every[different]
    if len(rows) < len(features):  # a sample has few pairs that stand beside each other; the whole has enough
        first, second = seen_together(seen, overlap)
        pairs = _spread(len(first), MOST_PAIRS)
        apart = pair_products(features, first[pairs], second[pairs]) if len(pairs) else apart
    if len(same) == 0:
        same = np.ones(1)
    if len(apart) == 0:
        return _without_different(every if len(every) else np.ones(1), same)
    d_mean, s_mean = float(apart.mean()), float(np.median(same))
    threshold = d_mean + NEARER_DIFFERENT * (s_mean - d_mean) if s_mean > d_mean else s_mean
    return Calibration(d_mean, float(apart.std()), s_mean, float(same.std()), threshold, len(apart), len(same))


def _without_different(every: np.ndarray, same: np.ndarray) -> Calibration:
    """Nobody is ever seen beside anybody: the widest gap in the similarities has to do, or all are one person."""
    values = np.sort(every)
    gaps = np.diff(values)
    at = int(gaps.argmax()) if len(gaps) else 0
    threshold = (values[at] + values[at + 1]) / 2 if len(gaps) and gaps[at] > 0.2 else min(values[0], 0.0) - 1e-6
    s_mean, s_std = float(np.median(same)), float(same.std())
    return Calibration(float(values[0]), 0.0, s_mean, s_std, float(threshold), 0, len(same))


def pair_products(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[M] products of the rows `first` and `second` of features [N, D]."""
    found = np.empty(len(first))
    for k in range(0, len(first), STEP):
        rows = slice(k, k + STEP)
        found[rows] = np.einsum("nd,nd->n", features[first[rows]], features[second[rows]], dtype=np.float64)
    return found


def _spread(count: int, most: int) -> np.ndarray:
    """Up to `most` of the numbers 0 to count - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
