"""Ranks by counting: how many gallery entries are nearer than each true match. Their order is never needed.

    ranks = rank_matches(source, queries, matches, removed)

An entry is nearer than match m when its distance is smaller, or equal and it stands earlier in the gallery (a stable
sort's order). The matches of a query are ranked among themselves. For the other entries there are two ways. With few
matches a query they are counted with one `<` a match, booleans being added eight at a time as bytes of 64-bit words;
ties are rare and found by one `==`, whose hits are then looked at one by one. With more matches the distances alone
are sorted (an argsort takes several times as long) and each match looked up. Blocks before m's own count ties in.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

STRIP = 1024  # columns; at most 255 strips a block, so that a byte holds the count of a column over the strips
BLOCK_COLUMNS = 12 * STRIP
BLOCK_QUERIES = 1024
SORT_FROM = 8  # matches a query, from which sorting its row costs less than counting for each
GROUP_ENTRIES = 192  # query-match pairs counted at once: their booleans fit a core's second-level cache
GROUP_QUERIES = 32
TOP = 10

_LOW_BYTES = np.uint64(0x00FF00FF00FF00FF)
_LOW_WORD = np.uint64(0xFFFF)


class Source(Protocol):
    """Distances of queries to gallery entries; see `distances`."""

    device: str

    @property
    def shape(self) -> tuple[int, int]: ...

    def pairs(self, queries: np.ndarray, entries: np.ndarray) -> np.ndarray: ...

    def block(self, q0: int, q1: int, g0: int, g1: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Ragged:
    """Columns a query: those of query i are `columns[start[i]:start[i + 1]]`, ascending."""

    start: np.ndarray
    columns: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        return np.diff(self.start)


def threads() -> int:
    """OMP_NUM_THREADS where it is set, otherwise the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdigit() else len(os.sched_getaffinity(0))


def rank_matches(
    source: Source,
    matches: Ragged,
    removed: Ragged,
    *,
    top: int = TOP,
    block_queries: int = BLOCK_QUERIES,
    block_columns: int = BLOCK_COLUMNS,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of all true matches, and the nearest entries of every query.

    Args:
        matches: the true matches of every query, none of them removed.
        removed: entries that don't take part for that query.
        top: how many of the nearest entries to return; 0 for none.
        block_queries, block_columns: the distances held at once. The figures don't depend on them.

    Returns:
        ranks int64, from 1, beside `matches.columns`; nearest int64 [Q, top], -1 where the gallery is too short.
    """
    queries, width = source.shape
    strips = -(-min(width, max(block_columns, STRIP)) // STRIP)
    block_columns = max(STRIP, min(block_columns, 255 * STRIP) // STRIP * STRIP)
    counts = matches.counts
    owner = np.repeat(np.arange(queries), counts)
    limits = source.pairs(owner, matches.columns)
    nearer = _among_matches(matches, limits)
    nearest = np.full((queries, top), -1)
    on_device = source.device != "cpu"
    workers = 1 if on_device else threads()
    scratches = [] if on_device else [_Scratch(strips) for _ in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        for q0 in range(0, queries, block_queries):
            q1 = min(q0 + block_queries, queries)
            best = _Nearest(q1 - q0, top)
            groups = _groups(counts[q0:q1])
            for g0 in range(0, width, block_columns):
                g1 = min(g0 + block_columns, width)
                block = source.block(q0, q1, g0, g1)
                task = _Block(block, q0, g0, matches, removed, limits, nearer, best)
                if on_device:
                    _count_on_device(task)
                else:
                    list(pool.map(task.count, [groups[i::workers] for i in range(workers)], scratches))
            nearest[q0:q1] = best.columns
    return nearer + 1, nearest


def _among_matches(matches: Ragged, limits: np.ndarray) -> np.ndarray:
    """How many matches of the same query are nearer than each: its place in a stable sort of them."""
    counts, place = matches.counts, np.empty(len(limits), np.int64)
    for number in np.unique(counts[counts > 0]):
        at = matches.start[:-1][counts == number][:, None] + np.arange(number)
        order = np.argsort(limits[at], axis=1, kind="stable")  # columns ascend: ties go to the earlier
        place[np.take_along_axis(at, order, axis=1)] = np.arange(number)
    return place


def _groups(counts: np.ndarray) -> list[np.ndarray]:
    """Queries with equally many matches, in groups of about `GROUP_ENTRIES` pairs."""
    order = np.argsort(counts, kind="stable")
    groups = []
    for same in np.split(order, np.flatnonzero(np.diff(counts[order])) + 1):
        matches = counts[same[0]] if len(same) else 0
        size = GROUP_QUERIES
        if 0 < matches < SORT_FROM:
            size = int(min(max(1, GROUP_ENTRIES // matches), GROUP_QUERIES))
        groups += [same[i : i + size] for i in range(0, len(same), size)]
    return groups


class _Nearest:
    """The `top` nearest columns of each query so far; columns come in ascending order, so ties go to the earlier."""

    def __init__(self, queries: int, top: int):
        self.top = top
        self.columns = np.full((queries, top), -1)
        self.distances = np.full((queries, top), np.inf, np.float32)

    def add(self, row: int, columns: np.ndarray, distances: np.ndarray) -> None:
        distances = np.concatenate([self.distances[row], distances])
        columns = np.concatenate([self.columns[row], columns])
        order = np.argsort(distances, kind="stable")[: self.top]
        order = order[np.isfinite(distances[order])]
        self.columns[row, : len(order)] = columns[order]
        self.distances[row, : len(order)] = distances[order]


class _Scratch:
    """A worker's memory, taken once: fresh pages for every group would cost more than the counting."""

    def __init__(self, strips: int):
        self.rows = np.empty(GROUP_QUERIES * strips * STRIP, np.float32)
        self.flags = np.empty(GROUP_ENTRIES * strips * STRIP, bool)
        self.words = np.empty((GROUP_ENTRIES, STRIP // 8), np.uint64)


class _Block:
    """One block of distances, and where its counts go."""

    def __init__(self, block, q0, g0, matches, removed, limits, nearer, best):
        self.block, self.q0, self.g0 = block, q0, g0
        self.matches, self.removed, self.limits = matches, removed, limits
        self.nearer, self.best = nearer, best
        self.width = block.shape[1]
        self.strips = -(-self.width // STRIP)

    def count(self, groups: list[np.ndarray], scratch: _Scratch) -> None:
        """Adds to `nearer` for the queries of `groups` (rows of the block)."""
        padded = self.strips * STRIP
        rows = scratch.rows[: GROUP_QUERIES * padded].reshape(GROUP_QUERIES, padded)
        rows[:, self.width :] = np.inf
        for group in groups:
            distances = rows[: len(group)]
            for out, row in zip(distances, group, strict=True):
                out[: self.width] = self.block[row]
            self._remove(distances, group, self.removed)
            if self.best.top:
                self._nearest(distances, group)
            matches = int(self.matches.start[self.q0 + group[0] + 1] - self.matches.start[self.q0 + group[0]])
            if not matches:
                continue
            self._remove(distances, group, self.matches)
            at = self.matches.start[self.q0 + group][:, None] + np.arange(matches)
            limits, columns = self.limits[at], self.matches.columns[at] - self.g0
            if matches >= SORT_FROM:
                counted = self._sorted(distances[:, : self.width], limits, columns, group)
            else:
                counted = self._counted(distances, limits, columns, scratch)
            self.nearer[at] += counted

    def _remove(self, distances: np.ndarray, group: np.ndarray, which: Ragged) -> None:
        start = which.start[self.q0 + group]
        lengths = which.start[self.q0 + group + 1] - start
        at = np.arange(lengths.sum()) + np.repeat(start - np.cumsum(lengths) + lengths, lengths)
        rows, columns = np.repeat(np.arange(len(group)), lengths), which.columns[at] - self.g0
        inside = (columns >= 0) & (columns < self.width)
        distances[rows[inside], columns[inside]] = np.inf

    def _nearest(self, distances: np.ndarray, group: np.ndarray) -> None:
        # the top-th smallest of the strips' column-wise minima bounds the top-th smallest entry from above
        minima = distances.reshape(len(group), self.strips, STRIP).min(axis=1)
        bounds = np.partition(minima, min(self.best.top, STRIP) - 1, axis=1)[:, min(self.best.top, STRIP) - 1]
        for row, values, bound in zip(group, distances, bounds, strict=True):
            columns = np.flatnonzero(values[: self.width] <= min(bound, self.best.distances[row, -1]))
            self.best.add(row, columns + self.g0, values[columns])

    def _counted(self, distances: np.ndarray, limits: np.ndarray, columns: np.ndarray, scratch: _Scratch) -> np.ndarray:
        group, matches = limits.shape
        pairs, padded = group * matches, self.strips * STRIP
        flags = scratch.flags[: pairs * padded].reshape(group, matches, padded)
        behind = columns >= self.width  # the match stands in a later block: entries here win ties against it
        bounds = np.where(behind, np.nextafter(limits, np.float32(np.inf)), limits)
        np.less(distances[:, None], bounds[..., None], out=flags)
        counted = _count_bytes(flags.reshape(pairs, self.strips, STRIP), scratch.words[:pairs]).reshape(group, matches)
        np.equal(distances[:, None], limits[..., None], out=flags)
        if flags.any():
            for i, j in np.argwhere(flags.any(axis=2) & (columns >= 0) & ~behind):
                counted[i, j] += np.count_nonzero(flags[i, j, : columns[i, j]])
        return counted

    def _sorted(self, distances: np.ndarray, limits: np.ndarray, columns: np.ndarray, group: np.ndarray) -> np.ndarray:
        # all rows in one call, in place: threads get in each other's way between calls, not in them
        distances.sort(axis=1)
        counted = np.stack([row.searchsorted(bounds) for row, bounds in zip(distances, limits, strict=True)])
        tied = np.take_along_axis(distances, np.minimum(counted, self.width - 1), axis=1) == limits
        for i in np.flatnonzero(tied.any(axis=1)):
            row = self.block[group[i : i + 1]]  # a copy, in the gallery's order
            self._remove(row, group[i : i + 1], self.removed)
            self._remove(row, group[i : i + 1], self.matches)
            for k in np.flatnonzero(tied[i] & (columns[i] >= 0)):  # columns behind the block: all its ties stand before
                counted[i, k] += np.count_nonzero(row[0, : columns[i, k]] == limits[i, k])
        return counted


def _count_bytes(flags: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Number of true entries of bool [n, strips, STRIP], as int64 [n]."""
    np.add.reduce(flags.view(np.uint64), axis=1, out=words)  # a byte is at most `strips` <= 255
    halves = (words & _LOW_BYTES) + ((words >> np.uint64(8)) & _LOW_BYTES)  # 16-bit lanes, at most 510
    lanes = np.add.reduce(halves, axis=1)  # STRIP / 8 = 128 of them: at most 65,280
    parts = [(lanes >> np.uint64(shift)) & _LOW_WORD for shift in (0, 16, 32, 48)]
    return (parts[0] + parts[1] + parts[2] + parts[3]).astype(np.int64)


def _count_on_device(task: _Block, pairs_at_once: int = 2048) -> None:
    """The same counts in torch, on whatever device the block lies."""
    import torch

    block, device, width = task.block, task.block.device, task.width
    rows = np.arange(block.shape[0])

    def here(values: np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    def flat(ragged: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, last = ragged.start[task.q0], ragged.start[task.q0 + len(rows)]
        owner = np.repeat(rows, ragged.counts[task.q0 : task.q0 + len(rows)])
        return np.arange(first, last), owner, ragged.columns[first:last] - task.g0

    _, owner, columns = flat(task.removed)
    inside = (columns >= 0) & (columns < width)
    block[here(owner[inside]), here(columns[inside])] = float("inf")
    if task.best.top:
        order = torch.sort(block, dim=1, stable=True)
        columns = order.indices[:, : task.best.top].cpu().numpy()
        values = order.values[:, : task.best.top].cpu().numpy()
        for row in rows:
            task.best.add(row, columns[row] + task.g0, values[row])
    at, owner, columns = flat(task.matches)
    inside = (columns >= 0) & (columns < width)
    block[here(owner[inside]), here(columns[inside])] = float("inf")
    position = torch.arange(width, device=device)
    for start in range(0, len(at), pairs_at_once):
        part = slice(start, start + pairs_at_once)
        limits = here(task.limits[at[part]])[:, None]
        values = block[here(owner[part])]
        ties = (values == limits) & (position < here(columns[part])[:, None])
        task.nearer[at[part]] += ((values < limits) | ties).sum(dim=1).cpu().numpy()
