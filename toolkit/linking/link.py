"""Constrained average linkage of an event's tracklets, within windows of time and then over all of it.

    links = link(Observations(features, camera, start, end, weight, must, annotated), LinkSettings())
    links.cluster               # [N], cluster of each tracklet, -1 where it stays undecided (junk)
    links.pure, links.whole     # [K], how sure it is that a cluster is one person, and all of that person

Two tracklets seen at the same time in one camera are two people (cannot-link); two tracklets with one annotated id in
one sequence are one person (must-link). Both, and what a reviewer said, hold whatever the embeddings say. Within them
the two most similar clusters are merged until the similarity falls below a threshold that is read off the event itself:
cannot-link pairs show how similar different people look to this embedder on this footage, pairs of tracklets in two
cameras that are each other's best match show how similar one person looks. Where cameras share nobody, the best match
is a stranger: links that are no better than those between strangers are taken back (`strangers`).
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from msgspec import Meta

from ...datasets.fields import check_fields
from .calibration import Calibration, calibrate
from .clusters import TOLERATED, UNDECIDED, Clusters, attach, refine
from .confidence import judge
from .constraints import HANDOVER, Conflicts, unit_conflicts, units_of
from .evidence import Grouping
from .linkage import Nodes, merge_alike, merge_in_windows
from .observations import Evidence, Observations, camera_centred, people_at_once
from .pull import Pull, worth
from .strangers import without_strangers

ROUNDS = 4  # of refining clusters and merging them again
# A cluster with less than this share of a typical person's footage may be one by chance.
SCRAP = 0.05
# Less footage than this, in seconds and as a share of a typical person's, founds nobody: its tracklets join whom they
# are like, or stay undecided.
BRIEF, BRIEF_SHARE = 8.0, 0.15


@dataclass(frozen=True)
class LinkSettings:
    """What decides a linking. Lengths in seconds.

    Attributes:
        people: number of identities an event has, where the user knows it. Merging then stops at that number, and where
            the constraints leave more clusters than that, only the largest are kept.
        overlap: two tracklets of a camera seen together for longer than this, or for half of the shorter one, are two
            people. Less is a tracker's handover: the old track goes on for some frames beside the new one.
        anchor_seconds: tracklets shorter than this don't found a cluster; they're attached to one afterwards, or left.
        attach_margin: a short tracklet joins its best cluster only when that is better than the next by this share of
            the distance between "same" and "different".
    """

    people: Annotated[int, Meta(ge=1)] | None = None
    overlap: Annotated[float, Meta(ge=0, le=86_400)] = HANDOVER
    anchor_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.5
    attach_margin: Annotated[float, Meta(ge=0, le=100)] = 0.15

    def __post_init__(self) -> None:
        check_fields(self, "linking setting")


@dataclass(frozen=True)
class Links:
    """Who is who, and how sure that is, in 0..1 (see `confidence`).

    Attributes:
        cluster: [N] 0, 1, ... by falling number of tracklets, UNDECIDED where left out.
        confidence: [N] that the tracklet shows the person whom most of its cluster shows; 0 where left out.
        pure, whole: [K] that the cluster is one person, and that it is all of that person.
        twin, same: [K] the cluster that is most likely the same person, -1 where none may be, and how likely.
    """

    cluster: np.ndarray
    confidence: np.ndarray
    pure: np.ndarray
    whole: np.ndarray
    twin: np.ndarray
    same: np.ndarray
    calibration: Calibration


@dataclass(frozen=True)
class Grouped:
    """Who is who, without how sure that is.

    Attributes:
        cluster: [N], see `Links`. unit: [N] of each tracklet. grouping: of the units.
        crowd: the most people seen at once in a camera.
    """

    cluster: np.ndarray
    unit: np.ndarray
    grouping: Grouping
    crowd: int
    calibration: Calibration


def link(seen: Observations, settings: LinkSettings, evidence: Evidence | None = None) -> Links:
    """Clusters of one person each, and how sure they are. The same observations give the same clusters, on any run.

    Time and memory grow with the number of tracklets N, as long as the number of people does not.

    Args:
        evidence: what else than looks is known of pairs of tracklets.

    Raises:
        UsageError: two tracklets that must be one person are seen at the same time in one camera.
    """
    if len(seen.features) == 0:
        none, nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return Links(none, nothing, nothing, nothing, none, nothing, Calibration(0, 0, 1, 0, 0.5, 0, 0))
    found = group(seen, settings, evidence)
    sure = judge(found.grouping, found.crowd)
    return Links(
        found.cluster,
        sure.unit[found.unit].astype(np.float32),
        sure.pure.astype(np.float32),
        sure.whole.astype(np.float32),
        sure.twin,
        sure.same.astype(np.float32),
        found.calibration,
    )


def group(seen: Observations, settings: LinkSettings, evidence: Evidence | None = None) -> Grouped:
    """The clusters of one tracklet or more.

    Raises:
        UsageError: as `link`.
    """
    unit = units_of(seen.must)
    conflicts = unit_conflicts(seen, unit, settings.overlap)
    features = camera_centred(seen)
    crowd = max(people_at_once(seen).values())
    calibration = calibrate(features, seen, settings.overlap, crowd)

    nodes = Nodes(features, seen.mass, (seen.start + seen.end) / 2)
    if evidence is not None and len(evidence.first):
        pull = Pull.from_log_odds(len(unit), evidence.first, evidence.second, evidence.log_odds, worth(calibration))
        nodes = replace(nodes, pull=pull)
    if conflicts.count < len(unit):
        nodes = nodes.merged(unit, conflicts.count)
    known = np.zeros(conflicts.count, bool)
    known[unit[seen.must >= 0]] = True
    anchor = known.copy()
    anchor[unit[seen.end - seen.start >= settings.anchor_seconds]] = True
    if not anchor.any():
        anchor[:] = True
    label = _founded(nodes, conflicts, anchor, calibration.threshold, settings.people or 1)
    clusters = _refined(Clusters(nodes, conflicts, label), calibration.threshold, settings.people or 1)
    if settings.people is None:
        clusters = without_strangers(clusters, seen.camera[np.unique(unit, return_index=True)[1]])
    seconds = np.bincount(unit, seen.end - seen.start, conflicts.count)
    clusters = _without_scraps(clusters, seconds, calibration, crowd, known, settings.people or 1)
    if settings.people is not None:
        clusters = clusters.merged(
            merge_alike(clusters.as_nodes(), clusters.conflicts_between(), -np.inf, settings.people)
        )
        refine(clusters)
        clusters = _largest(clusters, settings.people)
    margin = settings.attach_margin * max(calibration.same_mean - calibration.different_mean, 0.05)
    attach(clusters, calibration.threshold, margin)
    if seen.settled is not None:
        clusters = _with_settled(clusters, np.unique(unit[seen.settled]))
    cluster = _by_size(clusters.label[unit])
    label = np.full(len(nodes), UNDECIDED)
    label[unit] = cluster
    return Grouped(cluster, unit, Grouping.of(seen, unit, nodes, conflicts, label), crowd, calibration)


def _founded(nodes: Nodes, conflicts: Conflicts, anchor: np.ndarray, threshold: float, least: int) -> np.ndarray:
    """[n] cluster of each unit that may found one; UNDECIDED for the others."""
    rows = np.flatnonzero(anchor)
    place = np.full(len(nodes), UNDECIDED)
    place[rows] = np.arange(len(rows))
    label = np.full(len(nodes), UNDECIDED)
    label[rows] = merge_in_windows(nodes.rows(rows), conflicts.merged(place, len(rows)), threshold, least)
    return label


def _refined(clusters: Clusters, threshold: float, least: int) -> Clusters:
    """The clusters refined, and merged again where that lifted what kept them apart."""
    for _ in range(ROUNDS):
        refine(clusters)
        found = merge_in_windows(clusters.as_nodes(), clusters.conflicts_between(TOLERATED), threshold, least)
        if found.max(initial=-1) + 1 == len(clusters):
            break
        clusters = clusters.merged(found)
        clusters.expel()
    return clusters


def _without_scraps(
    clusters: Clusters, seconds: np.ndarray, calibration: Calibration, crowd: int, known: np.ndarray, least: int
) -> Clusters:
    """The clusters without those that hold next to nothing: what poor tracklets leave over that are alike by chance,
    and people of whom there is too little to tell them from somebody who is known better.

    Args:
        seconds: [n] footage of each unit.
        crowd: the most people seen at once in a camera.
        known: [n] units that are said to be a person; clusters that hold one stay.
        least: so many clusters stay.
    """
    inside = clusters.label[known]
    typical = np.median(np.sort(clusters.mass)[-crowd:])
    scrap = clusters.mass < SCRAP * typical
    scrap &= clusters.cohesion() < (calibration.threshold + calibration.same_mean) / 2
    held = clusters.label >= 0
    footage = np.bincount(clusters.label[held], seconds[held], len(clusters))
    scrap |= footage < min(BRIEF, BRIEF_SHARE * np.median(np.sort(footage)[-crowd:]))
    scrap[inside[inside >= 0]] = False
    scrap[np.argsort(-clusters.mass, kind="stable")[:least]] = False
    return clusters.merged(np.where(scrap, UNDECIDED, np.arange(len(clusters))))


def _largest(clusters: Clusters, people: int) -> Clusters:
    """The clusters with the most footage. Cannot-links may leave more of them than people; the others are dissolved."""
    number = np.full(len(clusters), UNDECIDED)
    kept = np.argsort(-clusters.mass, kind="stable")[:people]
    number[kept] = kept
    return clusters.merged(number)


def _with_settled(clusters: Clusters, units: np.ndarray) -> Clusters:
    """The clusters, and one for each of the units that is in none: a reviewer said that they are people."""
    label, lost = clusters.label.copy(), units[clusters.label[units] < 0]
    label[lost] = len(clusters) + np.arange(len(lost))
    return clusters.relabelled(label)


def _by_size(label: np.ndarray) -> np.ndarray:
    """The same clusters numbered by falling size, then by first tracklet."""
    numbers, first, sizes = np.unique(label[label >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    renamed = np.full(int(label.max(initial=UNDECIDED)) + 2, UNDECIDED, np.int64)
    renamed[numbers[order]] = np.arange(len(numbers))
    return renamed[label]
