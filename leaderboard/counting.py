"""Ranks by counting: how many gallery entries are nearer than each true match. Their order is never needed.

    found = rank_matches(source, matches, removed)
    found.ranks, found.nearest

An entry is nearer than match m when its distance is smaller, or equal and it stands earlier in the gallery (a stable
sort's order). Tiles of distances come with a bound of their error (`bounds`), so that most entries are nearer or
farther for certain; the rest is decided by exact distances. Blocks, threads and devices of any kind give the same
ranks.
The loops are `count_loops` on a processor and `count_torch` on a torch device.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from ..datasets.cores import threads
from .bounds import Side, above, below, exact_part

BLOCK_QUERIES, BLOCK_COLUMNS = 1024, 12288
QUERIES_AT_ONCE = 16384  # whose rows are on the grid together; the gallery is put there once for each such part
SORT_FROM = 192  # matches a query, from which a search in their sorted list costs less than a pass each
STRIP = 512  # columns counted together: they stay in a core's first cache
TOP = 10


class Source(Protocol):
    """Distances of queries to gallery entries; see `distances`."""

    device: str

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        ...

    def queries(self, q0: int, q1: int) -> Side:
        """The queries from q0 to q1."""
        ...

    def entries(self, columns: np.ndarray) -> Side:
        """Those entries."""
        ...

    def tile(self, queries: Side, entries: Side, out: np.ndarray | None = None) -> np.ndarray:
        """float32 [q, g]; in `out` or as a view."""
        ...

    def between(self, x: Side, y: Side, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """float32 [n]: the exact distances of rows i of queries x to rows j of entries y."""
        ...

    def block(self, q0: int, q1: int, g0: int, g1: int) -> np.ndarray:
        """float32 [q1 - q0, g1 - g0]: the exact distances, on the processor."""
        ...

    def plain(self, distance: float) -> float:
        """One of these distances in the metric's own units."""
        ...


@dataclass(frozen=True)
class Ragged:
    """Columns a query: those of query i are `columns[start[i]:start[i + 1]]`, ascending."""

    start: np.ndarray
    columns: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Columns of each query, [Q]."""
        return np.diff(self.start)

    @property
    def owners(self) -> np.ndarray:
        """The query of each column."""
        return np.repeat(np.arange(len(self.start) - 1), self.counts)

    def rows(self, q0: int, q1: int) -> "Ragged":
        """The columns of the queries from q0 to q1."""
        start = self.start[q0 : q1 + 1]
        return Ragged(start - start[0], self.columns[start[0] : start[-1]])

    def inside(self, q0: int, q1: int, g0: int, g1: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the block from (q0, g0) to (q1, g1) at which these lie."""
        some = self.rows(q0, q1)
        chosen = (some.columns >= g0) & (some.columns < g1)
        return some.owners[chosen], some.columns[chosen] - g0


@dataclass(frozen=True)
class Found:
    """What ranking found.

    Attributes:
        ranks: int64, from 1, beside the matches' columns.
        within: the same among the entries of the match's own group alone.
        nearest: int64 [Q, top], columns; -1 where the gallery is too short.
    """

    ranks: np.ndarray
    within: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class Part:
    """Some of the queries and what is being found for them; `count_loops` and `count_torch` add to it.

    Attributes:
        queries: their rows.
        start: the matches of query i are `start[i]:start[i + 1]`, by distance and then by column.
        limits: float32, the matches' exact distances.
        maybe, sure: float32; an entry with a lower bound above `maybe` is farther, with an upper below `sure` nearer.
        columns, groups: where each match stands in the gallery, and its group.
        removed: removed entries, as places in the order in which columns are counted, ascending.
        nearer, within: int64, entries found before each match, among all and among those of its group.
        best, nearest: float32 and int64 [q, top].
    """

    queries: Side
    start: np.ndarray
    limits: np.ndarray
    maybe: np.ndarray
    sure: np.ndarray
    columns: np.ndarray
    groups: np.ndarray
    removed: Ragged
    nearer: np.ndarray
    within: np.ndarray
    best: np.ndarray
    nearest: np.ndarray


def rank_matches(
    source: Source,
    matches: Ragged,
    removed: Ragged,
    groups: np.ndarray | None = None,
    *,
    top: int = TOP,
    block_queries: int = BLOCK_QUERIES,
    block_columns: int = BLOCK_COLUMNS,
) -> Found:
    """Ranks of all true matches, and the nearest entries of every query.

    Args:
        matches: the true matches of every query, none of them removed.
        removed: entries that don't take part for that query.
        groups: int [G], of each entry, such as its camera; None: all are of one.
        top: how many of the nearest entries to return; 0 for none.
        block_queries, block_columns: the distances held at once. The figures don't depend on them.
    """
    queries, width = source.shape
    groups = np.zeros(width, np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")  # neighbours are then of one group
    place = np.empty(width, np.int64)
    place[order] = np.arange(width)
    removed = _ascending(Ragged(removed.start, place[removed.columns]))
    ranks, within = np.empty(len(matches.columns), np.int64), np.empty(len(matches.columns), np.int64)
    nearest = np.full((queries, top), -1)
    count = _count_here if source.device == "cpu" else _count_on_device
    whole = source.entries(order) if width <= block_columns else None
    for q0 in range(0, queries, QUERIES_AT_ONCE):
        asked = source.queries(q0, min(q0 + QUERIES_AT_ONCE, queries))
        part, by_distance = _part(source, asked, whole, q0, matches, groups, removed, nearest)
        for g0 in range(0, width, block_columns):
            columns = order[g0 : g0 + block_columns]
            met = source.entries(columns) if whole is None else whole
            count(source, part, met, groups[columns], g0, block_queries)
        ranks[by_distance], within[by_distance] = part.nearer + 1, part.within + 1
    return Found(ranks, within, nearest)


def _part(source, asked, whole, q0, matches, groups, removed, nearest) -> tuple[Part, np.ndarray]:
    """The queries from q0 on, and which of `matches` each of theirs is."""
    q1 = q0 + len(asked)
    mine = matches.rows(q0, q1)
    columns, owner = mine.columns, mine.owners
    limits = _limits(source, asked, whole, owner, columns)
    order = np.lexsort((columns, limits, owner))
    columns, limits = columns[order], limits[order]
    bounds = limits.astype(np.float64), asked.offset[owner]
    part = Part(
        asked,
        mine.start,
        limits,
        above(*bounds).astype(np.float32),
        below(*bounds).astype(np.float32),
        columns,
        groups[columns],
        removed.rows(q0, q1),
        np.zeros(len(columns), np.int64),
        np.zeros(len(columns), np.int64),
        np.full((q1 - q0, nearest.shape[1]), np.inf, np.float32),
        nearest[q0:q1],
    )
    return part, order + matches.start[q0]


def _limits(source: Source, asked: Side, whole: Side | None, owner: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """float32 [n]: exact distances of rows `owner` of `asked` to `columns`; `whole` are all entries, where they fit."""
    limits = np.empty(len(columns), np.float32)
    wanted = np.unique(columns) if whole is None else whole.which
    for first in range(0, len(wanted), BLOCK_COLUMNS if whole is None else len(wanted)):
        met = whole or source.entries(wanted[first : first + BLOCK_COLUMNS])
        order = np.argsort(met.which)
        place = order[np.minimum(np.searchsorted(met.which, columns, sorter=order), len(order) - 1)]
        here = met.which[place] == columns
        limits[here] = source.between(asked, met, owner[here], place[here])
    return limits


def _ascending(ragged: Ragged) -> Ragged:
    return Ragged(ragged.start, ragged.columns[np.lexsort((ragged.columns, ragged.owners))])


def _strips(groups: np.ndarray) -> np.ndarray:
    """int64 [S, 3]: start and end of strips of columns of one group, and the group.

    >>> _strips(np.array([4, 4, 7])).tolist()
    [[0, 2, 4], [2, 3, 7]]
    """
    edges = np.flatnonzero(np.diff(groups, prepend=-1, append=-1))
    cuts = np.concatenate([np.arange(a, b, STRIP) for a, b in itertools.pairwise(edges)])
    return np.stack([cuts, np.append(cuts[1:], len(groups)), groups[cuts]], axis=1)


def _count_here(source: Source, part: Part, met: Side, groups: np.ndarray, g0: int, block_queries: int) -> None:
    from .count_loops import count_rows

    workers, width, strips = threads(), len(met), _strips(groups)
    mine = exact_part(part.queries)
    other = (*exact_part(met), met.extra, met.offset.astype(np.float32))
    lists = part.start, part.limits, part.maybe, part.sure, part.columns, part.groups
    gone = part.removed.start, part.removed.columns - g0
    found = part.nearer, part.within, part.best, part.nearest
    room = np.empty((min(block_queries, len(part.queries)), width), np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(part.queries), block_queries):
            rows = slice(first, min(first + block_queries, len(part.queries)))
            block = source.tile(part.queries.rows(rows), met, room[: rows.stop - first])
            step, rest = divmod(block.strides[0], block.itemsize)
            if block.strides[1] != block.itemsize or rest or step < width:
                block, step = np.ascontiguousarray(block), width
            flat = as_strided(block, ((len(block) - 1) * step + width,), (block.itemsize,), writeable=False)
            bounds = np.linspace(0, len(block), min(4 * workers, len(block)) + 1).astype(np.int64)
            tasks = [
                pool.submit(
                    count_rows, flat, step, share, first, strips, mine, other, met.which, lists, gone, SORT_FROM, found
                )
                for share in sliding_window_view(bounds, 2)
            ]
            for task in tasks:
                task.result()


def _count_on_device(*arguments) -> None:
    from .count_torch import count

    count(*arguments)
