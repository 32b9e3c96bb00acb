"""Average linkage against its definition: every pair of clusters, every time."""

import numpy as np
import pytest

from reidkit.toolkit.linking import linkage
from reidkit.toolkit.linking.constraints import Conflicts
from reidkit.toolkit.linking.linkage import Nodes, merge_alike, merge_in_windows


def naive(nodes, forbidden, threshold, least):
    """Merges the most similar allowed pair of clusters, one pair after the other."""
    groups = [[i] for i in range(len(nodes))]
    while len(groups) > least:
        best = None
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if forbidden[np.ix_(groups[a], groups[b])].any():
                    continue
                sums = [nodes.mass[group] @ nodes.means[group] for group in (groups[a], groups[b])]
                mean = sums[0] @ sums[1]
                mean /= nodes.mass[groups[a]].sum() * nodes.mass[groups[b]].sum()
                if best is None or mean > best[0]:
                    best = mean, a, b
        if best is None or best[0] < threshold:
            break
        groups[best[1]] += groups.pop(best[2])
    return sorted(sorted(group) for group in groups)


def members(label):
    return sorted(np.flatnonzero(label == k).tolist() for k in np.unique(label))


def made_up(seed, n, share):
    """Random unit embeddings with random weights, and a share of the pairs forbidden."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    mass = rng.random(n) + 0.1
    forbidden = np.triu(rng.random((n, n)) < share, 1)
    conflicts = Conflicts.between(n, *np.nonzero(forbidden))
    return Nodes(features, mass, rng.random(n)), conflicts, forbidden | forbidden.T


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_linkage_is_that_of_the_definition(seed, share):
    nodes, conflicts, forbidden = made_up(seed, 24, share)
    for threshold, least in ((0.3, 1), (0.3, 12), (-np.inf, 5), (-np.inf, 1)):
        fast = merge_alike(nodes, conflicts, threshold, least)
        assert members(fast) == naive(nodes, forbidden, threshold, least)


def test_small_blocks_change_nothing(monkeypatch):
    nodes, conflicts, _ = made_up(3, 40, 0.1)
    whole = merge_alike(nodes, conflicts, 0.1)
    monkeypatch.setattr(linkage, "BLOCK", 90)
    assert (merge_alike(nodes, conflicts, 0.1) == whole).all()


def test_equal_embeddings_come_to_an_end():
    nodes = Nodes(np.ones((50, 3)), np.ones(50), np.arange(50.0))
    nothing = np.zeros(0, np.int64)
    assert members(merge_alike(nodes, Conflicts(50, nothing, nothing), 0.5)) == [list(range(50))]


@pytest.mark.parametrize("seed", range(4))
def test_windows_keep_the_constraints_and_find_what_is_clearly_apart(seed, monkeypatch):
    """Ten people as far apart as can be, in windows much smaller than the event."""
    monkeypatch.setattr(linkage, "WINDOW", 30)
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 10, 400)
    mass = rng.random(400) + 0.5
    features = np.eye(10)[who] + 0.1 * rng.normal(size=(400, 10))
    nodes = Nodes(features, mass, np.arange(400.0))
    one, other = np.nonzero(np.triu(who[:, None] != who[None], 1) & (rng.random((400, 400)) < 0.05))
    label = merge_in_windows(nodes, Conflicts.between(400, one, other), 0.4)
    assert members(label) == members(who)
    one, other = np.array([0, 0, 399]), np.array([399, 200, 200])  # and three that nothing tells apart
    features[[0, 200, 399]] = features[0]
    nodes = Nodes(features, mass, np.arange(400.0))
    label = merge_in_windows(nodes, Conflicts.between(400, one, other), 0.4)
    assert len(set(label[[0, 200, 399]])) == 3


def test_windows_leave_as_many_clusters_as_are_asked_for(monkeypatch):
    monkeypatch.setattr(linkage, "WINDOW", 30)
    nodes, conflicts, _ = made_up(1, 200, 0.0)
    assert len(np.unique(merge_in_windows(nodes, conflicts, -np.inf, 7))) == 7


def test_what_nothing_is_like_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(linkage, "WINDOW", 30)
    monkeypatch.setattr(linkage, "MOST", 50)
    nodes, conflicts, _ = made_up(2, 120, 0.0)
    assert members(merge_in_windows(nodes, conflicts, 1.1)) == [[i] for i in range(120)]


def test_merged_nodes_are_sums_and_means():
    nodes = Nodes(np.arange(8.0).reshape(4, 2), np.array([1.0, 2, 3, 4]), np.array([0.0, 10, 20, 30]))
    merged = nodes.merged(np.array([1, 0, -1, 1]), 2)
    assert merged.means.tolist() == [[2, 3], [24 / 5, 29 / 5]]
    assert merged.mass.tolist() == [2, 5]
    assert merged.time.tolist() == [10, 24]
