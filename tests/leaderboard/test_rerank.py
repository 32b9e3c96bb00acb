"""Re-ranking against the paper's equations in plain loops."""

import math

import numpy as np
import pytest

from reidkit.leaderboard.rerank import rerank_distances


def slow_rerank(original, queries, entries, k1, k2, weight):
    """`original` [N][N]: distances of all rows, divided by each row's largest."""
    count = len(original)
    ranked = [sorted(range(count), key=lambda j, i=i: original[i][j]) for i in range(count)]

    def reciprocal(i, k):
        return {j for j in ranked[i][: k + 1] if i in ranked[j][: k + 1]}

    encodings = []
    for i in range(count):
        start = reciprocal(i, k1)
        expanded = set(start)
        for c in start:
            near = reciprocal(c, round(k1 / 2))
            if len(near & start) > 2 / 3 * len(near):
                expanded |= near
        weights = {j: math.exp(-original[i][j]) for j in expanded}
        total = sum(weights.values())
        encodings.append([weights.get(j, 0.0) / total for j in range(count)])
    if k2 > 1:
        encodings = [[sum(encodings[n][j] for n in ranked[i][:k2]) / k2 for j in range(count)] for i in range(count)]
    result = []
    for q in queries:
        row = []
        for g in entries:
            low = sum(min(a, b) for a, b in zip(encodings[q], encodings[g], strict=True))
            high = sum(max(a, b) for a, b in zip(encodings[q], encodings[g], strict=True))
            row.append((1 - weight) * (1 - low / high) + weight * original[q][g])
        result.append(row)
    return np.array(result)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.3), (6, 3, 0.0), (3, 2, 1.0), (200, 50, 0.3)])
def test_agrees_with_the_plain_loops(metric, k1, k2, weight):
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(10, 6)), 5, axis=0) + 0.7 * rng.normal(size=(50, 6))
    queries, entries = np.arange(0, 50, 6), np.arange(2, 50)  # some queries stand in the gallery too, row 0 doesn't
    rows = np.union1d(queries, entries)
    x = features / np.linalg.norm(features, axis=1, keepdims=True) if metric == "cosine" else features
    x = x[rows]
    original = ((x[:, None] - x[None]) ** 2).sum(-1)
    original /= original.max(axis=1, keepdims=True)
    place = {row: i for i, row in enumerate(rows)}
    slow = slow_rerank(
        original.tolist(), [place[q] for q in queries], [place[g] for g in entries], min(k1, len(rows) - 1), k2, weight
    )
    fast = rerank_distances(features, queries, entries, metric, k1=k1, k2=k2, weight=weight, block=7)
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_two_rows():
    assert np.isfinite(rerank_distances(np.eye(2), np.array([0]), np.array([1]))).all()


def test_identical_rows_give_no_nan():
    assert np.isfinite(rerank_distances(np.ones((9, 3)), np.arange(3), np.arange(9))).all()
