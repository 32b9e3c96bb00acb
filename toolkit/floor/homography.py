"""Homographies between two pictures of one floor, from feet that may be matched wrongly.

    found = fit(match, one, other, tall_one, tall_other, weight, rng)       # 3x3, or None
    transfer(found, one)                                                    # [M, 2] where they stand in the other
    disagreement(found, one, other, tall_one, tall_other)                   # [M] in heights of a body

Random sample consensus (Fischler and Bolles 1981) over matches, each of which is right or wrong as a whole, then
robust least squares of the transfer errors in both pictures (Hartley and Zisserman, 4.2.2, 4.7). An error is counted in
heights of the person's own box, so that near and far people count alike.
"""

import numpy as np
from scipy.optimize import least_squares

TRIES = 600  # hypotheses
FROM = 3  # matches that a hypothesis is made of
EACH = 2  # moments of each
THIN = 8  # moments of a match that hypotheses are judged by
AGREES = 0.3  # body heights; about half a metre
SOFT = 0.1  # body heights from which errors count less than by their square
# A step to the side as long as a body is high appears this long in the other picture, in heights of the body there:
# never much longer, and short where the other camera looks along it from low down.
SHORTEST, LONGEST = 0.05, 1.6
MOST_FITTED = 600  # pairs of feet that a refinement looks at, spread evenly
NEVER = 10.0  # disagreement of what lies behind the other camera


def transfer(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[..., M, 2] points under homographies [..., 3, 3]; infinite where a point lies on the horizon."""
    moved = points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved[..., :2] / moved[..., 2:]


def derivative(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[M, 2, 2] by which a small step at each point appears on the other side of the homography [3, 3]."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    place = homogeneous[:, :2] / homogeneous[:, 2:]
    return (matrix[None, :2, :2] - place[:, :, None] * matrix[None, 2:, :2]) / homogeneous[:, 2][:, None, None]


def solve(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[..., 3, 3] homographies that take `one` to `other` [..., n, 2], n >= 4, with the least algebraic error (direct
    linear transform of normalised points; Hartley and Zisserman, algorithm 4.2). Scaled so that points weigh above 0.
    """
    (a, at_a), (b, at_b) = _normalised(one), _normalised(other)
    zero, ones = np.zeros_like(a[..., :1]), np.ones_like(a[..., :1])
    homogeneous = np.concatenate([a, ones], -1)
    blank = np.concatenate([zero, zero, zero], -1)
    top = np.concatenate([homogeneous, blank, -b[..., :1] * homogeneous], -1)
    below = np.concatenate([blank, homogeneous, -b[..., 1:] * homogeneous], -1)
    rows = np.concatenate([top, below], -2)
    vector = np.linalg.eigh(np.swapaxes(rows, -1, -2) @ rows)[1][..., 0]
    matrix = np.linalg.inv(at_b) @ vector.reshape(*vector.shape[:-1], 3, 3) @ at_a
    weight = one @ matrix[..., 2, :2, None] + matrix[..., 2, 2, None, None]
    return (
        matrix * np.sign(weight.sum((-1, -2)))[..., None, None] / np.linalg.norm(matrix, axis=(-2, -1), keepdims=True)
    )


def _normalised(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [..., n, 2] moved to their centre and scaled to mean distance sqrt(2), and the matrix that does it."""
    centre = points.mean(-2, keepdims=True)
    scale = np.sqrt(2) / np.maximum(np.linalg.norm(points - centre, axis=-1).mean(-1), 1e-9)
    matrix = np.zeros((*points.shape[:-2], 3, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., :2, 2] = -scale[..., None] * centre[..., 0, :]
    matrix[..., 2, 2] = 1
    return (points - centre) * scale[..., None, None], matrix


def disagreement(
    matrix: np.ndarray, one: np.ndarray, other: np.ndarray, tall_one: np.ndarray, tall_other: np.ndarray
) -> np.ndarray:
    """[..., M] how far apart feet are under homographies [..., 3, 3], in body heights, in the picture where it is more.

    Args:
        one, other: [M, 2] pixels. tall_one, tall_other: [M] height of the boxes in pixels.
    """
    there = np.linalg.norm(transfer(matrix, one) - other, axis=-1) / tall_other
    back = np.linalg.norm(transfer(np.linalg.inv(matrix), other) - one, axis=-1) / tall_one
    ahead = one @ matrix[..., 2, :2, None] + matrix[..., 2, 2, None, None]
    found = np.where(ahead[..., 0] > 0, np.maximum(there, back), NEVER)
    return np.where(np.isfinite(found), np.minimum(found, NEVER), NEVER)


def fit(
    match: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    tall_one: np.ndarray,
    tall_other: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """The homography [3, 3] on which the most matches agree; None where no sample of them gives one.

    Args:
        match: [M] number of the match that each pair of feet belongs to, from 0.
        one, other, tall_one, tall_other: as in `disagreement`.
    """
    chosen = _samples(match, rng)
    if chosen is None:
        return None
    with np.errstate(all="ignore"):
        tried = solve(one[chosen], other[chosen])
        some = _thinned(match)
        usable = np.isfinite(tried).all((-1, -2)) & (np.abs(np.linalg.det(tried)) > 1e-18)
        tried = tried[usable]
        tried = tried[_sees_a_floor(tried, one[some], other[some], tall_one[some], tall_other[some])]
    if not len(tried):
        return None
    error = np.concatenate(
        [
            disagreement(part, one[some], other[some], tall_one[some], tall_other[some])
            for part in np.array_split(tried, -(-len(tried) // 100))
        ]
    )
    counts = np.maximum(np.bincount(match[some], minlength=match.max() + 1), 1)
    share = np.minimum(error / AGREES, 1.0) ** 2 / counts[match[some]]
    best = tried[share.sum(1).argmin()]
    for _ in range(3):
        agrees = agreeing(match, disagreement(best, one, other, tall_one, tall_other))[match]
        if agrees.sum() < 8:
            return None
        rows = np.flatnonzero(agrees)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_FITTED)).astype(np.int64))]
        best = refine(best, one[rows], other[rows], tall_one[rows], tall_other[rows])
    return best


def agreeing(match: np.ndarray, error: np.ndarray) -> np.ndarray:
    """[matches] whether half of the moments of each agree."""
    count = np.bincount(match)
    return np.bincount(match, error < AGREES) * 2 > np.maximum(count, 1)


def refine(
    matrix: np.ndarray, one: np.ndarray, other: np.ndarray, tall_one: np.ndarray, tall_other: np.ndarray
) -> np.ndarray:
    """The homography [3, 3] near `matrix` with the least robust sum of squared errors in both pictures."""
    (_, at_one), (_, at_other) = _normalised(one), _normalised(other)
    start = at_other @ matrix @ np.linalg.inv(at_one)
    start /= np.linalg.norm(start)

    def residuals(values: np.ndarray) -> np.ndarray:
        now = np.linalg.inv(at_other) @ values.reshape(3, 3) @ at_one
        with np.errstate(all="ignore"):
            there = (transfer(now, one) - other) / tall_other[:, None]
            back = (transfer(np.linalg.inv(now), other) - one) / tall_one[:, None]
        return np.nan_to_num(np.clip(np.concatenate([there.ravel(), back.ravel()]), -NEVER, NEVER), nan=NEVER)

    found = least_squares(residuals, start.ravel(), loss="soft_l1", f_scale=SOFT, max_nfev=30)
    matrix = np.linalg.inv(at_other) @ found.x.reshape(3, 3) @ at_one
    weight = one @ matrix[2, :2] + matrix[2, 2]
    return matrix * np.sign(weight.sum()) / np.linalg.norm(matrix)


def _samples(match: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """[TRIES, FROM * EACH] pairs of feet: some moments, far from each other, of some matches."""
    start = np.flatnonzero(np.r_[True, match[1:] != match[:-1]])
    size = np.diff(np.r_[start, len(match)])
    start, size = start[size >= EACH], size[size >= EACH]
    if len(start) < FROM:
        return None
    picked = rng.random((TRIES, len(start))).argpartition(FROM - 1, axis=1)[:, :FROM]
    first = rng.random((TRIES, FROM)) * size[picked]
    apart = (first[..., None] + size[picked][..., None] * np.arange(EACH) / EACH) % size[picked][..., None]
    return (start[picked][..., None] + apart.astype(np.int64)).reshape(TRIES, -1)


def _thinned(match: np.ndarray) -> np.ndarray:
    """Rows of THIN moments of each match, spread evenly over it."""
    start = np.flatnonzero(np.r_[True, match[1:] != match[:-1]])
    size = np.diff(np.r_[start, len(match)])
    kept = [
        s + np.unique(np.linspace(0, n - 1, min(n, THIN)).astype(np.int64)) for s, n in zip(start, size, strict=True)
    ]
    return np.concatenate(kept)


def _sees_a_floor(
    matrices: np.ndarray, one: np.ndarray, other: np.ndarray, tall_one: np.ndarray, tall_other: np.ndarray
) -> np.ndarray:
    """[K] whether each homography can be that of one floor seen from above by two upright cameras.

    A floor isn't mirrored, and a step to the side of a body's height appears in the other picture as long as floors
    allow. Judged by the middle half of the feet, as some are matched wrongly.
    """
    side = np.stack([tall_one, np.zeros_like(tall_one)], 1)
    forth = transfer(matrices, one + side / 2) - transfer(matrices, one - side / 2)
    ahead = one @ matrices[:, 2, :2, None] + matrices[:, 2, 2, None, None]
    length = np.linalg.norm(forth, axis=-1) / np.median(tall_other)
    turned = np.linalg.det(matrices)[:, None] / np.maximum(np.abs(ahead[..., 0]), 1e-30) > 0
    fits = (length > SHORTEST) & (length < LONGEST * 2) & (ahead[..., 0] > 0) & turned
    return fits.mean(1) > 0.7
