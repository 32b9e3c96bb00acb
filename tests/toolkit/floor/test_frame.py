"""One floor for all cameras, in metres, and their clocks."""

import itertools

import numpy as np
import pytest

from reidkit.toolkit.floor.clocks import checked
from reidkit.toolkit.floor.feet import beside, resample
from reidkit.toolkit.floor.frame import common_floor, places, spread_on_floor
from reidkit.toolkit.floor.homography import transfer
from reidkit.toolkit.floor.pairs import join


def joined(event, longest_shift: int = 5) -> list:
    feet = resample(event.tracks)
    cameras = range(len(event.floors))
    return [join(feet, event.features, a, b, longest_shift) for a, b in itertools.combinations(cameras, 2)]


def apart(event, frame) -> np.ndarray:
    """[M] metres between the feet of one person in cameras 0 and 1."""
    feet = resample(event.tracks, frame.offset, frame.drift)
    on_floor = places(feet, frame.on_floor)
    one, other = beside(feet, 0, 1)
    same = event.person[feet.tracklet[one]] == event.person[feet.tracklet[other]]
    return np.linalg.norm(on_floor[one[same]] - on_floor[other[same]], axis=1)


def test_everybody_stands_where_he_does_up_to_where_the_floor_begins(event) -> None:
    frame = common_floor(event.tracks, joined(event), {}, 3, set())
    assert frame is not None
    feet = resample(event.tracks)
    found = places(feet, frame.on_floor)
    true = np.concatenate([transfer(event.floors[k], feet.point[[i]]) for i, k in enumerate(feet.camera)])
    # The rotation, shift and scale that fit best; the floor may be seen from below.
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, v = np.linalg.svd(a.T @ b)
    error = np.linalg.norm(a @ u @ v * s.sum() / (a**2).sum() - b, axis=1)
    assert np.median(error) < 0.15
    assert s.sum() / (a**2).sum() == pytest.approx(1, abs=0.15)  # a metre is about a metre
    assert np.median(apart(event, frame)) < 0.25


def test_a_given_camera_is_kept_and_sets_the_metre(event) -> None:
    known = {1: event.floors[1] / np.linalg.norm(event.floors[1])}
    frame = common_floor(event.tracks, joined(event), known, 3, set())
    assert frame is not None
    np.testing.assert_allclose(np.abs(frame.on_floor[1]), np.abs(known[1]))
    feet = resample(event.tracks)
    mine = feet.point[feet.camera == 0]
    error = np.linalg.norm(transfer(frame.on_floor[0], mine) - transfer(event.floors[0], mine), axis=1)
    assert np.median(error) < 0.25


def test_clocks_with_offset_and_drift(make_event) -> None:
    event = make_event(seconds=120, people=9, offset=(0.0, 0.7, -0.4), drift=(0.0, 1e-3, 0.0))
    frame = common_floor(event.tracks, joined(event, 15), {}, 3, {0, 1, 2})
    assert frame is not None
    assert checked(event.tracks, frame, (), {0, 1, 2}) == {camera: "" for camera in range(3) if camera != frame.home}
    # The corrections undo what is wrong, beside the camera that the others are compared with.
    wrong, drift = np.array([0.0, 0.7, -0.4]), np.array([0.0, 1e-3, 0.0])
    middle = 60.0
    late = wrong + drift * middle
    found = frame.offset + frame.drift * middle
    np.testing.assert_allclose(found - found[0], late - late[0], atol=0.05)
    np.testing.assert_allclose(frame.drift - frame.drift[0], drift, atol=2e-4)


def test_right_clocks_are_left_alone(event) -> None:
    frame = common_floor(event.tracks, joined(event), {}, 3, {0, 1, 2})
    assert frame is not None
    assert np.abs(frame.offset).max() < 0.1
    assert all(checked(event.tracks, frame, (), {0, 1, 2}).values())


def test_cameras_that_nothing_joins_have_no_floor(event) -> None:
    assert common_floor(event.tracks, [], {}, 3, set()) is None


def test_what_is_unsure_in_the_picture_is_unsure_on_the_floor(event) -> None:
    feet = resample(event.tracks[:2])
    on_floor = {0: event.floors[0]}
    rows = np.arange(10)
    found = spread_on_floor(feet, rows, on_floor)
    rng = np.random.default_rng(0)
    for row in rows.tolist():
        thrown = feet.point[row] + rng.normal(size=(4000, 2)) * feet.spread[row] * 0.1
        slow = np.cov(transfer(on_floor[0], thrown).T) * 100
        np.testing.assert_allclose(found[row], slow, rtol=0.2, atol=0.002)
