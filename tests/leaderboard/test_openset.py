"""TPR at bounded rates of wrong pairs: against loops over all pairs and scikit-learn, and where it can't be told."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from reidkit.leaderboard import openset
from reidkit.leaderboard.distances import FeatureDistances, GivenDistances
from reidkit.leaderboard.ranking import match_lists, score


def made_up(rng, people=45, each=8, cameras=3, noise=0.8, strangers=20):
    """Features, pids, camids, is_query and kinds of a test set; some distractors, some junk."""
    pids = np.repeat(np.arange(1, people + 1), each)
    centres = rng.normal(size=(people, 8))
    features = centres[pids - 1] + noise * rng.normal(size=(len(pids), 8))
    others = rng.normal(size=(strangers, 8))
    pids = np.concatenate([pids, np.where(np.arange(strangers) % 2, 0, -1)])
    camids = rng.integers(0, cameras, len(pids))
    is_query = (pids > 0) & (rng.random(len(pids)) < 0.9)
    return np.concatenate([features, others]).astype(np.float32), pids, camids, is_query


def listed(features, pids, camids, is_query, queries_stay=True):
    """(distance, whether one person) of every pair that a protocol of the MARS rule ranks, in plain loops."""
    rows = np.asarray(features, np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = []
    for q in np.flatnonzero(is_query):
        for g in range(len(pids)):
            if pids[g] < 0 or (is_query[g] and not queries_stay) or (pids[g] == pids[q] and camids[g] == camids[q]):
                continue
            found.append((float(np.float32(1 - rows[q] @ rows[g])), bool(pids[g] == pids[q])))
    return found


def slow_point(pairs, rate):
    """The largest distance of a pair at which no more than the rate of negatives is accepted: (TPR, distance)."""
    pairs = sorted(pairs)
    positives = sum(same for _, same in pairs)
    negatives = len(pairs) - positives
    best, right, wrong = (0.0, None), 0, 0
    for i, (distance, same) in enumerate(pairs):
        right, wrong = right + same, wrong + (not same)
        if i + 1 < len(pairs) and pairs[i + 1][0] == distance:
            continue
        if wrong * round(1 / rate) > negatives:
            break
        best = 100 * right / positives, distance
    return best


@pytest.mark.parametrize("protocol", ["mars", "mars-torchreid"])
def test_it_equals_loops_over_all_pairs_and_scikit_learn(protocol):
    features, pids, camids, is_query = made_up(np.random.default_rng(0))
    pairs = listed(features, pids, camids, is_query, queries_stay=protocol == "mars")
    found = score(features, pids, camids, is_query, protocol, pairs=True).pairs
    truth = np.array([same for _, same in pairs])
    assert (found.positives, found.negatives) == (truth.sum(), (~truth).sum())
    fpr, tpr, bounds = roc_curve(truth, [-d for d, _ in pairs], drop_intermediate=False)
    told = 0
    for point in found.points:
        if found.negatives < 10 / point.fpr:
            assert point.tpr is point.threshold is None
            assert "too few" in point.reason
            continue
        told += 1
        expected, threshold = slow_point(pairs, point.fpr)
        assert point.tpr == pytest.approx(expected)
        assert point.threshold == pytest.approx(threshold, abs=1e-7)
        assert point.tpr == pytest.approx(100 * tpr[fpr <= point.fpr].max())
        assert point.threshold == pytest.approx(-bounds[fpr <= point.fpr][-1], abs=1e-7)
    assert told == (3 if protocol == "mars" else 2)


def given(rng, queries=60, entries=80, digits=None):
    """Distances of made-up pairs, some of them the same, with their matches and removed pairs."""
    distances = rng.normal(size=(queries, entries)).astype(np.float32)  # negative ones, too
    pids, camids = rng.integers(0, 6, queries + entries), rng.integers(0, 2, queries + entries)
    rows, columns = np.arange(queries), np.arange(queries, queries + entries)
    same = pids[rows][:, None] == pids[columns]
    distances[same] -= 1
    if digits is not None:
        distances = np.round(distances, digits)
    matches, removed = match_lists(pids, camids, rows, columns)
    kept = ~(same & (camids[rows][:, None] == camids[columns]))
    pairs = list(zip(distances[kept].tolist(), same[kept].tolist(), strict=True))
    return GivenDistances(distances), matches, removed, pairs


@pytest.mark.parametrize("digits", [None, 1, 0])
@pytest.mark.parametrize("seed", range(4))
def test_ties_and_blocks_of_any_size(monkeypatch, digits, seed):
    monkeypatch.setattr(openset, "NEGATIVES_A_RATE", 0.1)  # all three, of few pairs
    source, matches, removed, pairs = given(np.random.default_rng(seed), digits=digits)
    found = openset.open_set(source, matches, removed)
    assert found == openset.open_set(source, matches, removed, block_queries=7, block_columns=11)
    for point in found.points:
        expected, threshold = slow_point(pairs, point.fpr)
        assert point.tpr == pytest.approx(expected)
        assert point.threshold == threshold
        if threshold is None:
            assert "smallest distance of all" in point.reason


def test_features_that_are_all_one_find_nobody():
    features, pids, camids, is_query = made_up(np.random.default_rng(1))
    found = score(np.ones_like(features), pids, camids, is_query, "mars", pairs=True).pairs
    assert [(p.tpr, p.threshold) for p in found.points] == [(0.0, None)] * 3
    assert all("smallest distance of all" in p.reason for p in found.points)


@pytest.mark.parametrize("negatives", [999, 1000])
def test_ten_false_positives_are_what_a_rate_must_stand_for(negatives):
    distances = np.linspace(0, 1, negatives + 1, dtype=np.float32)[None]
    pids = np.array([1, 1, *range(2, negatives + 2)])
    camids = np.array([0, *[1] * (negatives + 1)])
    matches, removed = match_lists(pids, camids, np.array([0]), np.arange(1, negatives + 2))
    point, *others = openset.open_set(GivenDistances(distances), matches, removed).points
    assert [p.tpr for p in others] == [None, None]
    if negatives == 999:
        assert point == openset.OperatingPoint(
            0.01, None, None, "999 pairs of different people are too few; 1,000 are needed."
        )
    else:
        assert (point.tpr, point.threshold) == (100.0, float(distances[0, 10]))  # the match and ten others


def test_euclidean_thresholds_are_plain_distances():
    features, pids, camids, is_query = made_up(np.random.default_rng(2))
    large = 300 * features
    points = score(large, pids, camids, is_query, "mars", metric="euclidean", pairs=True).pairs.points
    source = FeatureDistances(large, np.array([0]), np.array([1]), "euclidean")
    plain = float(np.linalg.norm(large[0].astype(float) - large[1]))
    assert source.plain(float(source.block(0, 1, 0, 1)[0, 0])) == pytest.approx(plain, rel=1e-5)
    assert 100 < points[0].threshold < 5000


@pytest.mark.parametrize(("held", "passes"), [(60 * 80, 1), (60 * 80 - 1, 2)])
def test_distances_of_few_pairs_are_taken_once(monkeypatch, held, passes):
    monkeypatch.setattr(openset, "NEGATIVES_A_RATE", 0.1)
    source, matches, removed, _ = given(np.random.default_rng(0))
    expected, asked = openset.open_set(source, matches, removed), []
    block = source.block
    monkeypatch.setattr(source, "block", lambda *at: asked.append(at) or block(*at))
    monkeypatch.setattr(openset, "HELD", held)
    assert openset.open_set(source, matches, removed, block_queries=30, block_columns=40) == expected
    assert len(asked) == passes * 2 * 2


def test_memory_does_not_grow_with_the_pairs(monkeypatch):
    monkeypatch.setattr(openset, "HELD", 0)

    def peak(entries):
        rng = np.random.default_rng(0)
        features = rng.normal(size=(200 + entries, 2)).astype(np.float32)
        source = FeatureDistances(features, np.arange(200), np.arange(200, 200 + entries))
        pids = np.arange(200 + entries) % 50 + 1000 * (np.arange(200 + entries) >= 250)  # the first 50 entries match
        matches, removed = match_lists(pids, np.arange(200 + entries) % 3, np.arange(200), source.gallery_rows)
        tracemalloc.start()
        openset.open_set(source, matches, removed, block_queries=50, block_columns=1000)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(20_000) < 1.2 * peak(5_000)  # of whole float32 distances it would be 12 MB more


def test_they_are_judged_only_where_asked_for():
    features, pids, camids, is_query = made_up(np.random.default_rng(0), people=5)
    assert score(features, pids, camids, is_query, "mars").pairs is None
