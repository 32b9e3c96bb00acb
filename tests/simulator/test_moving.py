"""Cameras that pan, tilt and zoom: what stands still goes by the homography that is said, and people by theirs."""

import itertools
import json

import cv2
import numpy as np
import pytest

from reidkit.simulator.event import make_event
from reidkit.simulator.moving import homography
from reidkit.simulator.simulate import Settings, simulate


def moving_event(moving: bool = True):
    return make_event("sports", 0, 2, 1, 2.0, 10, (256, 144), 3, moving=moving)


def test_what_stands_still_moves_by_the_homography_and_points_do_alike():
    event = moving_event()
    path = event.paths[0]
    assert len(path) == len(event) == 20
    point = np.array([[1.0, -0.5, 0.0]])
    for before, after in itertools.pairwise(path):
        assert after.position == pytest.approx(before.position)
        pixel = np.append(before.project(point)[0][0], 1)
        there = homography(before, after) @ pixel
        assert there[:2] / there[2] == pytest.approx(after.project(point)[0][0])
    pictures = [seen[0] for seen, _ in event.frames([0, 19])]
    shift = homography(path[0], path[19])
    warped = cv2.warpPerspective(pictures[0], shift, (256, 144), borderValue=(255, 0, 255))
    inside = cv2.warpPerspective(np.ones((144, 256), np.uint8), shift, (256, 144)) > 0
    assert np.abs(shift - np.eye(3)).max() > 5  # it has moved by pixels
    gap = np.abs(warped.astype(int) - pictures[1]).mean(2)[inside]
    unmoved = np.abs(pictures[0].astype(int) - pictures[1]).mean(2)[inside]
    assert np.median(gap) < 0.5 * np.median(unmoved)


def test_people_and_their_play_stay_as_they_are():
    standing, moving = moving_event(False), moving_event()
    assert np.array_equal(standing.performance.pose, moving.performance.pose)
    assert standing.paths == []
    first = next(truth for _, truth in moving.frames([4]))[0]
    for n, (x, y, w, h), _ in first:
        middle = moving.performance.pose[4, n, :2]
        foot = moving.paths[0][4].project(np.array([[*middle, 0.9]]))[0][0]
        assert x - 0.3 * w <= foot[0] <= x + 1.3 * w
        assert y <= foot[1] <= y + h


def test_a_set_of_moving_cameras_says_so_and_has_no_calibration(tmp_path):
    settings = Settings(people=2, cameras=1, seconds=0.4, fps=5, width=128, height=72, moving=True)
    truth = simulate(tmp_path / "moving", settings, jobs=1)
    assert truth.calibration == {}
    assert json.loads((tmp_path / "moving" / ".simulate.json").read_text())["moving"] is True
    simulate(tmp_path / "standing", Settings(people=2, cameras=1, seconds=0.4, fps=5, width=128, height=72), jobs=1)
    assert "moving" not in json.loads((tmp_path / "standing" / ".simulate.json").read_text())
    assert (tmp_path / "moving/sports01/cam1.mp4").read_bytes() != (
        tmp_path / "standing/sports01/cam1.mp4"
    ).read_bytes()
