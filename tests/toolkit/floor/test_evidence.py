"""What the floor says: against plain loops, and on people who walk."""

import itertools

import numpy as np
import pytest

from reidkit.toolkit.floor.evidence import Distances, among_rivals, fit_distances, moment_odds, weigh
from reidkit.toolkit.floor.feet import resample
from reidkit.toolkit.floor.find import find_floor
from reidkit.toolkit.floor.frame import common_floor
from reidkit.toolkit.floor.pairs import join
from reidkit.toolkit.floor.settings import FloorSettings

MODEL = Distances(same=0.2, outliers=0.05, different=2.0, pairs_same=100, pairs_different=100)
SURE = np.zeros((1, 2, 2))


def say(distance: float, spread: float = 0.0) -> float:
    return float(moment_odds(np.array([[distance, 0.0]]), SURE + np.eye(2) * spread**2, MODEL)[0])


def test_near_speaks_for_and_far_against() -> None:
    assert say(0.0) > say(0.4) > 0 > say(1.5) > say(4.0) - 1e-9
    assert say(30.0) >= np.log(MODEL.outliers) - 1e-9  # a box may be anywhere


def test_feet_that_are_unsure_say_little() -> None:
    assert 0 < say(0.1, spread=2.0) < say(0.1) / 2
    assert say(3.0, spread=2.0) > say(3.0)


def test_rivals_are_those_of_loops() -> None:
    rng = np.random.default_rng(0)
    here, there = np.array([0, 1, 2]), np.array([10, 11])
    one, other = (side.ravel() for side in np.meshgrid(here, there, indexing="ij"))
    odds = rng.normal(size=6) * 3
    found = among_rivals(odds, one, other)
    for k in range(6):
        if odds[k] <= 0:
            assert found[k] == odds[k]
            continue
        values = [odds[k]]
        for side in (one, other):
            rivals = [np.exp(odds[m]) for m in range(6) if m != k and side[m] == side[k]]
            values.append(odds[k] - np.log((sum(rivals) + 1) / (len(rivals) + 1)))
        assert found[k] == pytest.approx(min(values))


def test_somebody_as_near_takes_away_what_being_near_says() -> None:
    alone = among_rivals(np.array([4.0, -3.0]), np.array([0, 0]), np.array([1, 2]))
    beside = among_rivals(np.array([4.0, 4.0]), np.array([0, 0]), np.array([1, 2]))
    assert alone[0] == 4.0
    assert beside[0] < 1


def test_the_same_person_is_told_from_others(event) -> None:
    feet = resample(event.tracks)
    pairs = [join(feet, event.features, a, b, 0) for a, b in itertools.combinations(range(3), 2)]
    frame = common_floor(event.tracks, pairs, {}, 3, set())
    assert frame is not None
    model = fit_distances(feet, frame)
    assert model is not None
    assert 1 < model.different < 5
    found = weigh(feet, frame, model)
    assert (found.first < found.second).all()
    assert (np.diff(found.first * feet.count + found.second) > 0).all()
    same = event.person[found.first] == event.person[found.second]
    assert same.sum() == 24
    assert (found.log_odds[same] > 3).all()
    assert (found.log_odds[~same] < 0).mean() > 0.95


def test_an_event_says_what_it_found(event) -> None:
    floor = find_floor(
        ["a", "b", "c"], event.tracks, event.features, {}, [None] * 3, [0.0] * 3, FloorSettings(longest_offset=1)
    )
    assert floor.facts["used"] is True
    assert set(floor.facts["cameras"]) == {"a", "b", "c"}
    assert floor.facts["pairs_weighed"] == len(floor.evidence.first)


@pytest.mark.parametrize(
    ("cameras", "settings", "note"),
    [
        (1, FloorSettings(), "one camera"),
        (3, FloorSettings(use="off"), "switched off"),
    ],
)
def test_no_floor_with_a_reason(event, cameras: int, settings: FloorSettings, note: str) -> None:
    none = [None] * cameras
    floor = find_floor(["x"] * cameras, event.tracks, event.features, {}, none, [0.0] * cameras, settings)
    assert floor.evidence is None
    assert floor.facts == {"used": False, "note": note}


def test_a_given_floor_that_is_wrong_is_not_used(event) -> None:
    turned = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, -3.0], [0.0, 0.0, 1.0]])
    known = {0: event.floors[0], 1: turned @ event.floors[1]}
    floor = find_floor(
        ["a", "b", "c"], event.tracks, event.features, known, [None] * 3, [0.0] * 3, FloorSettings(longest_offset=0)
    )
    assert "not used" in floor.facts["note"]
    assert floor.facts["cameras"]["a"]["floor"] == "found"


def test_looks_that_say_nothing_switch_the_floor_off(event) -> None:
    features = np.random.default_rng(1).normal(size=event.features.shape)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    names, none = ["a", "b", "c"], [None] * 3
    floor = find_floor(names, event.tracks, features, {}, none, [0.0] * 3, FloorSettings(longest_offset=0))
    assert floor.evidence is None
    assert "held out" in floor.facts["note"]
