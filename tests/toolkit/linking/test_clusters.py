"""Clusters whose sums follow every move, and what refines and completes them."""

import numpy as np
import pytest

from reidkit.toolkit.linking import clusters as module
from reidkit.toolkit.linking.clusters import UNDECIDED, Clusters, attach, refine
from reidkit.toolkit.linking.constraints import Conflicts
from reidkit.toolkit.linking.linkage import Nodes


def made_up(seed, n=30, count=4, share=0.05):
    """Units of one or several tracklets (means shorter than 1) in random clusters, some of them in none."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5))
    features *= rng.uniform(0.7, 1, (n, 1)) / np.linalg.norm(features, axis=1, keepdims=True)
    mass = rng.random(n) + 0.2
    conflicts = Conflicts.between(n, *np.nonzero(np.triu(rng.random((n, n)) < share, 1)))
    label = np.concatenate([np.arange(count), rng.integers(UNDECIDED, count, n - count)])
    return Clusters(Nodes(features, mass, np.arange(n)), conflicts, label)


def plain_fit(clusters, unit, without=None):
    """Mean similarity to each cluster, tracklet by tracklet."""
    found = []
    for cluster in range(len(clusters)):
        others = [i for i in np.flatnonzero(clusters.label == cluster) if i not in (unit, without)]
        total = sum(clusters.nodes.mass[i] * (clusters.nodes.means[i] @ clusters.nodes.means[unit]) for i in others)
        found.append(total / sum(clusters.nodes.mass[i] for i in others) if others else -np.inf)
    return np.array(found)


@pytest.mark.parametrize("seed", range(4))
def test_fit_follows_every_move(seed):
    clusters = made_up(seed)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        clusters.move(int(rng.integers(30)), int(rng.integers(UNDECIDED, 4)))
    for unit in range(30):
        assert clusters.fit(unit) == pytest.approx(plain_fit(clusters, unit))
        assert clusters.fit(unit, without=0) == pytest.approx(plain_fit(clusters, unit, without=0))
    assert clusters.size.tolist() == [(clusters.label == k).sum() for k in range(4)]


def conflicting(clusters):
    one, other = clusters.label[clusters.conflicts.first], clusters.label[clusters.conflicts.second]
    return int(((one == other) & (one >= 0)).sum())


@pytest.mark.parametrize("block", [16_000_000, 1])
@pytest.mark.parametrize("seed", range(6))
def test_refining_keeps_the_conflicts_and_all_clusters(seed, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    clusters = made_up(seed)
    clusters.expel()
    assert conflicting(clusters) == 0
    there = set(np.unique(clusters.label))
    refine(clusters)
    assert conflicting(clusters) == 0
    assert set(np.unique(clusters.label)) == there


@pytest.mark.parametrize("seed", range(4))
def test_refining_brings_strays_home(seed):
    rng = np.random.default_rng(seed)
    who = np.arange(60) % 4
    features = np.eye(4)[who] + 0.05 * rng.normal(size=(60, 4))
    label = np.where(rng.random(60) < 0.3, rng.integers(0, 4, 60), who)
    apart = np.triu(who[:, None] != who[None], 1) & (rng.random((60, 60)) < 0.03)
    clusters = Clusters(Nodes(features, np.ones(60), np.arange(60)), Conflicts.between(60, *np.nonzero(apart)), label)
    clusters.expel()
    refine(clusters)
    assert conflicting(clusters) == 0
    home = clusters.label == who
    assert (home | (clusters.label == UNDECIDED)).all()


def test_refining_swaps_two_that_forbid_each_other():
    # Units 0 and 1 were given each other's cluster; neither can move alone.
    features = np.eye(2)[[0, 1, 1, 0, 1, 0]]
    conflicts = Conflicts.between(6, np.array([0, 2, 4]), np.array([1, 3, 5]))
    clusters = Clusters(Nodes(features, np.ones(6), np.arange(6)), conflicts, np.array([0, 1, 0, 1, 0, 1]))
    refine(clusters)
    assert clusters.label.tolist() == [1, 0, 0, 1, 0, 1]


def test_a_unit_alone_in_its_cluster_stays():
    clusters = Clusters(Nodes(np.ones((3, 2)), np.ones(3), np.arange(3)), nothing(3), np.array([0, 1, 1]))
    refine(clusters)
    assert clusters.label.tolist() == [0, 1, 1]


def nothing(count):
    return Conflicts(count, np.zeros(0, np.int64), np.zeros(0, np.int64))


def test_expelling_takes_the_one_that_fits_less():
    features = np.array([[1.0, 0], [1, 0], [1, 0], [0.6, 0.8]])
    conflicts = Conflicts.between(4, np.array([0]), np.array([3]))
    clusters = Clusters(Nodes(features, np.ones(4), np.arange(4)), conflicts, np.zeros(4))
    clusters.expel()
    assert clusters.label.tolist() == [0, 0, 0, UNDECIDED]


def test_few_conflicts_of_large_clusters_can_be_tolerated():
    label = np.repeat([0, 1, 2], 100)
    first, second = np.array([0, 1, 2, *range(100, 150)]), np.array([100, 101, 102, *range(200, 250)])
    clusters = Clusters(
        Nodes(np.ones((300, 2)), np.ones(300), np.arange(300)), Conflicts.between(300, first, second), label
    )
    assert clusters.conflicts_between().first.tolist() == [0, 1]
    assert clusters.conflicts_between(0.05).first.tolist() == [1]
    assert clusters.conflicts_between(0.02).second.tolist() == [1, 2]


@pytest.mark.parametrize("seed", range(4))
def test_cohesion_is_the_mean_similarity_of_two_units(seed):
    clusters = made_up(seed)
    for cluster, found in enumerate(clusters.cohesion()):
        inside = np.flatnonzero(clusters.label == cluster)
        mass, means = clusters.nodes.mass[inside], clusters.nodes.means[inside]
        pair = np.outer(mass, mass) * ~np.eye(len(inside), dtype=bool)
        assert found == pytest.approx((pair * (means @ means.T)).sum() / pair.sum() if len(inside) > 1 else np.inf)


def test_attaching_needs_a_clear_best():
    features = np.array([[1.0, 0], [0, 1], [0.9, 0.1], [0.7, 0.72], [0.1, 0.9], [-1, -1]])
    conflicts = Conflicts.between(6, np.array([4]), np.array([1]))
    clusters = Clusters(Nodes(features, np.ones(6), np.arange(6)), conflicts, np.array([0, 1, *[UNDECIDED] * 4]))
    attach(clusters, threshold=0.3, margin=0.2)
    # The third is clearly the first's; then one between the two, one that may not join the second, and one like nobody.
    assert clusters.label.tolist() == [0, 1, 0, UNDECIDED, UNDECIDED, UNDECIDED]


def test_dissolved_and_merged_clusters_are_numbered_anew():
    clusters = made_up(0)
    label = clusters.label.copy()
    merged = clusters.merged(np.array([9, UNDECIDED, 5, 9]))
    assert len(merged) == 2
    assert merged.label.tolist() == [{0: 1, 2: 0, 3: 1}.get(k, UNDECIDED) for k in label]
