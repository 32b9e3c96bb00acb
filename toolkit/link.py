"""Stage 7: which tracklets show the same person. Constrained average linkage across the cameras of one event.

    links = link(Observations(features, camera, start, end, weight, must), LinkSettings())
    links.cluster        # [N], cluster of each tracklet, -1 where it stays undecided (junk)

Two tracklets seen at the same time in one camera are two people (cannot-link); two tracklets with one annotated id in
one sequence are one person (must-link). Both hold whatever the embeddings say. Within them the two most similar
clusters are merged until the similarity falls below a threshold that is read off the event itself: cannot-link pairs
show how similar different people look to this embedder on this footage, pairs of tracklets in two cameras that are
each other's best match show how similar one person looks.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from ..datasets import UsageError
from ..datasets.fields import check_fields

UNDECIDED = -1
# The threshold as a share of the way from the mean similarity of different people (0) to that of one person (1). It
# lies below the middle because linkage compares the mean similarity of two clusters: over many pairs the chance
# likeness of two different people averages out, while the likeness of one person to himself remains.
NEARER_DIFFERENT = 0.4
# Of the mean embedding the share n / (n + COMMON) is subtracted, where n is the number of people seen at once, summed
# over the cameras, less one. The mean of few people is mostly those people; that of many is what all have in common.
COMMON = 4.0


@dataclass(frozen=True)
class LinkSettings:
    """What decides a linking; lengths of time are in seconds.

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
    overlap: Annotated[float, Meta(ge=0, le=86_400)] = 0.5
    anchor_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.5
    attach_margin: Annotated[float, Meta(ge=0, le=100)] = 0.15

    def __post_init__(self) -> None:
        check_fields(self, "linking setting")


@dataclass(frozen=True)
class Observations:
    """The tracklets of one event.

    Attributes:
        features: [N, D] float, L2-normalised.
        camera: [N] integer.
        start, end: [N] seconds on the event's common clock.
        weight: [N] in 0..1, how much a tracklet counts in the mean of its cluster (its quality).
        must: [N] integer; tracklets with one value >= 0 are one person; -1 where nothing is known.
        annotated: [N] number of the annotated sequence that `must` comes from, -1 for none: two values of `must` in one
            sequence are two people, seen together or not.
    """

    features: np.ndarray
    camera: np.ndarray
    start: np.ndarray
    end: np.ndarray
    weight: np.ndarray
    must: np.ndarray
    annotated: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """The similarities of an event's different people and of one person across cameras, and the threshold between."""

    different_mean: float
    different_std: float
    same_mean: float
    same_std: float
    threshold: float
    pairs_different: int
    pairs_same: int


@dataclass(frozen=True)
class Links:
    """cluster [N]: 0, 1, ... by falling number of tracklets, UNDECIDED where left out; confidence [N] in 0..1."""

    cluster: np.ndarray
    confidence: np.ndarray
    calibration: Calibration


def link(seen: Observations, settings: LinkSettings) -> Links:
    """Clusters of one person each. The same observations give the same clusters, on any run.

    Raises:
        UsageError: two tracklets that must be one person are seen at the same time in one camera.
    """
    n = len(seen.features)
    if n == 0:
        empty = np.zeros(0)
        return Links(empty.astype(np.int64), empty.astype(np.float32), Calibration(0, 0, 1, 0, 0.5, 0, 0))
    forbidden = cannot_link(seen, settings.overlap)
    groups = _must_groups(seen.must)
    for group in groups:
        clash = np.argwhere(forbidden[np.ix_(group, group)])
        if len(clash) and seen.must[group[0]] >= 0:
            first, second = (int(group[row]) for row in clash[0])
            raise UsageError(
                f"Tracklets {first} and {second} must be one person, but are seen at the same time in one camera "
                f"(from {max(seen.start[first], seen.start[second]):.2f} s on). Mend the annotation."
            )
    similarity = camera_centred(seen)
    calibration = calibrate(similarity, forbidden, seen.must, max(people_at_once(seen).values()))

    length = seen.end - seen.start
    anchor = (length >= settings.anchor_seconds) | (seen.must >= 0)
    if not anchor.any():
        anchor[:] = True
    weight = np.maximum(seen.weight, 0.05) * np.sqrt(np.clip(length, 0.1, 4.0))
    threshold = calibration.threshold if settings.people is None else -np.inf
    members = [[int(i) for i in group if anchor[i]] for group in groups]
    members = agglomerate(similarity, forbidden, weight, [m for m in members if m], threshold, settings.people or 1)
    if settings.people is not None:
        # Cannot-links may leave more clusters than people: the lightest are dissolved, and what they held is attached
        # below, tracklets that must be one person together.
        members = sorted(members, key=lambda m: -weight[m].sum())[: settings.people]
    label = np.full(n, UNDECIDED, np.int64)
    for number, cluster in enumerate(members):
        label[cluster] = number
    free = seen.must < 0
    label = refine(label, similarity, forbidden, weight, free)
    label = _attach(label, groups, similarity, forbidden, weight, calibration, settings)
    confidence = _confidence(label, similarity, forbidden, weight, calibration)
    return Links(_by_size(label), confidence.astype(np.float32), calibration)


def cannot_link(seen: Observations, overlap: float) -> np.ndarray:
    """[N, N] bool: in one camera and seen together for more than a handover, or two ids of one annotation."""
    together = np.minimum(seen.end[:, None], seen.end[None]) - np.maximum(seen.start[:, None], seen.start[None])
    length = seen.end - seen.start
    handover = np.minimum(overlap, np.minimum(length[:, None], length[None]) / 2)
    forbidden = (seen.camera[:, None] == seen.camera[None]) & (together > handover)
    np.fill_diagonal(forbidden, False)
    sequence = (seen.annotated[:, None] == seen.annotated[None]) & (seen.annotated[:, None] >= 0)
    return forbidden | (sequence & (seen.must[:, None] != seen.must[None]))


def camera_centred(seen: Observations) -> np.ndarray:
    """[N, N] cosine after what all have in common, and what each camera adds (colour cast, backdrop), is taken out.

    The mean over a camera's people estimates what it adds, but holds the people too. It's therefore shrunk towards the
    mean of all, as James and Stein (1961) do: by how far the cameras' means lie apart beside how far they would lie
    apart if nothing but a chance choice of people made them differ.
    """
    features = np.asarray(seen.features, np.float64)
    weight = np.maximum(seen.weight, 0.05)[:, None]
    overall = (features * weight).sum(0) / weight.sum()
    people = people_at_once(seen)
    means, chance = {}, {}
    for camera, count in people.items():
        rows = seen.camera == camera
        means[camera] = (features[rows] * weight[rows]).sum(0) / weight[rows].sum()
        variance = (weight[rows] * (features[rows] - means[camera]) ** 2).sum() / weight[rows].sum()
        chance[camera] = variance / (count - 1) if count > 1 else np.inf
    apart = sum(((mean - overall) ** 2).sum() for mean in means.values()) / max(len(means) - 1, 1)
    # With one person in all there is no "what people have in common" to take out.
    crowd = sum(people.values())
    common = (crowd - 1) / (crowd - 1 + COMMON)
    centred = np.empty_like(features)
    for camera in people:
        rows = seen.camera == camera
        trust = max(0.0, 1 - chance[camera] / apart) if apart > 0 else 0.0
        centred[rows] = features[rows] - trust * means[camera] - (1 - trust) * common * overall
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return centred @ centred.T


def calibrate(similarity: np.ndarray, forbidden: np.ndarray, must: np.ndarray, crowd: int) -> Calibration:
    """How similar different people and one person look in this event, and the threshold between the two.

    "Different" comes from cannot-link pairs. Of the pairs that may be one person about one in K is, for K people who
    are about equally often seen; `crowd`, the most people seen at once, stands for K, and the best 1/K of the pairs
    for "same", must-link pairs with them.
    """
    upper = np.triu_indices(len(similarity), 1)
    known = (must[:, None] == must[None]) & (must[:, None] >= 0)
    different = similarity[upper][forbidden[upper]]
    rest = np.sort(similarity[upper][~forbidden[upper] & ~known[upper]])
    same = np.concatenate([rest[len(rest) - -(-len(rest) // crowd) :], similarity[upper][known[upper]]])
    if len(same) == 0:
        same = np.ones(1)
    if len(different) == 0:
        # Nobody is ever seen beside anybody: the widest gap in the similarities has to do, or all are one person.
        values = np.sort(similarity[upper]) if len(similarity) > 1 else np.array([1.0])
        gaps = np.diff(values)
        at = int(gaps.argmax()) if len(gaps) else 0
        threshold = (values[at] + values[at + 1]) / 2 if len(gaps) and gaps[at] > 0.2 else min(values[0], 0.0) - 1e-6
        s_mean, s_std = float(np.median(same)), float(same.std())
        return Calibration(float(values[0]), 0.0, s_mean, s_std, float(threshold), 0, len(same))
    d_mean, s_mean = float(different.mean()), float(np.median(same))
    threshold = d_mean + NEARER_DIFFERENT * (s_mean - d_mean) if s_mean > d_mean else s_mean
    return Calibration(d_mean, float(different.std()), s_mean, float(same.std()), threshold, len(different), len(same))


def agglomerate(
    similarity: np.ndarray,
    forbidden: np.ndarray,
    weight: np.ndarray,
    members: list[list[int]],
    threshold: float,
    least: int = 1,
) -> list[list[int]]:
    """Merges the allowed pair of clusters with the highest weighted mean similarity until none reaches `threshold`.

    Average linkage never makes a merged cluster more similar to a third than the better of its halves was, so each
    row's best partner stays right until that partner is merged away: O(N^2) for N tracklets in all but odd cases.
    """
    count = len(members)
    if count == 0:
        return []
    order = np.concatenate([np.asarray(m) for m in members])
    first = np.cumsum([0] + [len(m) for m in members[:-1]])
    mass = np.add.reduceat(weight[order], first)
    rows = np.ix_(order, order)
    total = _sum_blocks(similarity[rows] * np.outer(weight[order], weight[order]), first)
    blocked = _sum_blocks(forbidden[rows].astype(np.int32), first) > 0
    mean = np.where(blocked, -np.inf, total / np.outer(mass, mass))
    np.fill_diagonal(mean, -np.inf)
    alive = np.ones(count, bool)
    best = mean.argmax(1)
    value = mean[np.arange(count), best]
    groups = [list(m) for m in members]
    remaining = count
    while remaining > max(least, 1):
        i = int(value.argmax())
        if not np.isfinite(value[i]) or value[i] < threshold:
            break
        j = int(best[i])
        i, j = min(i, j), max(i, j)
        groups[i] += groups[j]
        total[i] += total[j]
        total[:, i] += total[:, j]
        mass[i] += mass[j]
        blocked[i] |= blocked[j]
        blocked[:, i] |= blocked[:, j]
        alive[j] = False
        remaining -= 1
        mean[i] = np.where(blocked[i] | ~alive, -np.inf, total[i] / (mass[i] * mass))
        mean[i, i] = -np.inf
        mean[:, i] = mean[i]
        mean[j] = mean[:, j] = -np.inf
        value[j] = -np.inf
        stale = np.flatnonzero(alive & ((best == i) | (best == j)))
        stale = np.union1d(stale, [i])
        best[stale] = mean[stale].argmax(1)
        value[stale] = mean[stale, best[stale]]
    return [sorted(groups[k]) for k in np.flatnonzero(alive)]


def _sum_blocks(matrix: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums of the blocks of a square matrix that begin at `first` in both directions."""
    return np.add.reduceat(np.add.reduceat(matrix, first, axis=0), first, axis=1)


def refine(
    label: np.ndarray, similarity: np.ndarray, forbidden: np.ndarray, weight: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Moves a tracklet to a cluster that fits better, or swaps two that forbid each other; greedy merges can't.

    Runs until nothing moves, ten passes at most.
    """
    label = label.copy()
    if len(np.unique(label[label >= 0])) < 2:
        return label
    for _ in range(10):
        moved = False
        for i in np.flatnonzero(free & (label >= 0)):
            own = label[i]
            alone = (label == own).sum() == 1
            fit, blocked = _fit(i, label, similarity, forbidden, weight)
            if alone:  # dissolving a cluster is the linkage's decision
                continue
            order = np.argsort(-fit, kind="stable")
            for target in order[:3]:
                if target == own or fit[target] <= fit[own] + 1e-6:
                    break
                if not blocked[target]:
                    label[i], moved = target, True
                    break
                rivals = np.flatnonzero((label == target) & forbidden[i])
                if len(rivals) != 1 or not free[rivals[0]]:
                    continue
                j = rivals[0]
                trial = label.copy()
                trial[i], trial[j] = target, own
                if forbidden[j][trial == own].any():
                    continue
                before = fit[own] + _fit(j, label, similarity, forbidden, weight)[0][target]
                after = (
                    _fit(i, trial, similarity, forbidden, weight)[0][target]
                    + _fit(j, trial, similarity, forbidden, weight)[0][own]
                )
                if after > before + 1e-6:
                    label, moved = trial, True
                    break
        if not moved:
            break
    return label


def _fit(
    i: int, label: np.ndarray, similarity: np.ndarray, forbidden: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean similarity of tracklet i to each cluster without itself (-inf: empty), and which clusters forbid it."""
    inside = label >= 0
    inside[i] = False
    count = int(label.max()) + 1
    mass = np.bincount(label[inside], weight[inside], count)
    total = np.bincount(label[inside], weight[inside] * similarity[i, inside], count)
    blocked = np.bincount(label[inside], forbidden[i, inside], count) > 0
    return np.where(mass > 0, total / np.maximum(mass, 1e-12), -np.inf), blocked


def _attach(
    label: np.ndarray,
    groups: list[np.ndarray],
    similarity: np.ndarray,
    forbidden: np.ndarray,
    weight: np.ndarray,
    calibration: Calibration,
    settings: LinkSettings,
) -> np.ndarray:
    """Gives what founded no cluster to the one that it clearly fits, best first, and leaves the rest undecided.

    Args:
        groups: rows that must be one person; they go to one cluster together, or stay undecided together.
    """
    label = label.copy()
    if not (label >= 0).any():
        return label
    least = settings.attach_margin * max(calibration.same_mean - calibration.different_mean, 0.05)
    waiting = [group for group in groups if label[group[0]] == UNDECIDED]
    # An O(len(waiting)) pass for each attachment would be slow with thousands of scraps: in order of best fit, once.
    best = [_fit_all(group, label, similarity, forbidden, weight)[0].max() for group in waiting]
    for k in sorted(range(len(waiting)), key=lambda k: (-best[k], waiting[k][0])):
        fit, blocked = _fit_all(waiting[k], label, similarity, forbidden, weight)
        allowed = np.where(blocked, -np.inf, fit)
        target = int(allowed.argmax())
        rest = np.delete(allowed, target)
        second = rest.max() if len(rest) else -np.inf
        if allowed[target] >= calibration.threshold and allowed[target] - second >= least:
            label[waiting[k]] = target
    return label


def _fit_all(
    rows: np.ndarray, label: np.ndarray, similarity: np.ndarray, forbidden: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`_fit` of several undecided tracklets as one: their weighted mean, and the clusters that any of them forbids."""
    fits = [_fit(int(i), label, similarity, forbidden, weight) for i in rows]
    if len(fits) == 1:
        return fits[0]
    mean = np.average([fit for fit, _ in fits], axis=0, weights=weight[rows])
    return mean, np.any([blocked for _, blocked in fits], axis=0)


def _confidence(
    label: np.ndarray, similarity: np.ndarray, forbidden: np.ndarray, weight: np.ndarray, calibration: Calibration
) -> np.ndarray:
    """[N] in 0..1, how sure it is that each tracklet belongs to its cluster; 0 for undecided ones.

    It is the logistic function of a margin: the tracklet's mean similarity to its own cluster, less the highest mean
    similarity to another cluster that it may join, or less the threshold where that is higher (below the threshold the
    tracklet would rather be a person whom no other tracklet shows). At 0.5 the two alternatives are equally likely.
    """
    scale = max(calibration.same_mean - calibration.different_mean, 0.05) / 8
    confidence = np.zeros(len(label))
    for i in np.flatnonzero(label >= 0):
        fit, blocked = _fit(i, label, similarity, forbidden, weight)
        own = fit[label[i]]
        others = np.where(blocked, -np.inf, fit)
        others[label[i]] = -np.inf
        if np.isfinite(own):
            margin = own - max(others.max(), calibration.threshold)
        else:
            margin = calibration.threshold - others.max()  # alone in its cluster
        confidence[i] = 1 / (1 + np.exp(-np.clip(margin / scale, -30, 30)))
    return confidence


def _must_groups(must: np.ndarray) -> list[np.ndarray]:
    """Rows of each annotated id, and every other row alone; by first row."""
    groups = {}
    for row, value in enumerate(must.tolist()):
        groups.setdefault(("id", value) if value >= 0 else ("row", row), []).append(row)
    return [np.array(rows) for rows in groups.values()]


def people_at_once(seen: Observations) -> dict[int, int]:
    """Camera -> the most tracklets that it saw at one moment."""
    most = {}
    for name in np.unique(seen.camera).tolist():
        rows = seen.camera == name
        moments = np.concatenate([seen.start[rows], seen.end[rows]])
        steps = np.concatenate([np.ones(rows.sum()), -np.ones(rows.sum())])
        order = np.lexsort((steps, moments))  # an end before a start at the same moment
        most[name] = max(int(np.cumsum(steps[order]).max()), 1)
    return most


def _by_size(label: np.ndarray) -> np.ndarray:
    """The same clusters numbered by falling size, then by first tracklet."""
    numbers, first, sizes = np.unique(label[label >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    renamed = np.full(int(label.max()) + 2, UNDECIDED, np.int64)
    renamed[numbers[order]] = np.arange(len(numbers))
    return renamed[label]
