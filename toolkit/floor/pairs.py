"""The homography and the shift of the clocks between two cameras, accepted only where held-out matches agree with it.

    pair = join(feet, features, a=0, b=1, longest_shift=15)
    pair.holds, pair.matrix, pair.shift, pair.agreed, pair.tried

Matches are those of looks alone. They are divided in `FOLDS`; each part is checked against the homography that the
others give, and so are the wrong pairs of the same tracklets, which tell how many agree by chance.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from .feet import Feet, beside
from .homography import agreeing, disagreement, fit
from .matches import Matches, confident, tracklet_pairs

FOLDS = 4
LEAST_SHARE = 0.35  # of the held-out matches that must agree
FEWEST = 3  # of them
BY_CHANCE = 0.001  # how likely it may be that so many agree by chance
SHIFT_STEPS = 4  # between two shifts from which the search begins
MOST_MATCHES = 300  # matches that are looked at, those with the largest margin


@dataclass(frozen=True)
class Pair:
    """Two cameras.

    Attributes:
        a, b: numbers of the cameras.
        matrix: [3, 3] from a's picture to b's; the identity where there is none.
        shift: steps of time to add to b's clock.
        matches: those of looks; agrees: [P] whether the feet of each agree.
        tried, agreed: number of held-out matches, and of those that agree.
        chance: share of wrong pairs that agree.
    """

    a: int
    b: int
    matrix: np.ndarray
    shift: int
    matches: Matches
    agrees: np.ndarray
    tried: int
    agreed: int
    chance: float

    @property
    def holds(self) -> bool:
        """Whether enough of the held-out matches agree, and more than chance lets agree."""
        return (
            self.agreed >= max(FEWEST, LEAST_SHARE * self.tried)
            and float(binom.sf(self.agreed - 1, self.tried, max(self.chance, 0.01))) < BY_CHANCE
        )


@dataclass(frozen=True)
class _Moments:
    """Pairs of feet of the matches at one shift: [M] rows of each camera, and the match [M] that they belong to."""

    match: np.ndarray
    one: np.ndarray
    other: np.ndarray

    def of(self, kept: np.ndarray) -> "_Moments":
        """Those of the matches [P] that are kept, numbered anew."""
        rows = kept[self.match]
        return _Moments(np.cumsum(kept)[self.match[rows]] - 1, self.one[rows], self.other[rows])

    def where(self, rows: np.ndarray) -> "_Moments":
        return _Moments(self.match[rows], self.one[rows], self.other[rows])


def join(feet: Feet, features: np.ndarray, a: int, b: int, longest_shift: int, seed: int = 0) -> Pair:
    """The two cameras' homography and shift, with how well they hold.

    Args:
        features: [N, D] of `observations.camera_centred`.
        longest_shift: steps of time that the clocks may be apart.
    """
    best = _at(feet, features, a, b, 0, longest_shift, seed)
    if best.holds or not longest_shift:
        return best
    for size in range(SHIFT_STEPS, longest_shift + 1, SHIFT_STEPS):
        for start in (size, -size):
            found = _at(feet, features, a, b, start, longest_shift, seed)
            if found.holds:
                return found
    return best


def _at(feet: Feet, features: np.ndarray, a: int, b: int, shift: int, longest: int, seed: int) -> Pair:
    """The best homography near a shift."""
    rng = np.random.default_rng([seed, a, b])
    for search in (*[longest > 0] * 3, False):
        matches, moments = matched(feet, features, a, b, shift)
        matrix = _fit(feet, moments, rng)
        if matrix is None:
            return Pair(a, b, np.eye(3), shift, matches, np.zeros(len(matches), bool), 0, 0, 0.0)
        better = _best_shift(feet, a, b, matches, matrix, shift, longest) if search else shift
        if better == shift:
            break
        shift = better
    agrees = agreeing(moments.match, _error(feet, matrix, moments))
    tried, agreed, chance = _held_out(feet, moments, beside(feet, a, b, shift), rng)
    return Pair(a, b, matrix, shift, matches, agrees, tried, agreed, chance)


def matched(feet: Feet, features: np.ndarray, a: int, b: int, shift: int) -> tuple[Matches, _Moments]:
    """The confident matches of two cameras, and their feet."""
    one, other = beside(feet, a, b, shift)
    matches = confident(feet, one, other, features)
    if len(matches) > MOST_MATCHES:
        matches = matches.rows(np.sort(np.argsort(-matches.margin, kind="stable")[:MOST_MATCHES]))
    return matches, moments_of(feet, matches, one, other)


def moments_of(feet: Feet, matches: Matches, one: np.ndarray, other: np.ndarray) -> _Moments:
    """The rows of the matches, ordered by match and time; a match that is not seen by both has none."""
    keys = matches.first * feet.count + matches.second
    key = feet.tracklet[one].astype(np.int64) * feet.count + feet.tracklet[other]
    place = np.minimum(np.searchsorted(keys, key), max(len(keys) - 1, 0))
    rows = np.flatnonzero(keys[place] == key) if len(keys) else np.zeros(0, np.int64)
    rows = rows[np.argsort(place[rows], kind="stable")]
    return _Moments(place[rows], one[rows], other[rows])


def _fit(feet: Feet, moments: _Moments, rng: np.random.Generator) -> np.ndarray | None:
    if not len(moments.match):
        return None
    one, other = moments.one, moments.other
    return fit(moments.match, feet.point[one], feet.point[other], feet.height[one], feet.height[other], rng)


def _error(feet: Feet, matrix: np.ndarray, moments: _Moments) -> np.ndarray:
    one, other = moments.one, moments.other
    return disagreement(matrix, feet.point[one], feet.point[other], feet.height[one], feet.height[other])


def _best_shift(feet: Feet, a: int, b: int, matches: Matches, matrix: np.ndarray, shift: int, longest: int) -> int:
    """The shift at which the matches' feet agree best; that given where no other is clearly better."""
    found = {}
    for tried in range(max(-longest, shift - SHIFT_STEPS), min(longest, shift + SHIFT_STEPS) + 1):
        one, other = beside(feet, a, b, tried)
        # A match that isn't seen by both any more counts as one that disagrees.
        worst = np.ones(len(matches))
        moments = moments_of(feet, matches, one, other)
        if len(moments.match):
            count = np.bincount(moments.match, minlength=len(matches))
            error = np.minimum(_error(feet, matrix, moments), 1.0)
            seen = count > 0
            worst[seen] = np.bincount(moments.match, error, len(matches))[seen] / count[seen]
        found[tried] = float(worst.mean())
    best = min(found, key=lambda tried: (found[tried], abs(tried)))
    return best if found[best] < 0.98 * found[shift] else shift


def _held_out(
    feet: Feet, moments: _Moments, rows: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[int, int, float]:
    """Number of held-out matches, how many agree, and the share of the wrong pairs of their tracklets that agree."""
    count = int(moments.match.max(initial=-1)) + 1
    if count < 2 * FEWEST:
        return count, 0, 1.0
    fold = rng.permutation(count) % FOLDS
    tried, agreed, wrong, wrong_agreed = 0, 0, 0, 0
    first, second, pair = tracklet_pairs(feet, *rows)
    for number in range(FOLDS):
        matrix = _fit(feet, moments.of(fold != number), rng)
        tried += int((fold == number).sum())
        if matrix is None:
            continue
        mine = moments.of(fold == number)
        agreed += int(agreeing(mine.match, _error(feet, matrix, mine)).sum())
        # Each tracklet of this part with everybody else whom the other camera sees at the time.
        right = set(zip(feet.tracklet[mine.one].tolist(), feet.tracklet[mine.other].tolist(), strict=True))
        left, there = {i for i, _ in right}, {j for _, j in right}
        others = np.array(
            [
                (i in left or j in there) and (i, j) not in right
                for i, j in zip(first.tolist(), second.tolist(), strict=True)
            ]
        )
        false = _Moments(np.cumsum(others)[pair] - 1, *rows).where(others[pair])
        if len(false.match):
            found = agreeing(false.match, _error(feet, matrix, false))
            wrong, wrong_agreed = wrong + len(found), wrong_agreed + int(found.sum())
    return tried, agreed, wrong_agreed / wrong if wrong else 0.0
