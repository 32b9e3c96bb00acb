"""Cutting tracklets: only where the person changes."""

import numpy as np
import pytest

from reidkit.toolkit.purify import PuritySettings, find_cuts, most_alike

COMMON, *APART = np.random.default_rng(3).normal(size=(5, 48))
PEOPLE = COMMON + np.array(APART)
LIMIT = 0.525


def crops(*runs, seed=0, noise=0.35, drift=0.0):
    """Unit embeddings [n, D] of runs (person, crops), with noise and a slow change of pose."""
    rng = np.random.default_rng(seed)
    rows = []
    for person, count in runs:
        way = rng.normal(size=48)
        rows += [PEOPLE[person] + noise * rng.normal(size=48) + drift * k / count * way for k in range(count)]
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("runs", "cuts"),
    [
        ([(0, 10), (1, 8)], [10]),
        ([(0, 6), (1, 6), (2, 6)], [6, 12]),  # two changes
        ([(0, 8), (1, 6), (0, 8)], [8, 14]),  # somebody in between
        ([(0, 20)], []),  # one person
        ([(0, 10), (1, 2)], []),  # two crops of somebody else are no run
        ([(0, 4)], []),  # too short to be cut
        ([(0, 3), (1, 3)], [3]),  # the shortest that can be
    ],
)
def test_cuts_where_the_person_changes(runs, cuts):
    features = crops(*runs)
    assert find_cuts(features, np.ones(len(features)), 0.65) == cuts


@pytest.mark.parametrize("drift", [0.5, 1.0])
def test_one_who_turns_is_not_cut(drift):
    features = crops((0, 24), drift=drift)
    assert find_cuts(features, np.ones(24), LIMIT) == []


def test_nothing_is_cut_where_nobody_stands_beside_anybody():
    assert find_cuts(crops((0, 10), (1, 10)), np.ones(20), None) == []


def test_a_step_as_small_as_between_two_views_of_one_person_is_no_change():
    # The runs are as alike as no two people of this footage are.
    assert find_cuts(crops((0, 10), (1, 10)), np.ones(20), -0.125) == []


def test_poor_crops_count_little():
    features = crops((0, 12))
    features[4:8] = crops((1, 4), seed=1)  # somebody passes in front: covered crops, poor ones
    quality = np.ones(12)
    quality[4:8] = 0.0
    assert find_cuts(features, np.ones(12), 0.6) != []
    assert find_cuts(features, quality, 0.6) in ([], [4, 8])


def test_two_people_may_be_as_alike_as_most_of_those_seen_together():
    assert most_alike(np.array([0.5, 0.7, 0.6]), PuritySettings(quantile=0.75)) == pytest.approx(0.65)
    assert most_alike(np.zeros(0), PuritySettings()) is None
