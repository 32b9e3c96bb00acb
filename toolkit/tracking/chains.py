"""Boxes of frame after frame that go together by place alone, beyond doubt: `chains(boxes)`.

One embedding tells the looks of several boxes of a chain, so that not every box needs one of its own.
"""

import itertools

import numpy as np

from ..looks import Looks
from .by_frame import TakenBoxes
from .geometry import expanded_overlap

LEAST_OVERLAP = 0.5  # of two boxes, one in each of two frames that follow each other, that go together
MARGIN = 0.2  # by which any other pair of either must overlap less
EVERY = 0.3  # seconds of a chain of which one box needs an embedding
CROWDED = 10  # steps in which it's told which box stands freest


def chains(boxes: TakenBoxes) -> np.ndarray:
    """[N] number of each box's chain, by time of birth."""
    chain = np.zeros(len(boxes.box), np.int64)
    before, born = np.zeros(0, np.int64), 0
    for k, (a, b) in enumerate(itertools.pairwise(boxes.start)):
        here = np.arange(a, b)
        chain[here] = -1
        if len(before) and len(here) and not boxes.camera.begins[k]:
            expected = boxes.camera.carry(boxes.box[before], k - 1, k)
            overlap = expanded_overlap(expected, boxes.box[here], 0.0)
            i, j = np.nonzero(_clear(overlap, 1) & _clear(overlap, 0) & (overlap >= LEAST_OVERLAP))
            chain[here[j]] = chain[before[i]]
        new = here[chain[here] < 0]
        chain[new] = born + np.arange(len(new))
        born += len(new)
        before = here
    return chain


def _clear(overlap: np.ndarray, axis: int) -> np.ndarray:
    """[n, m] whether each overlap exceeds every other one along the axis by `MARGIN`."""
    if overlap.shape[axis] < 2:
        return np.ones(overlap.shape, bool)
    best = np.partition(overlap, -2, axis)
    second, first = best.take(-2, axis), best.take(-1, axis)
    return (overlap == np.expand_dims(first, axis)) & np.expand_dims(first - second >= MARGIN, axis)


def need_looks(boxes: TakenBoxes, chain: np.ndarray) -> np.ndarray:
    """[N] whether a box needs an embedding: one in `EVERY` seconds of each chain, which stands as free as any there."""
    time = boxes.time
    first = np.full(int(chain.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, chain, time)
    turn = np.floor((time - first[chain] + 1e-6) / EVERY).astype(np.int64)
    order = np.lexsort((time, np.round(CROWDED * boxes.crowd), turn, chain))
    needed = np.zeros(len(chain), bool)
    needed[order[np.unique(np.stack([chain, turn], 1)[order], axis=0, return_index=True)[1]]] = True
    return needed


def spread_looks(boxes: TakenBoxes, chain: np.ndarray, looks: Looks) -> Looks:
    """The looks of each box, or of the one that is nearest in time of those of its chain that have any."""
    time, known, place = boxes.time, looks.known, looks.place.copy()
    order = np.argsort(chain, kind="stable")  # the boxes of a chain are in order of time
    for rows in np.split(order, np.flatnonzero(np.diff(chain[order])) + 1):
        own = rows[known[rows]]
        if len(own):
            at = np.searchsorted(time[own], time[rows])
            before, after = own[np.maximum(at - 1, 0)], own[np.minimum(at, len(own) - 1)]
            nearer = np.abs(time[rows] - time[before]) <= np.abs(time[after] - time[rows])
            place[rows] = looks.place[np.where(nearer, before, after)]
    return Looks(place, looks.features)
