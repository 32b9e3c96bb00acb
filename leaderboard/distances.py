"""Distances between features whose bits don't depend on how they were computed, and fast bounds of them.

    source = FeatureDistances(features, query_rows, gallery_rows, "cosine")
    source.pairs(queries, entries)                    # float32 [n], exact
    q, g = source.queries(0, 512), source.entries(np.arange(4096))
    source.tile(q, g)                                 # float32 [512, 4096], within `slack` of them

A matrix product in floating point changes its last digits with the block size, the library, the threads and the device.
Ties between identical tracklets then break, and a score changes with the batch size. So a distance is *defined* on a
grid: each row x of the features becomes integers X, under cosine rint(2**26 x / |x|), under Euclidean
rint(2**25 x / s) with s the power of two next above |x|. A sum of products of such integers stays below 2**53, so it
is exact in whatever order it is taken, on any machine; the distance is float32 of

    cosine      1 - 2**-52 X.Y
    Euclidean   (A + B) - 2 x.y    with x = X s / 2**25 and A = x.x, in this order, in float64

(of s over the largest s, which ranks alike). The rounding to the grid, 6e-9 on a cosine, is a tenth of float32's own.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..datasets.cores import threads
from .bounds import Side, U, exact_part, spans, spread, upward

COSINE_BITS = 26  # |X.Y| <= 2**52
EUCLIDEAN_BITS = 25
SMALLEST = -60  # exponent of s over the largest s; distances between rows still smaller are no float32 any more
_CHUNK = 1 << 17  # features put on the grid at once: what stays in a core's cache
_NONE = -(2**20)  # exponent of a row of zeros
_PAIR_ROWS = 8192  # rows of a side whose grid is held at once


class FeatureDistances:
    """Distances from `features[query_rows]` to `features[gallery_rows]`.

    Args:
        features: [N, D], any float type, finite, no all-zero row under cosine. It may be mapped from a file.
        query_rows, gallery_rows: int [Q], [G].
        metric: "cosine" gives 1 - cos; "euclidean" gives the squared distance over a common power of four, which ranks
            alike.
        device: "cpu" or a torch device such as "cuda", on which the tiles are made.
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
        self._exponents, self._largest = (None, 0) if metric == "cosine" else self._scales()

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        return len(self.query_rows), len(self.gallery_rows)

    def queries(self, q0: int, q1: int) -> Side:
        """The queries from q0 to q1."""
        return self._queries(np.arange(q0, q1))

    def _queries(self, which: np.ndarray) -> Side:
        side = self._side(which, self.query_rows)
        width, factor = side.ints.shape[1], 1.0 if self.metric == "cosine" else 2.0
        np.multiply(side.values, np.float32(-factor), out=side.values)
        return replace(
            side,
            offset=np.ones(len(side)) if self.metric == "cosine" else side.offset,
            weight=side.weight * factor,
            size=upward(spread(width) * factor * side.size.astype(np.float64)),
        )

    def entries(self, columns: np.ndarray) -> Side:
        """Those entries of the gallery."""
        return self._side(columns, self.gallery_rows)

    def tile(self, queries: Side, entries: Side, out: np.ndarray | None = None) -> np.ndarray:
        """float32 [q, g]: -x.y under cosine, -2 x.y otherwise, within the slack; in `out` where it is given."""
        first, *others = spans(queries.values.shape[1])
        total = np.matmul(queries.values[:, first], entries.values[:, first].T, out=out)
        for span in others:
            total += queries.values[:, span] @ entries.values[:, span].T
        return total

    def between(self, x: Side, y: Side, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """float32 [n]: the exact distances of rows i of queries x to rows j of entries y."""
        from .count_loops import pair_distances

        out = np.empty(len(i), np.float32)
        pair_distances(exact_part(x), exact_part(y), i, j, out)
        return out

    def pairs(self, queries: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """float32 [n]: the exact distance of each (query, entry) pair."""
        out = np.empty(len(queries), np.float32)
        order = np.argsort(entries, kind="stable")
        met, at = np.unique(entries[order], return_index=True)
        at = np.append(at, len(order))
        for start in range(0, len(met), _PAIR_ROWS):
            here = order[at[start] : at[min(start + _PAIR_ROWS, len(met))]]
            asked, q = np.unique(queries[here], return_inverse=True)
            x, y = self._queries(asked), self.entries(met[start : start + _PAIR_ROWS])
            out[here] = self.between(x, y, q, np.searchsorted(y.which, entries[here]))
        return out

    def block(self, q0: int, q1: int, g0: int, g1: int) -> np.ndarray:
        """float32 [q1 - q0, g1 - g0]: the exact distances of all these pairs, by a float64 product."""
        x, y = self.queries(q0, q1), self.entries(np.arange(g0, g1))
        product = x.ints.astype(np.float64) @ y.ints.T.astype(np.float64)
        product *= x.weight[:, None] * y.weight
        return (x.offset[:, None] + y.offset - product).astype(np.float32)

    def plain(self, distance: float) -> float:
        """One of these distances in the metric's own units: 1 - cos, or the Euclidean distance."""
        return distance if self.metric == "cosine" else float(np.sqrt(max(distance, 0.0)) * 2.0**self._largest)

    def _chunks(self, rows: np.ndarray, work) -> None:
        """`work(part, float64 rows)` for all of `self.features[rows]`, some at a time."""
        step = max(1, _CHUNK // max(1, self.features.shape[1]))

        def some(start: int) -> None:
            part = slice(start, min(start + step, len(rows)))
            work(part, np.ascontiguousarray(self.features[rows[part]], np.float64))

        with ThreadPoolExecutor(threads()) as pool:
            for _ in pool.map(some, range(0, len(rows), step)):
                pass

    def _scales(self) -> tuple[np.ndarray, int]:
        """int64 [N], of every row the exponent of the power of two next above its length; and the largest of them."""
        from .grid_loops import lengths

        exponents = np.empty(len(self.features), np.int64)

        def work(part: slice, x: np.ndarray) -> None:
            fraction, exponent = np.frexp(lengths(x))
            exponents[part] = np.where(fraction == 0, _NONE, exponent - (fraction == 0.5))

        self._chunks(np.arange(len(self.features)), work)
        largest = int(exponents[exponents > _NONE].max(initial=_NONE))
        return np.maximum(exponents, largest + SMALLEST), largest

    def _side(self, which: np.ndarray, of: np.ndarray) -> Side:
        from .grid_loops import lengths, put_on_grid

        rows = of[which]
        count, width = len(rows), self.features.shape[1]
        ints, values = np.empty((count, width), np.int32), np.empty((count, width), np.float32)
        scale, squares = np.full(count, 2.0**-COSINE_BITS), np.empty(count)
        if self._exponents is not None:
            scale = np.ldexp(1.0, self._exponents[rows] - self._largest - EUCLIDEAN_BITS)

        def work(part: slice, x: np.ndarray) -> None:
            if self._exponents is None:
                unit = lengths(x) * scale[part]
            else:
                unit = np.ldexp(1.0, self._exponents[rows[part]] - EUCLIDEAN_BITS)
            put_on_grid(x, unit, scale[part], ints[part], values[part], squares[part])

        self._chunks(rows, work)
        offset = np.zeros(count) if self._exponents is None else squares * scale * scale
        extra = upward(6 * U * offset + width * 2.0**-125)
        return Side(which, ints, values, offset, scale, upward(np.sqrt(squares) * scale), extra)


class GivenDistances:
    """A finished matrix [Q, G] of finite float32 behind the same methods: its tiles are exact."""

    device = "cpu"

    def __init__(self, matrix: np.ndarray):
        self.matrix = np.asarray(matrix, np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        return self.matrix.shape

    def queries(self, q0: int, q1: int) -> Side:
        """The queries from q0 to q1, of which nothing but that is known."""
        return _blank(np.arange(q0, q1))

    def entries(self, columns: np.ndarray) -> Side:
        """Those entries, of which nothing but that is known."""
        return _blank(columns)

    def tile(self, queries: Side, entries: Side, out: np.ndarray | None = None) -> np.ndarray:
        """float32 [q, g]: the distances; a view where the columns follow each other."""
        columns = entries.which
        if len(columns) and (np.diff(columns) == 1).all():
            return self.matrix[queries.which[0] : queries.which[-1] + 1, columns[0] : columns[-1] + 1]
        return self.matrix[np.ix_(queries.which, columns)]

    def between(self, x: Side, y: Side, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """float32 [n]: the distances of rows i of queries x to rows j of entries y."""
        return self.matrix[x.which[i], y.which[j]]

    def block(self, q0: int, q1: int, g0: int, g1: int) -> np.ndarray:
        """A view: whoever asks for it must not write to it."""
        return self.matrix[q0:q1, g0:g1]

    def plain(self, distance: float) -> float:
        """A distance of the matrix, as it is."""
        return distance


def _blank(which: np.ndarray) -> Side:
    nothing, zeros, small = np.empty((len(which), 0)), np.zeros(len(which)), np.zeros(len(which), np.float32)
    return Side(which, nothing.astype(np.int32), nothing.astype(np.float32), zeros, zeros, small, small)
