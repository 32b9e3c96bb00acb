"""The loops behind `counting` on a processor."""

import numpy as np

from .compiled import compiled

FAR = np.float32(np.inf)
LAST = np.finfo(np.float32).max


@compiled
def _above(limit, offset):
    """`bounds.above`, written here because numba compiles anew when this file changes, and not when another does."""
    bound = limit + abs(limit) * 2.0**-22 + 2.0**-148 - offset * (1 - 2.0**-48)
    return bound + abs(bound) * 2.0**-22


@compiled
def _distance(x, q, y, j):
    """The exact distance of query q to column j; `x` and `y` as `count_rows` has them."""
    mine, other = x[0][q], y[0][j]
    total = np.int64(0)
    for i in range(len(mine)):
        total += np.int64(mine[i]) * np.int64(other[i])
    return np.float32((x[1][q] + y[1][j]) - total * (x[2][q] * y[2][j]))


@compiled
def pair_distances(x, y, queries, entries, out):
    """`out` float32 [n]: exact distances of rows `queries` of x to rows `entries` of y."""
    for n in range(len(queries)):
        out[n] = _distance(x, queries[n], y, entries[n])


@compiled
def _bounds(keys, shift, size, sizes, extras, lower, upper):
    for j in range(len(keys)):
        key = keys[j] + shift[j]
        slack = size * sizes[j] + extras[j]
        lower[j] = key - slack
        upper[j] = key + slack


@compiled
def _count(lower, upper, maybe, sure):
    """How many distances are less for certain, and how many perhaps, for two matches at once."""
    a, b, c, d = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    m0, m1, s0, s1 = maybe[0], maybe[1], sure[0], sure[1]
    for j in range(len(lower)):
        low, up = lower[j], upper[j]
        a = np.int32(a + np.int32(up < s0))
        b = np.int32(b + np.int32(low <= m0))
        c = np.int32(c + np.int32(up < s1))
        d = np.int32(d + np.int32(low <= m1))
    return a, b, c, d


@compiled
def _mark(lower, upper, maybe, sure, marked):
    for j in range(len(lower)):
        marked[j] |= np.uint8(upper[j] >= sure) & np.uint8(lower[j] <= maybe)


@compiled
def _any(lower, reach):
    some = np.int32(0)
    for j in range(len(lower)):
        some |= np.int32(lower[j] <= reach)
    return some != 0


@compiled
def _first(sure, start, end, upper):
    """The first match that an entry of this bound comes before for certain."""
    while start < end:
        middle = (start + end) // 2
        if upper < sure[middle]:
            end = middle
        else:
            start = middle + 1
    return start


@compiled
def _insert(distance, place, best, nearest):
    """Puts an entry among the nearest: `best` ascending, of equal distances the one that stands first."""
    k = len(best) - 1
    if distance > best[k] or (distance == best[k] and place > nearest[k]):
        return
    while k > 0 and (best[k - 1] > distance or (best[k - 1] == distance and nearest[k - 1] > place)):
        best[k], nearest[k] = best[k - 1], nearest[k - 1]
        k -= 1
    best[k], nearest[k] = distance, place


@compiled
def count_rows(flat, step, rows, first, strips, x, y, places, matches, removed, search_from, found):
    """Adds what a tile of distances tells about some of its rows to `found`.

    Args:
        flat, step: row i of the tile is `flat[i * step :]`, contiguous even in a part of a matrix.
        rows: [2], from which row to which.
        first: the query of the tile's row 0.
        strips: [S, 3], of each strip of columns where it starts and ends, and its group.
        x: (ints, offset, weight, size) of queries.
        y: (ints, offset, weight, size, extra, offset in float32) of the columns.
        places: [columns] where each column stands in the gallery.
        matches: (starts, limits, maybe, sure, places, groups) of the true matches; a query's ascend by limit.
        removed: (starts, columns of this tile), a query's ascending.
        search_from: matches of a query, from which each entry is looked up among them.
        found: (nearer, within, best, nearest): int64 [M] how many entries come before each match, of all and of its
            group; float32 and int64 [Q, top] distances and places of the nearest.
    """
    starts, limits, maybe, sure, match_places, groups = matches
    nearer, within, best, nearest = found
    given, top = x[0].shape[1] == 0, best.shape[1]
    room = 8
    for s in range(len(strips)):
        room = max(room, (strips[s, 1] - strips[s, 0] + 7) // 8 * 8)
    low_room, up_room = np.empty(room, np.float32), np.empty(room, np.float32)
    marked = np.zeros(room, np.uint8)
    words = marked.view(np.uint64)
    most = 0
    for q in range(first + rows[0], first + rows[1]):
        most = max(most, starts[q + 1] - starts[q])
    passed = np.zeros(most + 1, np.int64)
    for s in range(len(strips)):  # its columns stay in the cache for all rows
        left, right, group = strips[s]
        n = right - left
        lower, upper = low_room[:n], up_room[:n]
        for i in range(rows[0], rows[1]):
            q = first + i
            start, end = starts[q], starts[q + 1]
            base = i * step
            _bounds(
                flat[base + left : base + right], y[5][left:right], x[3][q], y[3][left:right], y[4][left:right],
                lower, upper,
            )  # fmt: skip
            for gone in range(removed[0][q], removed[0][q + 1]):
                if left <= removed[1][gone] < right:
                    lower[removed[1][gone] - left] = FAR
                    upper[removed[1][gone] - left] = FAR
            reach = LAST
            if top and nearest[q, top - 1] >= 0:
                reach = np.float32(_above(np.float64(best[q, top - 1]), x[1][q]))
            some = top > 0 and _any(lower, reach)
            if some:
                _mark(lower, upper, reach, -FAR, marked)
            if end - start >= search_from:
                for j in range(n):
                    if lower[j] <= maybe[end - 1]:
                        at = _first(sure, start, end, upper[j])
                        passed[at - start] += 1
                        if at > start and lower[j] <= maybe[at - 1]:
                            marked[j] = 1
                            some = True
                count = 0
                for m in range(start, end):
                    count += passed[m - start]
                    passed[m - start] = 0
                    nearer[m] += count
                    if groups[m] == group:
                        within[m] += count
                passed[end - start] = 0
            elif end > start and _any(lower, maybe[end - 1]):
                for m in range(start, end, 2):
                    pair = min(m + 1, end - 1)
                    a, b, c, d = _count(lower, upper, (maybe[m], maybe[pair]), (sure[m], sure[pair]))
                    nearer[m] += a
                    if groups[m] == group:
                        within[m] += a
                    if a != b:
                        _mark(lower, upper, maybe[m], sure[m], marked)
                        some = True
                    if pair == m:
                        break
                    nearer[pair] += c
                    if groups[pair] == group:
                        within[pair] += c
                    if c != d:
                        _mark(lower, upper, maybe[pair], sure[pair], marked)
                        some = True
            if not some:
                continue
            for w in range((n + 7) // 8):
                if not words[w]:
                    continue
                for j in range(8 * w, min(8 * w + 8, n)):
                    if not marked[j]:
                        continue
                    m = _first(sure, start, end, upper[j]) - 1
                    if (m < start or lower[j] > maybe[m]) and not (top and lower[j] <= reach):
                        continue
                    distance = lower[j] if given else _distance(x, q, y, left + j)
                    place = places[left + j]
                    while m >= start and lower[j] <= maybe[m]:
                        if distance < limits[m] or (distance == limits[m] and place < match_places[m]):
                            nearer[m] += 1
                            if groups[m] == group:
                                within[m] += 1
                        m -= 1
                    if top and lower[j] <= reach:
                        _insert(distance, place, best[q], nearest[q])
                        if nearest[q, top - 1] >= 0:
                            reach = np.float32(_above(np.float64(best[q, top - 1]), x[1][q]))
                words[w] = 0
