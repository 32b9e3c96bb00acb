"""Cameras that share nobody, or few, are told from those that share all."""

import numpy as np
import pytest
from observed import made_up_event, observe

from reidkit.toolkit.linking import LinkSettings, link
from reidkit.toolkit.linking.clusters import Clusters
from reidkit.toolkit.linking.constraints import unit_conflicts, units_of
from reidkit.toolkit.linking.linkage import Nodes
from reidkit.toolkit.linking.strangers import _most_similar_beside, _pairs_within, without_strangers


def two_cameras(common, *, people=20, seed=0, pieces=1, view=0.4):
    """Ten people a camera, of whom the first `common` are in both."""
    seen, who = made_up_event(people, 2, seed, pieces=pieces, view=view)
    here = np.where(seen.camera == 0, who < 10, (who >= 10 - common) & (who < 20 - common))
    rows = np.flatnonzero(here)
    return observe(seen.features[rows], seen.camera[rows], seen.start[rows], seen.end[rows]), who[rows]


def linked_pairs(seen, who, cluster):
    """Pairs across cameras: right ones, linked ones, and those there are."""
    across = np.triu(seen.camera[:, None] != seen.camera)
    linked = (cluster[:, None] == cluster) & (cluster[:, None] >= 0) & across
    true = (who[:, None] == who) & across
    return (linked & true).sum(), linked.sum(), true.sum()


@pytest.mark.parametrize("pieces", [0, 2])
@pytest.mark.parametrize("common", [0, 2, 5, 10])
def test_people_are_linked_and_strangers_are_not(common, pieces):
    counts = []
    for seed in range(4):
        seen, who = two_cameras(common, seed=seed, pieces=pieces)
        counts.append(linked_pairs(seen, who, link(seen, LinkSettings()).cluster))
    right, linked, true = np.sum(counts, axis=0)
    assert right >= 0.9 * true
    assert linked - right <= 0.1 * true + 2 * len(counts), "two chance links an event at the most"


def test_as_many_people_as_the_user_says_whether_strangers_or_not():
    seen, _ = two_cameras(0)
    cluster = link(seen, LinkSettings(people=12)).cluster
    assert len(np.unique(cluster[cluster >= 0])) == 12


def made_clusters(seed):
    seen, _ = made_up_event(6, 3, seed, view=1.0)
    rng = np.random.default_rng(seed)
    unit = units_of(seen.must)
    conflicts = unit_conflicts(seen, unit, 0.5)
    label = rng.integers(-1, 5, len(unit))
    clusters = Clusters(Nodes(seen.features, rng.random(len(unit)) + 0.1, seen.start), conflicts, label)
    clusters.expel()
    return clusters, seen.camera


@pytest.mark.parametrize("seed", range(5))
def test_most_similar_beside_is_that_of_plain_loops(seed):
    clusters, camera = made_clusters(seed)
    inside = clusters.label >= 0
    keys = sorted(set(zip(clusters.label[inside].tolist(), camera[inside].tolist(), strict=True)))
    part = np.array([keys.index((c, k)) if c >= 0 else -1 for c, k in zip(clusters.label, camera, strict=True)])
    looks = np.stack(
        [(clusters.nodes.mass[part == p, None] * clusters.nodes.means[part == p]).sum(0) for p in range(len(keys))]
    )
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    expected = np.full(len(keys), -np.inf)
    for a, b in zip(clusters.conflicts.first, clusters.conflicts.second, strict=True):
        if part[a] >= 0 and part[b] >= 0 and part[a] != part[b] and camera[a] == camera[b]:
            for p, q in ((part[a], part[b]), (part[b], part[a])):
                expected[p] = max(expected[p], looks[p] @ looks[q])
    assert _most_similar_beside(clusters, part, camera, looks) == pytest.approx(expected)


def test_pairs_within_are_those_of_one_owner():
    one, other = _pairs_within(np.array([0, 0, 0, 2, 5, 5]))
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_only_divided_between_cameras(seed):
    clusters, camera = made_clusters(seed)
    found = without_strangers(clusters, camera)
    assert ((found.label >= 0) == (clusters.label >= 0)).all()
    for number in range(len(found)):
        assert len(set(clusters.label[found.label == number])) == 1
    for number, view in {(n, k) for n, k in zip(clusters.label, camera, strict=True) if n >= 0}:
        assert len(set(found.label[(clusters.label == number) & (camera == view)])) == 1


def test_without_anybody_beside_anybody_nothing_is_divided():
    features = np.eye(4)[[0, 1, 0, 1]]
    seen = observe(features, [0, 0, 1, 1], [0, 5, 0, 5], [4, 9, 4, 9])
    conflicts = unit_conflicts(seen, units_of(seen.must), 0.5)
    clusters = Clusters(Nodes(seen.features, np.ones(4), seen.start), conflicts, np.array([0, 1, 1, 0]))
    assert without_strangers(clusters, seen.camera) is clusters
