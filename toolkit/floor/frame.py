"""One floor for all cameras: where a pixel of each lies on it in metres, and how the clocks are apart.

    frame = common_floor(tracks, pairs, known, movable)
    frame.on_floor[camera]              # [3, 3], pixels to metres; no entry for a camera that nothing joins

The pairs' homographies are chained along the best spanning tree, then all are refined together. What a metre is comes
from a calibration where there is one, and from people's boxes elsewhere: a step to the side as long as a body is high
measures `BODY` metres on the floor, wherever it is taken and whichever camera looks. Cameras that look from different
sides thus fix lengths in all directions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from .feet import STEP, Feet, FootTrack, beside, resample
from .homography import derivative, transfer
from .pairs import Pair, moments_of

BODY = 1.7  # metres
RULER = 0.3  # standard deviation of the logarithm of a body's height, poses included
RULERS = 80  # boxes of each camera that measure
STIFF = 100.0  # weight of the mean of a camera's rulers
SLANT = 0.4  # of the floor's depth in the picture, to begin with: as seen from 24 degrees above
STEEPEST = 0.9  # sine of the angle under which cameras look down
MODEL = 0.1  # metres that feet lie apart however well they are seen
EVERY = 3  # steps between the moments that the refinement looks at
MOST_MOMENTS = 2_000
LASTING = 1.0  # seconds for which a foot's error lasts
ROUNDS = 3
DRIFT_FROM = 60.0  # seconds of footage from which a drift can be told from an offset
FAR = 1e3  # metres


@dataclass(frozen=True)
class Frame:
    """The floor of an event.

    Attributes:
        on_floor: camera -> [3, 3] homography from its pixels to metres on the floor.
        home: the camera whose clock the others are compared with.
        offset, drift: [cameras] seconds, and seconds a second, that are added to the clocks.
        offset_error, drift_error: [cameras] standard deviations.
        used: the pairs whose matches it was refined on.
    """

    on_floor: Mapping[int, np.ndarray]
    home: int
    offset: np.ndarray
    drift: np.ndarray
    offset_error: np.ndarray
    drift_error: np.ndarray
    used: Sequence[Pair] = field(default_factory=tuple)


def common_floor(
    tracks: Sequence[FootTrack],
    pairs: Sequence[Pair],
    known: Mapping[int, np.ndarray],
    cameras: int,
    movable: Collection[int],
    clock: int | None = None,
) -> Frame | None:
    """The floor that the pairs which hold agree on; None where they join no two cameras.

    Args:
        tracks: of all tracklets, on the clocks that the pairs were found with.
        known: camera -> its homography to metres, from a calibration; these are kept.
        cameras: number of them.
        movable: cameras whose clocks may be corrected; the others are taken as they are.
        clock: the camera that the others' clocks are compared with, if it is on the floor; None: the best joined one.
    """
    holding = [pair for pair in pairs if pair.holds]
    chained, home = _chain(holding, known, cameras)
    if len(chained) < 2:
        return None
    home = clock if clock in chained else home
    offset, drift = _tree_shifts(holding, home, cameras) * STEP, np.zeros(cameras)
    late = [camera for camera in chained if camera != home and camera in movable]
    offset[[camera for camera in range(cameras) if camera not in late]] = 0
    feet = resample(tracks, offset, drift)
    on_floor = chained if known else _measured(chained, feet)
    none = np.zeros(cameras)
    return settled(tracks, Frame(on_floor, home, offset, drift, none, none, holding), known, late)


def settled(tracks: Sequence[FootTrack], frame: Frame, known: Collection[int], late: Collection[int]) -> Frame:
    """The frame refined on the matches of its pairs, until its clocks stay.

    Args:
        known: cameras whose homography is kept. late: those whose clock isn't.
    """
    for _ in range(ROUNDS):
        feet = resample(tracks, frame.offset, frame.drift)
        on_floor, change, errors = refined(feet, frame.used, frame.on_floor, known, late)
        offset, drift = frame.offset + change[0], frame.drift + change[1]
        frame = Frame(on_floor, frame.home, offset, drift, errors[0], errors[1], frame.used)
        if np.abs(change[0]).max() < 0.01 and np.abs(change[1]).max() < 1e-6:
            break
    return frame


def _chain(holding: Sequence[Pair], known: Mapping[int, np.ndarray], cameras: int) -> tuple[dict[int, np.ndarray], int]:
    """Camera -> homography to one plane: metres where a camera is known, the picture of the best joined one elsewhere;
    and that camera, or the first that is known.

    Of several groups of cameras that nothing joins, the largest counts; a known camera joins all that are known.
    """
    graph = np.zeros((cameras + 1, cameras + 1))
    steps = {}
    for pair in holding:
        graph[pair.a, pair.b] = pair.agreed
        steps[pair.a, pair.b], steps[pair.b, pair.a] = np.linalg.inv(pair.matrix), pair.matrix
    for camera, matrix in known.items():  # the floor itself is the last node
        graph[camera, cameras] = 1e6
        steps[cameras, camera], steps[camera, cameras] = matrix, np.linalg.inv(matrix)
    count, group = connected_components(csr_array(graph), directed=False)
    sizes = np.bincount(group, np.arange(cameras + 1) < cameras, count)
    mine = group[cameras] if known else int(sizes.argmax())
    tree = minimum_spanning_tree(csr_array(np.where(graph > 0, 1e7 - graph, 0)))
    home = cameras if known else int(np.where(group == mine, (graph + graph.T).sum(1), -1).argmax())
    order, before = breadth_first_order(tree, home, directed=False)
    found = {home: np.eye(3)}
    for camera in order[1:].tolist():
        # steps[p, c] takes c's picture to p's.
        found[camera] = found[before[camera]] @ steps[before[camera], camera]
    found.pop(cameras, None)
    chained = {camera: matrix / np.linalg.norm(matrix) for camera, matrix in found.items()}
    return chained, min(known, default=home)


def _tree_shifts(holding: Sequence[Pair], home: int, cameras: int) -> np.ndarray:
    """[cameras] steps to add to each clock, beside that of `home`: the least squares of the pairs' shifts."""
    rows = np.zeros((len(holding) + 1, cameras))
    for k, pair in enumerate(holding):
        rows[k, pair.b], rows[k, pair.a] = 1, -1
    rows[-1, home] = 1
    return np.linalg.lstsq(rows, np.array([*(pair.shift for pair in holding), 0.0]), rcond=None)[0]


def _measured(chained: Mapping[int, np.ndarray], feet: Feet) -> dict[int, np.ndarray]:
    """The homographies followed by the one that turns their common plane into metres."""
    rulers = {camera: _spread(np.flatnonzero(feet.camera == camera), RULERS) for camera in chained}
    home = next(iter(chained))
    points, tall = feet.point[feet.camera == home], feet.height[feet.camera == home]
    centre, scale = points.mean(0), points.std() + 1e-9
    plane = np.array([[1 / scale, 0, -centre[0] / scale], [0, 1 / scale, -centre[1] / scale], [0, 0, 1]])
    # Boxes shrink to nothing towards the horizon.
    slope = np.linalg.lstsq(np.c_[(points - centre) / scale, np.ones(len(points))], tall, rcond=None)[0]
    horizon = np.clip(slope[:2] / max(slope[2], 1e-9), -0.4, 0.4)
    across = BODY * scale / np.median(tall)

    def upgrade(values: np.ndarray) -> np.ndarray:
        width, depth, skew, first, second = values
        return np.array([[np.exp(width), skew, 0], [0, np.exp(width + depth), 0], [first, second, 1]]) @ plane

    def residuals(values: np.ndarray) -> np.ndarray:
        matrix = upgrade(values)
        parts = [_ruler_errors(matrix @ chained[c], feet.point[rows], feet.height[rows]) for c, rows in rulers.items()]
        usual = (values - start) / np.array([np.inf, 0.5, 0.3, 0.3, 0.3])
        return np.concatenate([*parts, usual * 3])

    start = np.array([np.log(across), -np.log(SLANT), 0.0, *horizon])
    found = least_squares(residuals, start, loss="soft_l1", f_scale=1.0, max_nfev=60)
    matrix = upgrade(found.x)
    return {camera: oriented(matrix @ chain, feet.point[rulers[camera]]) for camera, chain in chained.items()}


def oriented(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The homography scaled so that what the camera sees weighs above 0."""
    weight = points @ matrix[2, :2] + matrix[2, 2]
    return matrix * np.sign(weight.sum()) / np.linalg.norm(matrix)


def _ruler_errors(matrix: np.ndarray, points: np.ndarray, tall: np.ndarray) -> np.ndarray:
    """[M] by how many standard deviations a step to the side of a body's height isn't `BODY` long on the floor.

    Seen from above a body appears shorter, by the cosine of the angle of which the floor's depth shows the sine.
    """
    with np.errstate(all="ignore"):
        step = np.linalg.norm(derivative(matrix, points), axis=1)
        sine = np.clip(step[:, 0] / step[:, 1], 0, STEEPEST)
        error = np.log(step[:, 0] * tall / (BODY * np.sqrt(1 - sine**2))) / RULER
    return np.nan_to_num(np.clip(error, -20, 20), nan=20.0)


def refined(
    feet: Feet,
    holding: Sequence[Pair],
    on_floor: Mapping[int, np.ndarray],
    known: Collection[int],
    late: Collection[int],
) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """All homographies and clocks refined together.

    Args:
        holding: the pairs of cameras whose agreeing matches are looked at.
        known: cameras whose homography is kept. late: those whose clock isn't.

    Returns:
        camera -> homography; [2, cameras] what is to be added to offsets and drifts; [2, cameras] their errors.
    """
    cameras = max(int(feet.camera.max(initial=0)), *on_floor, *(pair.b for pair in holding)) + 1
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for pair in holding:
        if pair.a in on_floor and pair.b in on_floor:
            kept = pair.matches.rows(np.flatnonzero(pair.agrees))
            moments = moments_of(feet, kept, *beside(feet, pair.a, pair.b))
            some = feet.step[moments.one] % EVERY == 0
            parts.append((moments.one[some], moments.other[some]))
    one, other = (np.concatenate(side) for side in zip(*parts, strict=True))
    every = len(one)
    some = _spread(np.arange(every), MOST_MOMENTS)
    one, other = one[some], other[some]
    free = [camera for camera in on_floor if camera not in known]
    if not len(one) or not (free or late):
        return dict(on_floor), np.zeros((2, cameras)), np.zeros((2, cameras))
    span = float(np.ptp(feet.step)) * STEP if len(feet.step) else 0.0
    late = sorted(late)
    drifting = late if span >= DRIFT_FROM else []
    time = feet.step * STEP

    scales = {camera: _normal(feet.point[feet.camera == camera]) for camera in free}
    normal = [(on_floor[camera] @ np.linalg.inv(scales[camera])).ravel() for camera in free]
    clocks = np.zeros(len(late) + len(drifting))
    start = np.concatenate([*(values / np.linalg.norm(values) for values in normal), clocks])
    # A known camera says what a metre is.
    measuring = [] if known else free
    rulers = {camera: _spread(np.flatnonzero(feet.camera == camera), RULERS) for camera in measuring}
    spread = spread_on_floor(feet, one, on_floor) + spread_on_floor(feet, other, on_floor) + np.eye(2) * MODEL**2
    whiten = np.linalg.inv(np.linalg.cholesky(spread))

    def read(values: np.ndarray) -> tuple[dict[int, np.ndarray], np.ndarray]:
        moved = {camera: values[9 * k : 9 * k + 9].reshape(3, 3) @ scales[camera] for k, camera in enumerate(free)}
        matrices = dict(on_floor) | moved
        change = np.zeros((2, cameras))
        rest = values[9 * len(free) :]
        change[0, late], change[1, drifting] = rest[: len(late)], rest[len(late) :] / max(span, 1.0)
        return matrices, change

    def residuals(values: np.ndarray) -> np.ndarray:
        matrices, change = read(values)
        places = []
        for rows in (one, other):
            camera = feet.camera[rows]
            # Adding to a clock moves where its people are at a given time back along their way.
            moved = (
                feet.point[rows] - feet.velocity[rows] * (change[0, camera] + change[1, camera] * time[rows])[:, None]
            )
            places.append(_places(matrices, camera, moved))
        apart = np.einsum("mij,mj->mi", whiten, places[0] - places[1])
        parts = [np.nan_to_num(np.clip(apart, -50, 50), nan=50.0).ravel()]
        measured = [_ruler_errors(matrices[c], feet.point[rows], feet.height[rows]) for c, rows in rulers.items()]
        # Feet lie nearer on a smaller floor: the mean of each camera's rulers is held against that.
        parts += [*measured, STIFF * np.array([np.mean(errors) for errors in measured])]
        parts.append(np.array([np.linalg.norm(values[9 * k : 9 * k + 9]) - 1 for k in range(len(free))]))
        return np.concatenate(parts)

    found = least_squares(residuals, start, loss="soft_l1", f_scale=2.0, max_nfev=25)
    matrices, change = read(found.x)
    matrices = {c: oriented(matrix, feet.point[feet.camera == c]) for c, matrix in matrices.items()}
    errors = np.zeros((2, cameras))
    if late:
        covariance = np.linalg.pinv(found.jac.T @ found.jac)
        deviation = np.sqrt(np.maximum(np.diag(covariance)[9 * len(free) :], 0))
        # Moments of one match that follow each other closely say no more than one.
        step = EVERY * STEP * every / len(one)
        deviation *= np.sqrt(max(1.0, LASTING / step))
        errors[0, late], errors[1, drifting] = deviation[: len(late)], deviation[len(late) :] / max(span, 1.0)
    return matrices, change, errors


def spread_on_floor(feet: Feet, rows: np.ndarray, on_floor: Mapping[int, np.ndarray]) -> np.ndarray:
    """[M, 2, 2] covariance in square metres of feet on the floor, carried from their spread in the picture."""
    found = np.zeros((len(rows), 2, 2))
    for camera, matrix in on_floor.items():
        mine = np.flatnonzero(feet.camera[rows] == camera)
        step = derivative(matrix, feet.point[rows[mine]]) * feet.spread[rows[mine]][:, None, :]
        found[mine] = step @ np.swapaxes(step, 1, 2)
    return np.clip(np.nan_to_num(found, nan=FAR), -FAR, FAR)


def places(feet: Feet, on_floor: Mapping[int, np.ndarray]) -> np.ndarray:
    """[M, 2] metres on the floor; not a number for cameras that are not on it."""
    return _places(on_floor, feet.camera, feet.point)


def _places(matrices: Mapping[int, np.ndarray], camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    found = np.full(points.shape, np.nan)
    for number, matrix in matrices.items():
        rows = camera == number
        found[rows] = transfer(matrix, points[rows])
    return found


def _normal(points: np.ndarray) -> np.ndarray:
    """[3, 3] that takes a camera's feet to about -1 to 1."""
    centre, scale = points.mean(0), points.std() + 1e-9
    return np.array([[1 / scale, 0, -centre[0] / scale], [0, 1 / scale, -centre[1] / scale], [0, 0, 1]])


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))]
