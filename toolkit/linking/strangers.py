"""Links across cameras that nothing speaks for are taken back: `without_strangers(clusters, camera)`.

Linkage merges what is most alike, and among the people of two cameras somebody always is, whether the cameras share a
person or not. How alike strangers get is seen within a camera: of the people who stand beside somebody there, all of
them others, one is the most like him. A link that goes no farther than that is a chance likeness.
"""

import itertools

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .calibration import pair_products
from .clusters import Clusters, parts_of

# A link's height is 0 where its two parts are no more alike than either is like the most similar stranger beside it,
# and 1 where they look the same. Where cameras share nobody, the mean height of an event's links stays below STRANGE,
# and a single link must be as high as STEEPEST; where the mean is higher, less is asked of each. All were read off
# simulated events, whole ones and such whose cameras were left no, one or two people in common.
STRANGE, STEEPEST, SLOPE, LOWEST = 0.25, 0.6, 2.0, 0.1
# Parts with less than this share of a typical part's footage are too noisy to be judged by.
SMALL = 0.2


def without_strangers(clusters: Clusters, camera: np.ndarray) -> Clusters:
    """The clusters, each divided where the links between what its cameras saw are no higher than strangers' are.

    The clusters stay as they are where nobody is ever seen beside anybody: nothing tells then how alike strangers get.

    Args:
        camera: [n] of each unit.
    """
    part, owner = parts_of(clusters.label, camera)
    looks = clusters.nodes.sums(part, len(owner))
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    rival = _most_similar_beside(clusters, part, camera, looks)
    one, other = _pairs_within(owner)
    if not np.isfinite(rival).any() or not len(one):
        return clusters
    alike = pair_products(looks, one, other)
    if clusters.nodes.pull:
        alike += clusters.nodes.pull.merged(part, len(owner)).between(one, other)
    height = height_above_strangers(alike, rival, one, other)
    inside = part >= 0
    mass = np.bincount(part[inside], clusters.nodes.mass[inside])
    weight = np.minimum(mass[one], mass[other])
    least = np.clip(STEEPEST - SLOPE * (np.average(height, weights=weight) - STRANGE), LOWEST, STEEPEST)
    kept = (height >= least) | (weight < SMALL * np.average(mass, weights=mass))
    edges = coo_array((np.ones(kept.sum()), (one[kept], other[kept])), shape=(len(owner), len(owner)))
    return clusters.relabelled(np.where(inside, connected_components(edges, directed=False)[1][part], -1))


def height_above_strangers(alike: np.ndarray, rival: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[M] in -1..1, the heights of links.

    Args:
        alike: [M] cosine of the two parts of each link.
        rival: [P] cosine of each part and of the most similar stranger beside it; -inf where there is none.
        one, other: [M] numbers of the two parts.
    """
    # Somebody may be unlike all others, or stand beside a false box on himself: the median of all steadies that.
    usual = np.median(rival[np.isfinite(rival)])
    rival = (np.where(np.isfinite(rival), rival, usual) + usual) / 2
    strange = (rival[one] + rival[other]) / 2
    return np.clip((alike - strange) / np.maximum(1 - strange, 1e-6), -1, 1)


def _most_similar_beside(clusters: Clusters, part: np.ndarray, camera: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """[P] cosine of each part and the most similar one of another person in its camera; -inf where there is none."""
    one, other = clusters.conflicts.first, clusters.conflicts.second
    beside = (camera[one] == camera[other]) & (part[one] >= 0) & (part[other] >= 0) & (part[one] != part[other])
    one, other = np.sort(np.stack([part[one[beside]], part[other[beside]]]), axis=0)
    one, other = np.divmod(np.unique(one * len(looks) + other), max(len(looks), 1))
    alike = pair_products(looks, one, other)
    most = np.full(len(looks), -np.inf)
    np.maximum.at(most, one, alike)
    np.maximum.at(most, other, alike)
    return most


def _pairs_within(owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of parts of one cluster; `owner` [P] is rising."""
    groups = np.split(np.arange(len(owner)), np.flatnonzero(np.diff(owner)) + 1)
    pairs = [pair for group in groups for pair in itertools.combinations(group.tolist(), 2)]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
