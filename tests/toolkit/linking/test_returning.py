"""Who stands in two events."""

import itertools

import numpy as np
import pytest
from observed import made_up_event, observe

from reidkit.toolkit.linking import Portraits, portraits, returning


def two_events(common, seed):
    """Ten people an event, `common` of them in both; each event has two cameras and a light of its own."""
    seen, who = made_up_event(20, 4, seed, view=0.4)
    light = 0.5 * np.random.default_rng([seed, 1]).normal(size=(2, seen.features.shape[1])) / 16
    found = []
    for event in range(2):
        people = np.arange(10) if event == 0 else (np.arange(10) + 10 - common)
        rows = np.flatnonzero((seen.camera // 2 == event) & np.isin(who, people))
        features = seen.features[rows] + light[event]
        found.append((observe(features, seen.camera[rows], seen.start[rows], seen.end[rows]), who[rows]))
    return found


def candidates(common, seed, least=0.7):
    events = two_events(common, seed)
    shown = {f"e{k}": portraits(seen, who, 0.5) for k, (seen, who) in enumerate(events)}
    return returning(shown, least)


@pytest.mark.parametrize("common", [0, 1, 4, 10])
def test_who_stands_in_two_events_is_found(common):
    found = [candidates(common, seed) for seed in range(4)]
    right = sum(one.cluster == one.other_cluster for one in itertools.chain(*found))
    assert right >= 0.75 * common * len(found)
    assert sum(map(len, found)) - right <= len(found) / 2, "a chance likeness in every second pair of events at most"
    for some in found:
        assert [one.probability for one in some] == sorted((one.probability for one in some), reverse=True)
        assert len({one.cluster for one in some}) == len({one.other_cluster for one in some}) == len(some)


def test_portraits_are_those_of_plain_loops():
    seen, who = made_up_event(5, 2, 0)
    cluster = np.where(who == 4, -1, who + 3)
    found = portraits(seen, cluster, 0.5)
    assert found.cluster.tolist() == [3, 4, 5, 6]
    assert np.linalg.norm(found.looks, axis=1) == pytest.approx(np.ones(4))
    for k, number in enumerate(found.cluster):
        beside = set()
        for i, j in itertools.permutations(range(len(who)), 2):
            together = min(seen.end[i], seen.end[j]) - max(seen.start[i], seen.start[j])
            shorter = min(seen.end[i] - seen.start[i], seen.end[j] - seen.start[j])
            here = seen.camera[i] == seen.camera[j] and together > min(0.5, shorter / 2)
            if here and cluster[i] == number != cluster[j] >= 0:
                beside.add(cluster[j] - 3)
        assert found.rival[k] == pytest.approx(max(found.looks[k] @ found.looks[m] for m in beside))


def test_nothing_is_said_where_nobody_was_seen_beside_anybody():
    alone = Portraits(np.arange(2), np.eye(2), np.full(2, -np.inf))
    assert returning({"a": alone, "b": alone}, 0.0) == []
    nobody = Portraits(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))
    some = Portraits(np.arange(2), np.eye(2), np.zeros(2))
    assert returning({"a": some, "b": nobody}, 0.0) == []
    assert len(returning({"a": some, "b": alone, "c": some}, 0.5)) == 6


def test_an_event_without_identities_has_no_portraits():
    seen, who = made_up_event(3, 2, 0)
    found = portraits(seen, np.full(len(who), -1), 0.5)
    assert found.looks.shape == (0, seen.features.shape[1])
