"""The loops behind `counting`, compiled by numba at the first call and kept on disk for the next process.

Imported only where something is ranked: numba takes half a second to import.
"""

import numba
import numpy as np

STEP = 256  # entries looked at together for the nearest


def _compiled(function):
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return numba.njit(nogil=True)(function)


@_compiled
def count_each(row, width, start, end, columns, limits, removed, g0, nearer):
    """Adds to `nearer[start:end]` how many entries of `row` come before each of the query's matches.

    One pass a match. Up to the match's own column a tie wins, behind it it doesn't: no pass is needed for ties.
    """
    for m in range(start, end):
        limit = limits[m]
        own = min(max(columns[m] - g0, 0), width)
        count = np.int32(0)  # kept in 32 bits, so that twice as many lanes fit a register
        before, behind = row[:own], row[own:]
        for j in range(len(before)):
            count = np.int32(count + np.int32(before[j] <= limit))
        for j in range(len(behind)):
            count = np.int32(count + np.int32(behind[j] < limit))
        for column in removed:
            j = column - g0
            if 0 <= j < width and (row[j] <= limit if j < own else row[j] < limit):
                count -= np.int32(1)
        nearer[m] += count


@_compiled
def count_sorted(row, width, start, end, columns, limits, removed, g0, nearer):
    """The same for many matches: each entry is looked up among the matches, sorted by distance and column."""
    matches = end - start
    order = np.argsort(limits[start:end], kind="mergesort")  # stable, and columns ascend
    sorted_limits, sorted_columns = limits[start:end][order], columns[start:end][order]
    passed = np.zeros(matches + 1, np.int64)  # entries that come before match k and not before match k - 1
    farthest = sorted_limits[-1]
    for which in range(2):
        count = width if which == 0 else len(removed)
        for i in range(count):
            j = i if which == 0 else removed[i] - g0
            if j < 0 or j >= width or row[j] > farthest:
                continue
            low, high = 0, matches
            while low < high:
                middle = (low + high) // 2
                limit = sorted_limits[middle]
                if row[j] < limit or (row[j] == limit and j + g0 < sorted_columns[middle]):
                    high = middle
                else:
                    low = middle + 1
            passed[low] += 1 if which == 0 else -1
    total = 0
    for k in range(matches):
        total += passed[k]
        nearer[start + order[k]] += total


@_compiled
def keep_nearest(row, width, removed, g0, best, columns):
    """Puts the entries of `row` among the nearest so far: best [top] ascending, columns [top]. Ties: the earlier."""
    top = len(best)
    for first in range(0, width, STEP):
        last = min(first + STEP, width)
        bound, some = best[top - 1], np.int32(0)
        part = row[first:last]
        for j in range(len(part)):
            some = np.int32(some | np.int32(part[j] < bound))
        if not some:
            continue
        for j in range(first, last):
            if row[j] >= best[top - 1] or _holds(removed, j + g0):
                continue
            k = top - 1
            while k > 0 and best[k - 1] > row[j]:
                best[k], columns[k] = best[k - 1], columns[k - 1]
                k -= 1
            best[k], columns[k] = row[j], j + g0


@_compiled
def _holds(ascending, value):
    at = np.searchsorted(ascending, value)
    return at < len(ascending) and ascending[at] == value


@_compiled
def count_rows(
    flat, step, width, q0, g0, rows, starts, columns, limits, removed_starts, removed, sort_from, nearer, best, nearest
):
    """All of the above for some rows of a block of distances: queries q0 + rows, gallery columns from g0.

    Row i of the block is `flat[i * step : i * step + width]`: contiguous even in a part of a matrix, which vector
    instructions need.
    """
    for i in range(rows[0], rows[1]):
        q = q0 + i
        row = flat[i * step : i * step + width]
        gone = removed[removed_starts[q] : removed_starts[q + 1]]
        start, end = starts[q], starts[q + 1]
        if end - start >= sort_from:
            count_sorted(row, width, start, end, columns, limits, gone, g0, nearer)
        else:
            count_each(row, width, start, end, columns, limits, gone, g0, nearer)
        if best.shape[1]:
            keep_nearest(row, width, gone, g0, best[i], nearest[q])
