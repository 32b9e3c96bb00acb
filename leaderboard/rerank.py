"""k-reciprocal re-ranking, of Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with …", CVPR 2017.

    distances = rerank_distances(features, query_rows, gallery_rows, "cosine")

Choices that the paper leaves open: every tracklet takes part once, though queries may stand in the gallery too; the
original distance is the squared Euclidean one, divided by its largest value in the row (1 - cosine for cosine
features, which is half of it and ranks alike); ties among neighbours go to the earlier row.
"""

import numpy as np
from scipy import sparse

from .distances import FeatureDistances

K1, K2, LAMBDA = 20, 6, 0.3


def rerank_distances(
    features: np.ndarray,
    query_rows: np.ndarray,
    gallery_rows: np.ndarray,
    metric: str = "cosine",
    *,
    k1: int = K1,
    k2: int = K2,
    weight: float = LAMBDA,
    block: int = 1024,
) -> np.ndarray:
    """float32 [Q, G]: (1 - weight) x Jaccard distance of k-reciprocal encodings + weight x original (equation 12).

    Memory grows with Q x G, never with (Q + G)^2.
    """
    rows = np.union1d(query_rows, gallery_rows)
    source = FeatureDistances(features, rows, rows, metric)
    count = len(rows)
    k1, k2 = min(k1, count - 1), min(k2, count)
    neighbours = np.empty((count, k1 + 1), np.int64)
    largest = np.empty(count, np.float32)
    for start in range(0, count, block):
        part = np.maximum(source.block(start, min(start + block, count), 0, count), 0)
        largest[start : start + block] = np.maximum(part.max(axis=1), np.finfo(np.float32).tiny)
        neighbours[start : start + block] = _nearest(part, k1 + 1)
    encodings = _encode(source, neighbours, largest, k1)
    if k2 > 1:
        # local query expansion (equation 11): the mean of the encodings of the k2 nearest
        average = sparse.csr_matrix(
            (np.full(count * k2, 1 / k2), neighbours[:, :k2].ravel(), np.arange(count + 1) * k2), shape=(count, count)
        )
        encodings = sparse.csr_matrix(average @ encodings)
    queries, entries = np.searchsorted(rows, query_rows), np.searchsorted(rows, gallery_rows)
    original = FeatureDistances(features, query_rows, gallery_rows, metric)
    inverted = encodings[entries].tocsc()
    sums = np.asarray(encodings.sum(axis=1)).ravel()
    out = np.empty((len(queries), len(entries)), np.float32)
    for i, q in enumerate(queries):
        overlap = _overlap(encodings, inverted, q, len(entries))
        # sum of the larger = both sums - sum of the smaller (equation 10)
        out[i] = (1 - weight) * (1 - overlap / (sums[q] + sums[entries] - overlap))
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        distances = np.maximum(original.block(start, stop, 0, len(entries)), 0)
        out[start:stop] += weight * (distances / largest[queries[start:stop], None])
    return out


def _nearest(distances: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k smallest of each row, in order, ties to the earlier column: a stable sort's first k."""
    bound = np.partition(distances, k - 1, axis=1)[:, k - 1]
    nearest = np.empty((len(distances), k), np.int64)
    for i, row in enumerate(distances):
        columns = np.flatnonzero(row <= bound[i])
        nearest[i] = columns[np.argsort(row[columns], kind="stable")[:k]]
    return nearest


def _reciprocal(neighbours: np.ndarray, k: int) -> sparse.csr_matrix:
    """bool [N, N]: j is among i's k nearest (itself the first) and i among j's (equation 3)."""
    count, k = len(neighbours), k + 1
    ones = np.ones(count * k, np.int32)
    near = sparse.csr_matrix((ones, neighbours[:, :k].ravel(), np.arange(count + 1) * k), shape=(count, count))
    return near.multiply(near.T).tocsr()


def _encode(source: FeatureDistances, neighbours: np.ndarray, largest: np.ndarray, k1: int) -> sparse.csr_matrix:
    """Gaussian weights over each row's expanded k-reciprocal set (equations 4 and 7), rows summing to one."""
    count = len(neighbours)
    full, half = _reciprocal(neighbours, k1), _reciprocal(neighbours, round(k1 / 2))
    half_sizes = np.diff(half.indptr)
    shared = (full @ half.T).tocoo()  # |R(i, k1) and R(c, k1/2)|
    candidate = np.asarray(full[shared.row, shared.col]).ravel() > 0
    enough = candidate & (3 * shared.data > 2 * half_sizes[shared.col])
    chosen = sparse.csr_matrix(
        (np.ones(enough.sum(), np.int32), (shared.row[enough], shared.col[enough])), shape=(count, count)
    )
    expanded = (full + chosen @ half).tocoo()
    distances = np.maximum(source.pairs(expanded.row, expanded.col), 0)  # of a row to itself it may be -1e-9
    values = np.exp(-distances / largest[expanded.row]).astype(np.float64)
    encoded = sparse.csr_matrix((values, (expanded.row, expanded.col)), shape=(count, count))
    sums = np.asarray(encoded.sum(axis=1)).ravel()
    return sparse.diags(1 / np.maximum(sums, np.finfo(float).tiny)) @ encoded


def _overlap(encodings: sparse.csr_matrix, inverted: sparse.csc_matrix, row: int, width: int) -> np.ndarray:
    """Sum over dimensions of the smaller of two encodings, of one row with every entry."""
    first, last = encodings.indptr[row], encodings.indptr[row + 1]
    dimensions, values = encodings.indices[first:last], encodings.data[first:last]
    starts, stops = inverted.indptr[dimensions], inverted.indptr[dimensions + 1]
    lengths = stops - starts
    offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = np.repeat(starts, lengths) + offset
    smaller = np.minimum(inverted.data[at], np.repeat(values, lengths))
    return np.bincount(inverted.indices[at], weights=smaller, minlength=width)
