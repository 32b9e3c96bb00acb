"""The slow twin: a protocol in plain loops, as one would explain it to somebody."""

import math

import pytest


def slow_scores(
    distances, pids, cams, query_rows, gallery_rows, trapezoid=False, distractors=frozenset(), clothes="any", outfits=()
):
    """`distances[i][j]` of query i to gallery entry j -> (list of (row, AP, ranks, ranking), skipped).

    A pid below 0 is junk, and the rows of `distractors` match nobody. `outfits` below 0 are not known; where `clothes`
    asks for the same ones or for others, an entry of the query's person is a match or out.
    """

    def same(g, q):
        return g == q or (pids[g] == pids[q] and g not in distractors and q not in distractors)

    def matches(g, q):
        if not same(g, q) or cams[g] == cams[q]:
            return False
        if clothes == "any":
            return True
        known = outfits[g] >= 0 and outfits[q] >= 0
        return known and (outfits[g] == outfits[q] if clothes == "same" else outfits[g] != outfits[q])

    found, skipped = [], []
    for i, q in enumerate(query_rows):
        kept = [j for j, g in enumerate(gallery_rows) if pids[g] >= 0 and (matches(g, q) or not same(g, q))]
        kept.sort(key=lambda j: distances[i][j])  # Python's sort is stable: ties stay in gallery order
        ranks = [r for r, j in enumerate(kept, 1) if same(gallery_rows[j], q)]
        if not ranks:
            skipped.append(q)
            continue
        terms = []
        for k, rank in enumerate(ranks, 1):
            term = k / rank
            if trapezoid:
                term = (term + (1.0 if rank == 1 else (k - 1) / (rank - 1))) / 2
            terms.append(term)
        found.append((q, math.fsum(terms) / len(terms), ranks, [gallery_rows[j] for j in kept]))
    return found, skipped


def agree(scores, distances, pids, cams, query_rows, gallery_rows, *rules, top=10, **more):
    """Whether `scores` are those of the slow twin on these distances."""
    found, skipped = slow_scores(distances.tolist(), pids, cams, query_rows, gallery_rows, *rules, **more)
    assert scores.skipped == len(skipped)
    assert list(scores.skipped_rows) == skipped
    assert scores.queries == len(found)
    for ours, (row, ap, ranks, order) in zip(scores.per_query, found, strict=True):
        assert ours.index == row
        assert ours.rank == ranks[0]
        assert ours.ap == pytest.approx(100 * ap, abs=1e-10)
        assert list(ours.top) == order[:top]
    assert scores.mAP == pytest.approx(100 * math.fsum(f[1] for f in found) / len(found), abs=1e-10)
    for k in (1, 5, 10, 20):
        assert scores.cmc[k] == pytest.approx(100 * sum(f[2][0] <= k for f in found) / len(found), abs=1e-10)
    assert scores.mINP == pytest.approx(100 * math.fsum(len(f[2]) / f[2][-1] for f in found) / len(found), abs=1e-10)
