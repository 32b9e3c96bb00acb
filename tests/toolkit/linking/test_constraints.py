"""Which tracklets are one unit and which are two people, against the rule pair by pair."""

import numpy as np
import pytest
from observed import forbidden_pairs, observe

from reidkit.datasets import UsageError
from reidkit.toolkit.linking import constraints
from reidkit.toolkit.linking.constraints import Conflicts, seen_together, unit_conflicts, units_of
from reidkit.toolkit.linking.observations import people_at_once


def crowd(seed, n=60, cameras=3):
    """Tracklets of all lengths at all times, some of no length and some at the same moment."""
    rng = np.random.default_rng(seed)
    start = rng.random(n).round(1) * 20
    length = rng.exponential(3, n) * (rng.random(n) < 0.9)
    return observe(np.ones((n, 2)), rng.integers(0, cameras, n), start, start + length)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [4_000_000, 7])
def test_seen_together_is_the_rule_pair_by_pair(seed, block, monkeypatch):
    monkeypatch.setattr(constraints, "BLOCK", block)
    seen = crowd(seed)
    found = np.zeros((60, 60), bool)
    found[seen_together(seen, 0.5)] = True
    assert (found | found.T == forbidden_pairs(seen, 0.5)).all()
    assert not (found & found.T).any()  # each pair once


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ((0, 5), (4, 9), True),  # one second together
        ((0, 5), (5, 9), False),  # one after the other
        ((0, 5), (4.6, 9), False),  # a tracker's handover
        ((0, 5), (4.6, 5.3), True),  # as short, but more than half of the second
        ((0, 9), (3, 4), True),  # inside
    ],
)
def test_two_tracklets_of_a_camera(first, second, apart):
    seen = observe(np.eye(2), [0, 0], [first[0], second[0]], [first[1], second[1]])
    assert len(seen_together(seen, 0.5)[0]) == apart
    other_camera = observe(np.eye(2), [0, 1], [first[0], second[0]], [first[1], second[1]])
    assert not len(seen_together(other_camera, 0.5)[0])


def test_units_are_numbered_by_first_tracklet():
    assert units_of(np.array([-1, 7, -1, 2, 7, 2])).tolist() == [0, 1, 2, 3, 1, 3]
    assert units_of(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_conflicts_of_units_are_those_of_their_tracklets(seed):
    rng = np.random.default_rng(seed)
    n = 40
    start = rng.random(n) * 60
    must = np.where(rng.random(n) < 0.3, rng.integers(0, 30, n), -1)
    seen = observe(np.ones((n, 2)), np.arange(n) % 20, start, start + 2, must, np.where(must >= 0, must % 2, -1))
    unit = units_of(must)
    forbidden = forbidden_pairs(seen, 0.5)
    expected = {(min(unit[i], unit[j]), max(unit[i], unit[j])) for i, j in np.argwhere(forbidden)}
    if any(a == b for a, b in expected):
        with pytest.raises(UsageError, match="must be one person"):
            unit_conflicts(seen, unit, 0.5)
        return
    conflicts = unit_conflicts(seen, unit, 0.5)
    assert list(zip(conflicts.first.tolist(), conflicts.second.tolist(), strict=True)) == sorted(expected)
    for node in range(conflicts.count):
        assert set(conflicts.of(node)) == {a + b - node for a, b in expected if node in (a, b)}
    nodes = np.array([3, 0, 3])
    row, other = conflicts.of_all(nodes)
    assert [(int(r), int(o)) for r, o in zip(row, other, strict=True)] == [
        (k, int(o)) for k, node in enumerate(nodes) for o in conflicts.of(node)
    ]


def test_conflicts_of_clusters():
    conflicts = Conflicts.between(6, np.array([5, 0, 1, 3, 0]), np.array([0, 5, 2, 4, 1]))
    assert conflicts.first.tolist() == [0, 0, 1, 3]
    merged = conflicts.merged(np.array([0, 1, 1, -1, 2, 1]), 3)  # node 3 is in no cluster
    assert merged.first.tolist() == [0, 1]
    assert merged.second.tolist() == [1, 1]


def test_people_at_once():
    seen = observe(np.eye(4), [0, 0, 0, 1], [0, 1, 5, 0], [3, 5, 9, 1])  # the second ends as the third starts
    assert people_at_once(seen) == {0: 2, 1: 1}
