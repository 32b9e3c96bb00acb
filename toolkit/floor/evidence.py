"""What the floor says of two tracklets of two cameras that are seen at once: the logarithm of the likelihood ratio.

    model = fit_distances(feet, frame)
    evidence = weigh(feet, frame, model)        # pairs of tracklets, and how much likelier they are one person than two

How far apart the feet of one person lie is learnt from the event's confident matches, how far those of two people from
tracklets seen at once in one camera. Both are densities on the floor, so that feet whose place is uncertain say little.
A person's errors last: moments that follow each other count as one every `LASTING` seconds.
"""

from dataclasses import dataclass

import numpy as np

from ..linking import Evidence
from .feet import STEP, Feet, beside
from .frame import Frame, places, spread_on_floor
from .matches import tracklet_pairs
from .pairs import moments_of

LASTING = 1.0  # seconds
LEAST_SECONDS = 1.0  # that two tracklets are seen at once; people born in a crossing stand too close to be told
# Log-odds that one pair may bring: a tracklet can show two people, however long it lasts.
MOST = 8.0
SAYS_NOTHING = 0.25  # log-odds below which a pair is left out
OUTLIERS = np.array([0.05, 0.07, 0.1, 0.15, 0.2, 0.3])
BETWEEN = np.geomspace(0.08, 1.0, 20)  # metres
UNKNOWN = (0.3, 0.1)  # metres, and share of outliers
FREEDOM = 4.0  # degrees of Student's distribution: feet err by far more often than by a normal one


@dataclass(frozen=True)
class Distances:
    """How far apart feet lie on the floor.

    Attributes:
        same: metres, scale of one person's beside what boxes are uncertain by.
        outliers: share of one person's that lie anywhere.
        different: metres, standard deviation in each direction of two people's.
        pairs_same, pairs_different: moments that they were learnt from.
    """

    same: float
    outliers: float
    different: float
    pairs_same: int
    pairs_different: int


def fit_distances(feet: Feet, frame: Frame) -> Distances | None:
    """The two distributions of an event; None where nobody is ever seen beside anybody.

    On a given floor of cameras without confident matches one person's feet are taken to lie `UNKNOWN` apart.
    """
    on_floor = places(feet, frame.on_floor)
    apart = []
    for camera in frame.on_floor:
        one, other = beside(feet, camera, camera)
        rows = feet.tracklet[one] < feet.tracklet[other]
        apart.append(np.linalg.norm(on_floor[one[rows]] - on_floor[other[rows]], axis=1))
    different = np.concatenate(apart)
    different = different[np.isfinite(different)]
    steps, covariances = [np.zeros((0, 2))], [np.zeros((0, 2, 2))]
    for pair in frame.used:
        if pair.a in frame.on_floor and pair.b in frame.on_floor:
            kept = pair.matches.rows(np.flatnonzero(pair.agrees))
            moments = moments_of(feet, kept, *beside(feet, pair.a, pair.b))
            steps.append(on_floor[moments.one] - on_floor[moments.other])
            covariances.append(_covariance(feet, frame, moments.one, moments.other))
    step, covariance = np.concatenate(steps), np.concatenate(covariances)
    if not len(different):
        return None
    spread = float(np.sqrt((different**2).mean() / 2))  # of the normal distribution with this mean square
    best, found = -np.inf, UNKNOWN
    for same in BETWEEN if len(step) else ():
        core, anywhere = _densities(step, covariance, same, spread)
        for outliers in OUTLIERS:
            likelihood = float(np.log((1 - outliers) * core + outliers * anywhere).sum())
            if likelihood > best:
                best, found = likelihood, (float(same), float(outliers))
    return Distances(*found, spread, len(step), len(different))


def weigh(feet: Feet, frame: Frame, model: Distances) -> Evidence:
    """The evidence of every pair of tracklets of two cameras that are seen at once for `LEAST_SECONDS`."""
    on_floor = places(feet, frame.on_floor)
    cameras = sorted(frame.on_floor)
    found = []
    for k, a in enumerate(cameras):
        for b in cameras[k + 1 :]:
            one, other = beside(feet, a, b)
            value = moment_odds(on_floor[one] - on_floor[other], _covariance(feet, frame, one, other), model)
            value = among_rivals(value, one, other)
            first, second, row = tracklet_pairs(feet, one, other)
            count = np.bincount(row, minlength=len(first))
            total = np.bincount(row, value, len(first)) * STEP / LASTING
            total = np.clip(total, -MOST, MOST)
            says = (count * STEP >= LEAST_SECONDS) & (np.abs(total) >= SAYS_NOTHING)
            low, high = np.minimum(first, second), np.maximum(first, second)
            found.append((low[says], high[says], total[says]))
    first, second, odds = (
        (np.concatenate(part) for part in zip(*found, (np.zeros(0, np.int64),) * 2 + (np.zeros(0),), strict=True))
        if found
        else (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    )
    order = np.lexsort((second, first))
    return Evidence(first[order], second[order], odds[order])


def moment_odds(step: np.ndarray, covariance: np.ndarray, model: Distances) -> np.ndarray:
    """[M] log-odds of feet that lie `step` [M, 2] metres apart, 0 where that is no number."""
    core, anywhere = _densities(step, covariance, model.same, model.different)
    odds = np.log((1 - model.outliers) * core / anywhere + model.outliers)
    return np.where(np.isfinite(odds), odds, 0.0)


def among_rivals(odds: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[M] log-odds less where somebody else stands as near: of all at one place only one is the person.

    Bayes' rule with everybody whom the other camera sees at the moment, each as likely beforehand, and one who is
    unseen; for both cameras, of which the lesser counts. What speaks against stays as it is.

    Args:
        odds: [M] of each pair of feet. one, other: [M] rows of the two cameras, every pair at one time.
    """
    found = odds
    ratio = np.exp(odds)
    for side in (one, other):
        rivals = np.bincount(side, ratio)[side] - ratio
        number = np.bincount(side)[side] - 1
        found = np.minimum(found, odds - np.log((rivals + 1) / (number + 1)))
    return np.where(odds > 0, found, odds)


def _densities(
    step: np.ndarray, covariance: np.ndarray, same: float, different: float
) -> tuple[np.ndarray, np.ndarray]:
    """[M] densities a square metre of one person's feet (Student's, `FREEDOM`), and of two people's (normal)."""
    scale = covariance + np.eye(2) * same**2
    determinant = scale[:, 0, 0] * scale[:, 1, 1] - scale[:, 0, 1] ** 2
    x, y = step[:, 0], step[:, 1]
    square = (scale[:, 1, 1] * x**2 - 2 * scale[:, 0, 1] * x * y + scale[:, 0, 0] * y**2) / determinant
    core = (1 + square / FREEDOM) ** (-(FREEDOM + 2) / 2) / (2 * np.pi * np.sqrt(determinant))
    # Where a foot is very uncertain, so is where two people's would lie apart.
    wide = covariance + np.eye(2) * different**2
    width = wide[:, 0, 0] * wide[:, 1, 1] - wide[:, 0, 1] ** 2
    apart = (wide[:, 1, 1] * x**2 - 2 * wide[:, 0, 1] * x * y + wide[:, 0, 0] * y**2) / width
    return core, np.maximum(np.exp(-apart / 2) / (2 * np.pi * np.sqrt(width)), 1e-12)


def _covariance(feet: Feet, frame: Frame, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return spread_on_floor(feet, one, frame.on_floor) + spread_on_floor(feet, other, frame.on_floor)
