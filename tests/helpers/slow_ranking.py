"""The slow twin: a protocol in plain loops, as one would explain it to somebody."""

import math


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
