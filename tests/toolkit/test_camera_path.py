"""A moving camera's path against the same steps taken one after the other."""

import numpy as np
import pytest

from reidkit.toolkit.camera_path import IDENTITY, CameraPath, carried


def turn(rng: np.random.Generator) -> np.ndarray:
    """[2, 3] a similarity near the identity."""
    angle, scale = rng.normal(0, 0.02), np.exp(rng.normal(0, 0.02))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, rng.normal(0, 9)], [s, c, rng.normal(0, 5)]])


def slow_carry(boxes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    for step in steps:
        out = []
        for x1, y1, x2, y2 in boxes:
            x, y = step @ [(x1 + x2) / 2, (y1 + y2) / 2, 1]
            grown = np.hypot(step[0, 0], step[1, 0])
            w, h = grown * (x2 - x1) / 2, grown * (y2 - y1) / 2
            out.append((x - w, y - h, x + w, y + h))
        boxes = np.array(out)
    return boxes


def test_boxes_are_carried_as_step_by_step_and_back():
    rng = np.random.default_rng(0)
    steps = np.stack([IDENTITY, *(turn(rng) for _ in range(12))])
    path = CameraPath.of(steps)
    corner = rng.uniform(0, 500, (5, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 90, (5, 2))], 1)
    there = path.carry(boxes, 3, 9)
    assert there == pytest.approx(slow_carry(boxes, steps[4:10]))
    assert path.carry(there, 9, 3) == pytest.approx(boxes)
    each = path.carry(boxes, np.array([1, 2, 3, 4, 5]), 8)
    for k in range(5):
        assert each[k] == pytest.approx(path.carry(boxes[[k]], k + 1, 8)[0])


def test_a_standing_camera_leaves_boxes_as_they_are():
    path = CameraPath.of(np.tile(IDENTITY, (4, 1, 1)))
    boxes = np.array([[0.1, 0.2, 30.3, 40.4]])
    assert path.stands
    assert path.carry(boxes, 0, 3) is boxes


def test_another_shot_begins_where_a_step_is_unknown():
    steps = np.tile(IDENTITY, (6, 1, 1))
    steps[2] = np.nan
    steps[4] = np.nan
    path = CameraPath.of(steps)
    assert path.shot.tolist() == [0, 0, 1, 1, 2, 2]
    assert path.stands


def test_no_frames_and_no_boxes():
    path = CameraPath.of(np.zeros((0, 2, 3)))
    assert path.stands
    assert len(path.shot) == 0
    assert carried(np.zeros((0, 4)), IDENTITY).shape == (0, 4)
