"""Tracklets of two cameras that looks alone say are one person: `confident(feet, one, other, features)`."""

from dataclasses import dataclass

import numpy as np

from ..linking.calibration import pair_products
from .feet import STEP, Feet

LEAST_SECONDS = 1.0  # that two tracklets are seen at once
NOBODY = 0.0  # similarity of a rival who is not there; that of a person to the mean of all


@dataclass(frozen=True)
class Matches:
    """Pairs of tracklets, in the order of their numbers.

    Attributes:
        first, second: [P] tracklets of the two cameras.
        margin: [P] by how much the two are more alike than each is to anybody else who is seen at the time.
    """

    first: np.ndarray
    second: np.ndarray
    margin: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, which: np.ndarray) -> "Matches":
        return Matches(self.first[which], self.second[which], self.margin[which])


def confident(feet: Feet, one: np.ndarray, other: np.ndarray, features: np.ndarray) -> Matches:
    """The pairs that are each other's best match, in the mean over the time that both are seen.

    Args:
        one, other: [M] rows of `feet` of two cameras at one time, every pair of them (`feet.beside`).
        features: [N, D] of `observations.camera_centred`.
    """
    similarity = pair_products(features, feet.tracklet[one], feet.tracklet[other])
    rival = np.maximum(_best_other(one, similarity), _best_other(other, similarity))
    first, second, row = tracklet_pairs(feet, one, other)
    count = np.bincount(row, minlength=len(first))
    margin = np.bincount(row, similarity - np.maximum(rival, NOBODY), len(first)) / np.maximum(count, 1)
    kept = (margin > 0) & (count * STEP >= LEAST_SECONDS)
    return Matches(first[kept], second[kept], margin[kept])


def tracklet_pairs(feet: Feet, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of tracklets ([P], [P]) that the pairs of rows belong to, and which of them each belongs to ([M])."""
    key = feet.tracklet[one].astype(np.int64) * feet.count + feet.tracklet[other]
    pairs, row = np.unique(key, return_inverse=True)
    return pairs // feet.count, pairs % feet.count, row


def _best_other(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """[M] the largest value of each entry's group without the entry itself; -inf: it is alone."""
    order = np.lexsort((-value, group))
    mine, sorted_value = group[order], value[order]
    begins = np.r_[True, mine[1:] != mine[:-1]] if len(mine) else np.zeros(0, bool)
    number = np.cumsum(begins) - 1
    start = np.flatnonzero(begins)
    size = np.diff(np.r_[start, len(mine)])
    best = sorted_value[start]
    second = np.where(size > 1, sorted_value[np.minimum(start + 1, len(mine) - 1)], -np.inf)
    found = np.empty(len(value))
    found[order] = np.where(begins, second[number], best[number])
    return found
