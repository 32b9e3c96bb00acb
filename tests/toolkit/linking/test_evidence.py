"""What speaks for and against a linking, beside plain loops over units and clusters."""

import itertools

import numpy as np
import pytest

from reidkit.toolkit.linking import evidence as module
from reidkit.toolkit.linking.constraints import Conflicts
from reidkit.toolkit.linking.evidence import Grouping, compare, halves, pair_evidence
from reidkit.toolkit.linking.linkage import Nodes


def grouping(seed, n=60, count=5, cameras=3, share=0.03, numbers=6):
    """Units in random clusters that conflict within none, some of them in none."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(count), rng.integers(-1, count, n - count)])
    first, second = np.nonzero(np.triu(rng.random((n, n)) < share, 1))
    apart = (label[first] != label[second]) | (label[first] < 0)
    features = rng.normal(size=(n, numbers)) + rng.normal(size=(count + 1, numbers))[label]
    features *= rng.uniform(0.7, 1, (n, 1)) / np.linalg.norm(features, axis=1, keepdims=True)
    conflicts = Conflicts.between(n, first[apart], second[apart])
    nodes = Nodes(features, rng.random(n) + 0.2, np.arange(n))
    return Grouping(nodes, conflicts, rng.integers(0, cameras, n), rng.uniform(0.3, 5, n), label)


def similarity(g, unit, others):
    mass = g.nodes.mass[others]
    return float(mass @ (g.nodes.means[others] @ g.nodes.means[unit]) / mass.sum()) if len(others) else np.nan


@pytest.mark.parametrize("block", [16_000_000, 1])
def test_a_unit_is_compared_with_the_rest_of_its_cluster_and_with_those_it_may_join(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    g = grouping(0)
    n = len(g.label)
    found = compare(g, g.nodes.means, g.nodes.mass, g.label, g.forbidden(np.arange(n), n, np.ones(n)))
    for unit in range(n):
        rest = np.array([i for i in np.flatnonzero(g.label == g.label[unit]) if i != unit and g.label[unit] >= 0], int)
        assert found.own[unit] == pytest.approx(similarity(g, unit, rest), nan_ok=True)
        rivals = {int(g.label[i]) for i in g.conflicts.of(unit)}
        free = [k for k in range(g.count) if k != g.label[unit] and k not in rivals]
        fits = [similarity(g, unit, np.flatnonzero(g.label == k)) for k in free]
        assert found.rivals[unit] == len(free)
        assert found.other[unit] == pytest.approx(max(fits, default=-np.inf))
        assert found.target[unit] == (free[int(np.argmax(fits))] if free else -1)


def test_different_people_are_read_off_the_conflicts():
    g = grouping(1, share=0.3)
    n = len(g.label)
    found = compare(g, g.nodes.means, g.nodes.mass, g.label, g.forbidden(np.arange(n), n, np.ones(n)))
    values, weights = [], []
    for unit in range(n):
        for k in {int(g.label[i]) for i in g.conflicts.of(unit)} - {-1}:
            values.append(similarity(g, unit, np.flatnonzero(g.label == k)))
            weights.append(g.nodes.mass[unit])
    mean = np.average(values, weights=weights)
    assert found.different.mean == pytest.approx(mean)
    assert found.different.std == pytest.approx(np.sqrt(np.average((np.array(values) - mean) ** 2, weights=weights)))


def test_a_part_is_what_one_camera_saw_of_a_cluster():
    g = grouping(2)
    found = g.parts
    for part in range(len(g.part_mass)):
        rows = np.flatnonzero(g.part == part)
        assert (g.label[rows] == g.part_cluster[part]).all()
        rest = np.flatnonzero((g.label == g.part_cluster[part]) & (g.part != part))
        mass = g.nodes.mass[rows]
        own = sum(m * similarity(g, i, rest) for i, m in zip(rows, mass, strict=True)) / mass.sum()
        assert found.own[part] == pytest.approx(own, nan_ok=True)


def test_pairs_of_clusters_say_how_much_of_them_is_disputed():
    g = grouping(3, share=0.02)
    one, other, table = pair_evidence(g)
    assert {tuple(sorted(p)) for p in zip(one.tolist(), other.tolist(), strict=True)} <= set(
        itertools.combinations(range(g.count), 2)
    )
    for row, (a, b) in enumerate(zip(one, other, strict=True)):
        at_odds = [
            sum(g.nodes.mass[i] for i in np.flatnonzero(g.label == x) if (g.label[g.conflicts.of(i)] == y).any())
            for x, y in ((a, b), (b, a))
        ]
        least = min(at_odds) / min(g.mass[a], g.mass[b])
        assert table["never together"][row] == (least == 0)
        assert table["disputed"][row] == pytest.approx(np.log(least + 0.02))
        assert table["disputed more"][row] == pytest.approx(
            np.log(max(at_odds[0] / g.mass[a], at_odds[1] / g.mass[b]) + 0.02)
        )


def test_a_cluster_of_two_people_falls_into_them():
    rng = np.random.default_rng(0)
    people = np.repeat([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], [12, 5], axis=0) + 0.1 * rng.normal(size=(17, 4))
    alone = np.eye(4)[[3, 2]]
    nodes = Nodes(np.concatenate([people, alone]), np.ones(19), np.arange(19))
    none = np.zeros(0, np.int64)
    g = Grouping(nodes, Conflicts(19, none, none), np.zeros(19), np.ones(19), np.array([0] * 17 + [1, -1]))
    cross, cosine, within, minor = halves(g)
    assert minor[0] == pytest.approx(5 / 17)
    assert abs(cross[0]) < 0.2 < 0.7 < within[0]
    assert abs(cosine[0]) < 0.2
    assert np.isnan(cross[1])


def test_nothing_depends_on_the_scale_of_similarities():
    """What is common to all shrinks every difference alike; the evidence stays."""
    g = grouping(4, share=0.3)
    n = len(g.label)
    shrunk = np.concatenate([0.3 * g.nodes.means, np.full((n, 1), 0.9)], axis=1)
    h = Grouping(Nodes(shrunk, g.nodes.mass, g.nodes.time), g.conflicts, g.part, g.seconds, g.label)
    units = g.forbidden(np.arange(n), n, np.ones(n))
    one, two = (compare(x, x.nodes.means, x.nodes.mass, x.label, units) for x in (g, h))
    inside = np.isfinite(one.own)
    assert two.different.above(two.own[inside]) == pytest.approx(one.different.above(one.own[inside]), abs=1e-6)
