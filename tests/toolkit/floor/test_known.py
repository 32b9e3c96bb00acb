"""Floors that the user gives."""

import numpy as np
import pytest

from reidkit.toolkit.floor.homography import transfer
from reidkit.toolkit.floor.known import GivenFloor, floor_of

SQUARE = ((100.0, 300.0, 0.0, 0.0), (500.0, 310.0, 9.0, 0.0), (400.0, 180.0, 9.0, 6.0), (190.0, 185.0, 0.0, 6.0))
EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def test_points_lie_where_they_are_said_to() -> None:
    matrix = np.array(floor_of(GivenFloor(points=SQUARE)))
    points = np.array(SQUARE)
    np.testing.assert_allclose(transfer(matrix, points[:, :2]), points[:, 2:], atol=1e-6)


def test_a_calibration_is_its_floor() -> None:
    down = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))  # looks straight down from 5 m
    lens = ((800.0, 0.0, 320.0), (0.0, 800.0, 180.0), (0.0, 0.0, 1.0))
    matrix = np.array(floor_of(GivenFloor(K=lens, R=down, t=(0.0, 0.0, 5.0))))
    np.testing.assert_allclose(transfer(matrix, np.array([[320.0, 180.0], [480.0, 180.0]])), [[0, 0], [1, 0]])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (GivenFloor(), "a floor is one of"),
        (GivenFloor(points=SQUARE, homography=EYE), "a floor is one of"),
        (GivenFloor(points=SQUARE[:3]), "3 points are too few"),
        (GivenFloor(points=tuple((float(k), 2.0 * k, float(k), 1.0 * k * k) for k in range(4))), "lie on a line"),
        (GivenFloor(points=(*SQUARE, (300.0, 250.0, 30.0, 2.0))), "beside where the others put it"),
        (GivenFloor(homography=((1.0, 2.0, 3.0), (2.0, 4.0, 6.0), (0.0, 0.0, 1.0))), "can't be inverted"),
        (GivenFloor(K=EYE, R=EYE), "K, R and t together"),
        (GivenFloor(K=EYE, R=((2.0, 0.0, 0.0), *EYE[1:]), t=(0.0, 0.0, 5.0)), "no rotation"),
        (GivenFloor(K=EYE, R=EYE, t=(1.0, 1.0, 0.0)), "lies on the floor"),
    ],
)
def test_what_is_no_floor_is_said(given: GivenFloor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        floor_of(given)
