"""What `count_loops` does, in torch on whatever device the source names: no float64 but for the few distances in doubt.

Products are taken in float32 proper (TF32 would break the bound in `bounds`), and exact sums in int64.
"""

import functools

import numpy as np
import torch

from .bounds import Side, above, spans

MATCHES_AT_ONCE = 2048  # each of them is compared with a row of the tile
FARTHEST = float(np.finfo(np.float32).max)
PAIRS_AT_ONCE = 1 << 22  # integers multiplied at once for the distances in doubt


def count(source, part, met: Side, groups: np.ndarray, g0: int, block_queries: int) -> None:
    """Adds to `part` what the entries `met` tell, of the given groups, which start at place g0 of the counted order."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        there = _moved(met, source.device)
        for first in range(0, len(part.queries), block_queries):
            rows = slice(first, min(first + block_queries, len(part.queries)))
            _count_tile(part, rows, _moved(part.queries.rows(rows), source.device), there, groups, g0)
    finally:
        torch.set_float32_matmul_precision(before)


def _moved(side: Side, device) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(getattr(side, name))).to(device) for name in _FIELDS}


_FIELDS = ("which", "ints", "values", "offset", "weight", "size", "extra")


def _count_tile(part, rows: slice, x, y, groups: np.ndarray, g0: int) -> None:
    device = x["which"].device

    def here(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    products = (x["values"][:, span] @ y["values"][:, span].T for span in spans(x["values"].shape[1]))
    keys = functools.reduce(torch.add, products) + y["offset"].float()
    slack = x["size"][:, None] * y["size"] + y["extra"]
    lower, upper = keys - slack, keys + slack
    owner, columns = part.removed.inside(rows.start, rows.stop, g0, g0 + keys.shape[1])
    gone = here(owner), here(columns)
    lower[gone], upper[gone] = float("inf"), float("inf")
    if part.best.shape[1]:
        _keep_nearest(part, rows, lower, upper, x, y)
    start, end = part.start[rows.start], part.start[rows.stop]
    owners = np.repeat(np.arange(rows.stop - rows.start), np.diff(part.start[rows.start : rows.stop + 1]))
    group = here(groups)
    for m in range(int(start), int(end), MATCHES_AT_ONCE):
        some = slice(m, min(m + MATCHES_AT_ONCE, int(end)))
        owner, limit = here(owners[m - start : some.stop - start]), here(part.limits[some])
        sure = upper[owner] < here(part.sure[some])[:, None]
        doubt = ~sure & (lower[owner] <= here(part.maybe[some])[:, None])
        which, column = doubt.nonzero(as_tuple=True)
        distance = _exact(x, y, owner[which], column)
        earlier = y["which"][column] < here(part.columns[some])[which]
        sure[which, column] = (distance < limit[which]) | (distance == limit[which]) & earlier
        part.nearer[some] += sure.sum(dim=1).cpu().numpy()
        part.within[some] += (sure & (group == here(part.groups[some])[:, None])).sum(dim=1).cpu().numpy()


def _exact(x, y, owner: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """float32: the exact distances of these pairs, a sum of integers each."""
    out = torch.empty(len(owner), dtype=torch.float32, device=owner.device)
    step = max(1, PAIRS_AT_ONCE // x["ints"].shape[1])
    for i in range(0, len(owner), step):
        q, j = owner[i : i + step], column[i : i + step]
        product = (x["ints"][q].long() * y["ints"][j]).sum(dim=1)
        out[i : i + step] = (x["offset"][q] + y["offset"][j]) - product * (x["weight"][q] * y["weight"][j])
    return out


def _keep_nearest(part, rows: slice, lower, upper, x, y) -> None:
    """Entries that may be among the nearest of their query, put among those found so far."""
    best, nearest = part.best[rows], part.nearest[rows]
    top = best.shape[1]
    offset = part.queries.offset[rows]
    limit = best[:, -1].astype(np.float64)
    if lower.shape[1] >= top:  # so many others are no farther than this
        limit = np.minimum(limit, upper.topk(top, dim=1, largest=False).values[:, -1].cpu().numpy() + offset)
    reach = torch.from_numpy(np.minimum(above(limit, offset), FARTHEST).astype(np.float32)).to(lower.device)
    owner, column = (lower <= reach[:, None]).nonzero(as_tuple=True)
    distance = _exact(x, y, owner, column)
    owner = np.concatenate([owner.cpu().numpy(), np.repeat(np.arange(len(best)), top)])
    distance = np.concatenate([distance.cpu().numpy(), best.ravel()])
    place = np.concatenate([y["which"][column].cpu().numpy(), nearest.ravel()])
    order = np.lexsort((place, distance, owner))
    owner, distance, place = owner[order], distance[order], place[order]
    position = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = position < top
    best[owner[kept], position[kept]], nearest[owner[kept], position[kept]] = distance[kept], place[kept]
