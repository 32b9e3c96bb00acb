"""Distances between features whose bits do not depend on how they were computed.

    source = FeatureDistances(features, query_rows, gallery_rows, "cosine")
    source.block(0, 512, 0, 4096)          # float32 [512, 4096], made when asked for
    source.pairs(queries, entries)         # float32 [n], bit for bit what `block` has there

A matrix product in floating point changes its last digits with the block size, the library and the number of threads.
Ties between identical tracklets then break, and a score changes with the batch size. Here rows are put on a grid of
2**-26 of their norm, in float64: every product and every partial sum is an integer below 2**53 (Cauchy-Schwarz), so the
sum is exact in whatever order it is taken, on any machine. The rounding, 6e-9 on a cosine, is a tenth of float32's own.
"""

import numpy as np

COSINE_BITS = 26  # |x.y| <= 2**52
EUCLIDEAN_BITS = 25  # |x|^2 + |y|^2 - 2 x.y <= 4 * 2**50
LARGEST_SPREAD = 1e3  # of norms, above which a common grid would be too coarse for the small rows
_PAIR_ROWS = 8192  # pairs gathered at once
_NORM_ROWS = 16384


class FeatureDistances:
    """Distances from `features[query_rows]` to `features[gallery_rows]`.

    Args:
        features: [N, D], any float type, finite, no all-zero row under cosine.
        query_rows, gallery_rows: int [Q], [G].
        metric: "cosine" gives 1 - cos; "euclidean" gives the squared distance over a common power of four, which ranks
            alike. Where norms differ by more than a thousand, Euclidean distances leave the grid for plain float64.
        device: "cpu" or a torch device such as "cuda", on which `block` then lives.
    """

    def __init__(
        self,
        features: np.ndarray,
        query_rows: np.ndarray,
        gallery_rows: np.ndarray,
        metric: str = "cosine",
        device: str = "cpu",
    ):
        self.features, self.metric, self.device = features, metric, device
        self.query_rows, self.gallery_rows = np.asarray(query_rows), np.asarray(gallery_rows)
        self.norms = np.empty(len(features))
        for start in range(0, len(features), _NORM_ROWS):
            rows = features[start : start + _NORM_ROWS].astype(np.float64)
            self.norms[start : start + _NORM_ROWS] = np.sqrt(np.square(rows).sum(axis=1))
        largest = self.norms.max(initial=0.0)
        positive = self.norms[self.norms > 0]
        self.scale = 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 1.0
        self.on_grid = metric == "cosine" or not len(positive) or largest / np.median(positive) < LARGEST_SPREAD
        self._cached: tuple[int, int, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        return len(self.query_rows), len(self.gallery_rows)

    def only(self, queries: np.ndarray, entries: np.ndarray) -> "FeatureDistances":
        """The same distances for some of the queries and some of the gallery."""
        part = object.__new__(FeatureDistances)
        part.__dict__.update(self.__dict__, _cached=None)
        part.query_rows, part.gallery_rows = self.query_rows[queries], self.gallery_rows[entries]
        return part

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        x = self.features[rows].astype(np.float64)
        if self.metric == "cosine":
            x /= self.norms[rows][:, None]
            x *= 2.0**COSINE_BITS
        else:
            x *= (2.0**EUCLIDEAN_BITS if self.on_grid else 1.0) / self.scale
        return np.rint(x, out=x) if self.on_grid else x

    def _finish(self, product, squares=None):  # numpy arrays or torch tensors
        if self.metric == "cosine":
            product *= -(2.0 ** (-2 * COSINE_BITS))
            product += 1.0
            return product
        product *= -2.0
        product += squares
        if self.on_grid:
            product *= 2.0 ** (-2 * EUCLIDEAN_BITS)
        return product

    def pairs(self, queries: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """float32 [n]: the distance of each (query, entry) pair."""
        out = np.empty(len(queries), np.float32)
        for start in range(0, len(queries), _PAIR_ROWS):
            part = slice(start, start + _PAIR_ROWS)
            x, y = self._rows(self.query_rows[queries[part]]), self._rows(self.gallery_rows[entries[part]])
            squares = None if self.metric == "cosine" else _squares(x) + _squares(y)
            out[part] = self._finish(np.einsum("nd,nd->n", x, y), squares)
        return out

    def block(self, q0: int, q1: int, g0: int, g1: int):
        """float32 [q1 - q0, g1 - g0], a fresh array (a torch tensor where `device` is not "cpu")."""
        if self._cached is None or self._cached[:2] != (q0, q1):
            self._cached = (q0, q1, self._rows(self.query_rows[q0:q1]))
        x, y = self._cached[2], self._rows(self.gallery_rows[g0:g1])
        squares = None if self.metric == "cosine" else _squares(x)[:, None] + _squares(y)
        if self.device == "cpu":
            return self._finish(x @ y.T, squares).astype(np.float32)
        import torch

        x, y = torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)
        return self._finish(x @ y.T, None if squares is None else torch.from_numpy(squares).to(self.device)).float()

    def plain(self, distance: float) -> float:
        """One of these distances in the metric's own units: 1 - cos, or the Euclidean distance."""
        return distance if self.metric == "cosine" else float(np.sqrt(max(distance, 0.0)) * self.scale)


def _squares(x: np.ndarray) -> np.ndarray:
    return np.square(x).sum(axis=1)


class GivenDistances:
    """A finished matrix [Q, G] of float32 behind the same methods."""

    device = "cpu"

    def __init__(self, matrix: np.ndarray):
        self.matrix = np.asarray(matrix, np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        return self.matrix.shape

    def only(self, queries: np.ndarray, entries: np.ndarray) -> "GivenDistances":
        """The same distances for some of the queries and some of the gallery."""
        return GivenDistances(self.matrix[np.ix_(queries, entries)])

    def pairs(self, queries: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """float32 [n]: the distance of each (query, entry) pair."""
        return self.matrix[queries, entries]

    def block(self, q0: int, q1: int, g0: int, g1: int) -> np.ndarray:
        """A view: whoever asks for it must not write to it."""
        return self.matrix[q0:q1, g0:g1]

    def plain(self, distance: float) -> float:
        """A distance of the matrix, as it is."""
        return distance
