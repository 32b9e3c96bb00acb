"""One person in two events: `returning({"heat": portraits, "final": portraits}, least=0.5)`.

Two identities of two events are compared as two cameras' parts of one identity are (`strangers`): by how far their
likeness goes beyond that of the most similar stranger beside either of them. Only identities that are each other's most
similar one are candidates, as one person stands in an event once.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .calibration import pair_products
from .constraints import seen_together
from .observations import Observations, camera_centred
from .strangers import height_above_strangers

# Of the log-odds that a pair at some height is one person: fitted by logistic regression to the pairs that linking made
# of what two cameras saw, with no, some or all people in common (simulated seeds 71 to 74). How well it holds over
# events stands in `benchmarks/results/returning.md`.
INTERCEPT, SLOPE = -4.3, 7.2


@dataclass(frozen=True)
class Portraits:
    """How an event's identities look.

    Attributes:
        cluster: [K] number of each in the event.
        looks: [K, D] unit length; of the embeddings less what the event's people have in common.
        rival: [K] cosine of each and of the most similar one who was seen beside it; -inf where nobody was.
    """

    cluster: np.ndarray
    looks: np.ndarray
    rival: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """Two clusters of two events that may be one person, and how likely they are."""

    event: str
    cluster: int
    other_event: str
    other_cluster: int
    probability: float


def portraits(seen: Observations, cluster: np.ndarray, overlap: float) -> Portraits:
    """Of an event whose tracklets are linked.

    Args:
        cluster: [N] of each tracklet, below 0 for those in none.
        overlap: seconds, see `constraints.seen_together`.
    """
    inside = np.flatnonzero(cluster >= 0)
    numbers, who = np.unique(cluster[inside], return_inverse=True)
    if not len(inside):
        return Portraits(numbers, np.zeros((0, seen.features.shape[1])), np.zeros(0))
    looks = np.zeros((len(numbers), seen.features.shape[1]))
    np.add.at(looks, who, camera_centred(seen)[inside] * seen.mass[inside, None])
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    place = np.full(len(cluster), -1)
    place[inside] = who
    first, second = (place[rows] for rows in seen_together(seen, overlap))
    beside = (first >= 0) & (second >= 0) & (first != second)
    pairs = np.unique(np.stack([first[beside], second[beside]]), axis=1)
    alike = pair_products(looks, *pairs)
    rival = np.full(len(numbers), -np.inf)
    for side in pairs:
        np.maximum.at(rival, side, alike)
    return Portraits(numbers, looks, rival)


def returning(events: Mapping[str, Portraits], least: float) -> list[Candidate]:
    """The pairs of clusters of two events that are one person with a probability of `least` or more, likeliest first.

    None where nobody is seen beside anybody in either event: nothing tells then how alike strangers get.
    """
    found = []
    for (event, here), (other_event, there) in itertools.combinations(events.items(), 2):
        rival = np.concatenate([here.rival, there.rival])
        if not len(here.cluster) or not len(there.cluster) or not np.isfinite(rival).any():
            continue
        table = here.looks @ there.looks.T
        best = table.argmax(1)
        mutual = np.flatnonzero(table.argmax(0)[best] == np.arange(len(best)))
        one, other = mutual, best[mutual]
        height = height_above_strangers(table[one, other], rival, one, len(here.cluster) + other)
        likely = 1 / (1 + np.exp(-(INTERCEPT + SLOPE * height)))
        for i, j, probability in zip(one, other, likely, strict=True):
            if probability >= least:
                numbers = int(here.cluster[i]), int(there.cluster[j])
                found.append(Candidate(event, numbers[0], other_event, numbers[1], float(probability)))
    return sorted(found, key=lambda c: (-c.probability, c.event, c.cluster, c.other_event, c.other_cluster))
