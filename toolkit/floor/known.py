"""A camera's floor as the user gives it: `floor_of(GivenFloor(points=((x, y, X, Y), …)))`, pixels to metres.

One of three: four or more points of the floor, seen at pixel (x, y) and lying at (X, Y) metres; the homography; or a
calibration K, R, t that takes a point X in metres to the pixels K (R X + t), the floor being Z = 0.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from .homography import solve, transfer

FORM = "{points = [[x, y, X, Y], …]}, {homography = [[…], […], […]]} or {K = …, R = …, t = […]}"
OFF = 0.5  # metres that a given point may lie beside where the others put it

Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Row = tuple[Number, Number, Number]
Matrix = tuple[Row, Row, Row]


class GivenFloor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    points: of x, y in pixels and X, Y in metres. homography: pixels to metres. K, R, t: of a pinhole camera.
    """

    points: tuple[tuple[Number, Number, Number, Number], ...] | None = None
    homography: Matrix | None = None
    K: Matrix | None = None
    R: Matrix | None = None
    t: Row | None = None


def floor_of(given: GivenFloor) -> tuple[tuple[float, ...], ...]:
    """The homography [3][3] from pixels to metres, scaled to norm 1.

    Raises:
        ValueError: the sentence says what is wrong with the values.
    """
    ways = [given.points is not None, given.homography is not None, any((given.K, given.R, given.t))]
    if sum(ways) != 1:
        raise ValueError(f"a floor is one of {FORM}")
    if given.points is not None:
        matrix = _of_points(np.array(given.points, np.float64).reshape(-1, 4))
    elif given.homography is not None:
        matrix = np.array(given.homography, np.float64)
    else:
        if not (given.K and given.R and given.t):
            raise ValueError("a calibration is K, R and t together")
        turn = np.array(given.R, np.float64)
        if np.abs(turn @ turn.T - np.eye(3)).max() > 0.02:
            raise ValueError("R is no rotation; its rows are of length 1 and at right angles")
        matrix = np.array(given.K) @ np.column_stack([turn[:, 0], turn[:, 1], given.t])
        if abs(np.linalg.det(matrix)) < 1e-9:
            raise ValueError("the camera lies on the floor; t is where the floor's origin lies before it, in metres")
        matrix = np.linalg.inv(matrix)
    size = np.linalg.norm(matrix)
    if not size or abs(np.linalg.det(matrix / size)) < 1e-15:
        raise ValueError("the matrix can't be inverted, so it shows no floor")
    return tuple(tuple(row) for row in (matrix / size).tolist())


def _of_points(points: np.ndarray) -> np.ndarray:
    if len(points) < 4:
        raise ValueError(
            f"{len(points)} points are too few; four or more that don't lie on a line say where a floor is"
        )
    for which in (points[:, :2], points[:, 2:]):
        spread = np.linalg.svd(which - which.mean(0), compute_uv=False)
        if spread[1] < 1e-3 * spread[0] or spread[0] == 0:
            raise ValueError("the points lie on a line; take four corners of something")
    matrix = solve(points[:, :2], points[:, 2:])
    if abs(np.linalg.det(matrix)) < 1e-15:
        raise ValueError("three of four points lie on a line; take four corners of something")
    off = np.linalg.norm(transfer(matrix, points[:, :2]) - points[:, 2:], axis=1)
    if not (off < OFF).all():
        worst = int(np.nan_to_num(off, nan=np.inf).argmax())
        raise ValueError(f"point {worst + 1} lies {off[worst]:.1f} m beside where the others put it; mend one of them")
    return matrix
