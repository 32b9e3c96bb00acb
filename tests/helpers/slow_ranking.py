"""The slow twin: a protocol in plain loops, as one would explain it to somebody."""

import math


def slow_scores(distances, pids, cams, query_rows, gallery_rows, trapezoid=False, distractors=frozenset()):
    """`distances[i][j]` of query i to gallery entry j -> (list of (row, AP, ranks, ranking), skipped).

    A pid below 0 is junk, and the rows of `distractors` match nobody.
    """

    def same(g, q):
        return g == q or (pids[g] == pids[q] and g not in distractors and q not in distractors)

    found, skipped = [], []
    for i, q in enumerate(query_rows):
        kept = [j for j, g in enumerate(gallery_rows) if pids[g] >= 0 and not (same(g, q) and cams[g] == cams[q])]
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
