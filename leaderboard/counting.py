"""Ranks by counting: how many gallery entries are nearer than each true match. Their order is never needed.

    ranks, nearest = rank_matches(source, matches, removed)

An entry is nearer than match m when its distance is smaller, or equal and it stands earlier in the gallery (a stable
sort's order). So up to m's own column `<=` counts, behind it `<`; many entries in one instruction (`count_loops`).
A query with very many matches has each entry looked up among them instead. Nothing is copied, and blocks of any size
give the same counts.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from ..datasets.cores import usable_cores

BLOCK_QUERIES, BLOCK_COLUMNS = 1024, 12288
SORT_FROM = 192  # matches a query, from which a search in their sorted list costs less than a pass each
TOP = 10


class Source(Protocol):
    """Distances of queries to gallery entries; see `distances`."""

    device: str

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, entries."""
        ...

    def pairs(self, queries: np.ndarray, entries: np.ndarray) -> np.ndarray:
        """float32 [n]: the distance of each (query, entry) pair."""
        ...

    def block(self, q0: int, q1: int, g0: int, g1: int) -> Any:
        """float32 [q1 - q0, g1 - g0]: an array, or a tensor where `device` is not "cpu"."""
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


def threads() -> int:
    """OMP_NUM_THREADS where it is set, otherwise the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(wanted)) if wanted.isdecimal() else usable_cores()


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
    limits = source.pairs(np.repeat(np.arange(queries), matches.counts), matches.columns)
    nearer = np.zeros(len(limits), np.int64)
    nearest = np.full((queries, top), -1)
    on_device = source.device != "cpu"
    workers = 1 if on_device else threads()
    with ThreadPoolExecutor(workers) as pool:
        for q0 in range(0, queries, block_queries):
            q1 = min(q0 + block_queries, queries)
            best = np.full((q1 - q0, top), np.inf, np.float32)
            for g0 in range(0, width, block_columns):
                block = source.block(q0, q1, g0, min(g0 + block_columns, width))
                if on_device:
                    _count_on_device(block, q0, g0, matches, limits, removed, nearer, best, nearest)
                else:
                    _count(pool, workers, block, q0, g0, matches, limits, removed, nearer, best, nearest)
    return nearer + 1, nearest


def _count(pool, workers, block, q0, g0, matches, limits, removed, nearer, best, nearest) -> None:
    from .count_loops import count_rows

    rows, width = block.shape
    step, rest = divmod(block.strides[0], block.itemsize)
    if block.strides[1] != block.itemsize or rest or step < width:
        block, step = np.ascontiguousarray(block), width
    flat = as_strided(block, ((rows - 1) * step + width,), (block.itemsize,), writeable=False)
    lists = matches.start, matches.columns, limits, removed.start, removed.columns
    bounds = np.linspace(0, rows, min(4 * workers, rows) + 1).astype(np.int64)
    tasks = [
        pool.submit(count_rows, flat, step, width, q0, g0, part, *lists, SORT_FROM, nearer, best, nearest)
        for part in sliding_window_view(bounds, 2)
    ]
    for task in tasks:
        task.result()


def _count_on_device(block, q0, g0, matches, limits, removed, nearer, best, nearest, pairs_at_once: int = 2048) -> None:
    """The same counts in torch, on whatever device the block lies."""
    import torch

    device, (rows, width) = block.device, block.shape

    def here(values: np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    def flat(ragged: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, last = ragged.start[q0], ragged.start[q0 + rows]
        owner = np.repeat(np.arange(rows), ragged.counts[q0 : q0 + rows])
        return np.arange(int(first), int(last)), owner, ragged.columns[first:last] - g0

    _, owner, columns = flat(removed)
    inside = (columns >= 0) & (columns < width)
    block[here(owner[inside]), here(columns[inside])] = float("inf")
    if best.shape[1]:
        order = torch.sort(block, dim=1, stable=True)
        values = np.concatenate([best, order.values[:, : best.shape[1]].cpu().numpy()], axis=1)
        columns = np.concatenate(
            [nearest[q0 : q0 + rows], order.indices[:, : best.shape[1]].cpu().numpy() + g0], axis=1
        )
        chosen = np.argsort(values, axis=1, kind="stable")[:, : best.shape[1]]  # ties: earlier blocks stand first
        best[:] = np.take_along_axis(values, chosen, axis=1)
        nearest[q0 : q0 + rows] = np.where(np.isfinite(best), np.take_along_axis(columns, chosen, axis=1), -1)
    at, owner, columns = flat(matches)
    position = torch.arange(width, device=device)
    for start in range(0, len(at), pairs_at_once):
        part = slice(start, start + pairs_at_once)
        bounds = here(limits[at[part]])[:, None]
        values = block[here(owner[part])]
        ties = (values == bounds) & (position < here(columns[part])[:, None])
        nearer[at[part]] += ((values < bounds) | ties).sum(dim=1).cpu().numpy()
