"""Two cameras joined by their people: accepted where held-out matches agree, refused elsewhere."""

import numpy as np
import pytest

from reidkit.toolkit.floor.feet import resample
from reidkit.toolkit.floor.homography import transfer
from reidkit.toolkit.floor.pairs import join


@pytest.mark.parametrize("confusion", [0.3, 0.8])
def test_the_homography_is_right(make_event, confusion: float) -> None:
    event = make_event(people=10, cameras=2, confusion=confusion)
    feet = resample(event.tracks)
    pair = join(feet, event.features, 0, 1, longest_shift=5)
    assert pair.holds
    assert pair.shift == 0
    here = feet.point[feet.camera == 0]
    there = transfer(event.floors[1], transfer(pair.matrix, here))
    assert np.median(np.linalg.norm(there - transfer(event.floors[0], here), axis=1)) < 0.2
    right = event.person[pair.matches.first] == event.person[pair.matches.second]
    assert (pair.agrees == right).mean() > 0.8


def test_clocks_that_are_apart_are_found(make_event) -> None:
    event = make_event(cameras=2, offset=(0.0, 1.4))
    pair = join(resample(event.tracks), event.features, 0, 1, longest_shift=15)
    assert pair.holds
    assert pair.shift == 7


def test_looks_that_say_nothing_give_no_floor(make_event) -> None:
    event = make_event(cameras=2)
    features = np.random.default_rng(1).normal(size=event.features.shape)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert not join(resample(event.tracks), features, 0, 1, longest_shift=5).holds


def test_two_people_are_too_few(make_event) -> None:
    event = make_event(people=2, cameras=2)
    assert not join(resample(event.tracks), event.features, 0, 1, longest_shift=0).holds


def test_two_floors_are_not_one(make_event) -> None:
    """The second camera's people stand elsewhere: each match is a person, but no homography holds for others."""
    event, other = make_event(cameras=2), make_event(cameras=2, seed=9)
    tracks = event.tracks[:8] + other.tracks[8:]
    assert not join(resample(tracks), event.features, 0, 1, longest_shift=0).holds
