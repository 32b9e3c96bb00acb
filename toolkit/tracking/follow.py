"""Boxes of one frame joined to those of the next: `follow(seen, FollowSettings(fps=25.0))`.

A cascade as in Deep-EIoU (arXiv 2306.13074): the people followed so far are looked for among the confident boxes first
near where they are expected and then farther off, then among the weak boxes (ByteTrack, arXiv 2110.06864). How well a
box fits is 0.4 times its overlap with the expected one and 0.6 times the likeness of the looks; the overlap alone where
there are none. Every box has a `Fate`: none is lost unseen.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..camera_path import CameraPath
from ..looks import Looks
from .geometry import crowding, expanded_overlap, nested
from .motion import Motion


class Fate(IntEnum):
    """What became of a box: it belongs to a track, is a second one on a person found already, or is a weak one that no
    track and no run of others bears out."""

    FOLLOWED, SECOND, WEAK = range(3)


@dataclass(frozen=True)
class FollowSettings:
    """What decides a track.

    Attributes:
        fps: frames a second.
        confidence: boxes from here on start a track at once.
        max_gap: seconds; who is unseen for longer is somebody new.
        expanded: by which share of their sides boxes are made larger, in one round of the cascade after the other.
        least: fit, 0 to 1, that a pair must have in each round.
        least_weak: fit that a pair with a weak box must have.
        least_looks: fit that a pair with looks and a confident box must have in any round.
        looks: weight of the looks beside the overlap, 0 to 1.
        strangers: likeness, 0 (two people, in the mean) to 1 (one person), under which nobody goes on in a confident
            box; in a weak one it is 0.
        memory: share of a person's looks that stays when a new box is seen.
        crowded: overlap with another box from which a box's looks are not taken over.
        run: seconds for which weak boxes must follow each other to be a track,
        dense: and share of the frames of that time in which there must be one.
        inside: share of a box inside a found person's from which it may be a second one on that person.
        lower: it is one if it has at most this share of the person's height,
        twin: or if the two overlap by this.
        same: likeness from which a box is a second one on a person
        touching: if this share of it lies inside that person's.
    """

    fps: float
    confidence: float = 0.5
    max_gap: float = 1.0
    expanded: tuple[float, ...] = (0.0, 0.5)
    least: tuple[float, ...] = (0.3, 0.2)
    least_weak: float = 0.3
    least_looks: float = 0.5
    looks: float = 0.6
    strangers: float = 0.3
    memory: float = 0.9
    crowded: float = 0.3
    run: float = 0.3
    dense: float = 0.5
    inside: float = 0.85
    lower: float = 0.75
    twin: float = 0.75
    same: float = 0.3
    touching: float = 0.4


@dataclass(frozen=True)
class Seen:
    """The boxes of one take.

    Attributes:
        time: [F] seconds of the frames that were looked at, increasing.
        start: [F + 1] row of each frame's first box; the last one is N.
        box: [N, 4] corners in pixels.
        confidence: [N] 0 to 1.
        looks: of the N boxes.
        camera: its path through the F frames.
        different, same: the cosine of two people's looks and that of one person's, in the mean.
    """

    time: np.ndarray
    start: np.ndarray
    box: np.ndarray
    confidence: np.ndarray
    looks: Looks
    camera: CameraPath
    different: float = 0.0
    same: float = 1.0

    def likeness(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """[N, M] of looks [N, D] and [M, D]: 0 as for two people, 1 as for one, NaN where either has none."""
        cosine = (one @ other.T - self.different) / max(self.same - self.different, 1e-3)
        known = one.any(1)[:, None] & other.any(1)[None]
        return np.where(known, np.clip(cosine, -1, 1), np.nan)


@dataclass(frozen=True)
class Followed:
    """track [N]: number from 1, 0 where a box is in none; fate [N]: of `Fate`."""

    track: np.ndarray
    fate: np.ndarray


class _People:
    """Those followed at one moment, in rows: number, motion, looks, last time seen, since when, whether sure."""

    def __init__(self, dimensions: int) -> None:
        self.number = np.zeros(0, np.int64)
        self.motion = Motion.of(np.zeros((0, 4)))
        self.looks = np.zeros((0, dimensions))
        self.last, self.since = np.zeros(0), np.zeros(0)
        self.sure = np.zeros(0, bool)

    def keep(self, rows: np.ndarray) -> None:
        self.motion = self.motion.only(rows)
        for name in ("number", "looks", "last", "since", "sure"):
            setattr(self, name, getattr(self, name)[rows])

    def add(self, number: np.ndarray, boxes: np.ndarray, looks: np.ndarray, time: float, sure: np.ndarray) -> None:
        self.number = np.concatenate([self.number, number])
        self.motion = self.motion.joined(Motion.of(boxes))
        self.looks = np.concatenate([self.looks, looks])
        self.last = np.concatenate([self.last, np.full(len(number), time)])
        self.since = np.concatenate([self.since, np.full(len(number), time)])
        self.sure = np.concatenate([self.sure, sure])


def follow(seen: Seen, settings: FollowSettings) -> Followed:
    """Joins boxes to tracks, frame by frame. The same boxes give the same tracks."""
    track = np.zeros(len(seen.box), np.int64)
    fate = np.full(len(seen.box), Fate.WEAK)
    people, born, before = _People(seen.looks.features.shape[1]), 0, 0.0
    for k, time in enumerate(seen.time):
        rows = np.arange(seen.start[k], seen.start[k + 1])
        box, looks = seen.box[rows], seen.looks[rows]
        _forget(people, time, settings)
        if seen.camera.begins[k]:  # nobody is where the shot before had them
            people.keep(np.zeros(0, np.int64))
        if k:
            if not seen.camera.stands:
                people.motion.carry(seen.camera.steps[k])
            people.motion.predict((time - before) * settings.fps, people.last < before)
        mine = _cascade(people, seen, box, looks, seen.confidence[rows] >= settings.confidence, settings)
        crowd = crowding(box)
        _go_on(people, mine, box, looks, crowd, time, settings)
        found = mine >= 0
        track[rows[found]] = people.number[mine[found]]
        new = ~found & ~_second(box, looks, found, seen, settings)
        fate[rows[~found & ~new]] = Fate.SECOND
        number = born + 1 + np.arange(new.sum())
        born += len(number)
        track[rows[new]] = number
        people.add(number, box[new], looks[new], time, seen.confidence[rows[new]] >= settings.confidence)
        fate[rows[track[rows] > 0]] = Fate.FOLLOWED
        before = time
        # Whether a run of weak boxes is a track shows at its end; its number is taken back then.
    return _without_weak(seen, track, fate, settings)


def _forget(people: _People, time: float, settings: FollowSettings) -> None:
    """Ends the tracks of those unseen for too long; of weak ones sooner."""
    slack = 1e-6
    unseen = time - people.last
    patience = np.where(people.sure, settings.max_gap, min(settings.run, settings.max_gap))
    people.keep(np.flatnonzero(unseen <= patience + slack))


def _cascade(
    people: _People, seen: Seen, box: np.ndarray, looks: np.ndarray, strong: np.ndarray, settings: FollowSettings
) -> np.ndarray:
    """[n] row of the person whose box each is, -1 where it is nobody's yet."""
    mine = np.full(len(box), -1)
    if not len(people.number) or not len(box):
        return mine
    expected = people.motion.boxes
    likeness = seen.likeness(people.looks, looks)
    rounds = [(True, by, least) for by, least in zip(settings.expanded, settings.least, strict=True)]
    for confident, by, least in [*rounds, (False, 0.0, settings.least_weak)]:
        free = np.setdiff1d(np.arange(len(people.number)), mine)
        # The first rounds are for boxes that could start a track, and the last is for what is left over.
        open_ = np.flatnonzero((mine < 0) & (strong | (not confident)))
        if not len(free) or not len(open_):
            continue
        overlap = expanded_overlap(expected[free], box[open_], by)
        alike = likeness[np.ix_(free, open_)]
        fit = np.where(np.isnan(alike), overlap, (1 - settings.looks) * overlap + settings.looks * alike)
        # A weak box is mostly of somebody half hidden: it may look like two people.
        stranger, sure = (settings.strangers, settings.least_looks) if confident else (0.0, least)
        fit[(overlap <= 0) | (alike < stranger) | (~np.isnan(alike) & (fit < sure))] = 0.0
        for i, j in assign(fit, least):
            mine[open_[j]] = free[i]
    return mine


def assign(fit: np.ndarray, least: float) -> list[tuple[int, int]]:
    """One-to-one pairs (row, column) with the greatest sum of fits, none below `least`."""
    rows, columns = linear_sum_assignment(-np.where(fit >= least, fit, 0.0))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if fit[i, j] >= max(least, 1e-9)]


def _go_on(
    people: _People,
    mine: np.ndarray,
    box: np.ndarray,
    looks: np.ndarray,
    crowd: np.ndarray,
    time: float,
    settings: FollowSettings,
) -> None:
    """Takes the boxes over into what is known of their people."""
    found = np.flatnonzero(mine >= 0)
    rows = mine[found]
    people.motion.update(rows, box[found])
    people.last[rows] = time
    people.sure[rows] |= time - people.since[rows] >= settings.run - 1e-6
    known, fresh = people.looks[rows].any(1), looks[found].any(1)
    take = fresh & ((crowd[found] < settings.crowded) | ~known)
    old = np.where(known[:, None], settings.memory * people.looks[rows], 0.0)
    mixed = old + np.where(known, 1 - settings.memory, 1.0)[:, None] * looks[found]
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    people.looks[rows[take]] = mixed[take]


def _second(box: np.ndarray, looks: np.ndarray, found: np.ndarray, seen: Seen, settings: FollowSettings) -> np.ndarray:
    """[n] whether a box is a second one on a person that another box of the frame shows.

    That is: most of it lies inside a found person's box and it looks like that person. Where looks aren't known: it
    shows a part of a body, or is about the same box.
    """
    second = np.zeros(len(box), bool)
    if found.all():
        return second
    share, alike = nested(box, box), seen.likeness(looks, looks)
    height = box[:, 3] - box[:, 1]
    part = height[:, None] <= settings.lower * height[None]
    by_place = ((share >= settings.inside) & part) | (expanded_overlap(box, box, 0.0) >= settings.twin)
    by_looks = (share >= settings.touching) & (alike >= settings.same)
    of = np.where(np.isnan(alike), by_place, by_looks)
    shown = found.copy()
    # The larger of two boxes on one person is the person's; a box that founds a track shows somebody to the next ones.
    for row in np.lexsort((np.arange(len(box)), -(box[:, 2:] - box[:, :2]).prod(1))):
        if not found[row]:
            second[row] = (of[row] & shown).any()
            shown[row] = not second[row]
    return second


def _without_weak(seen: Seen, track: np.ndarray, fate: np.ndarray, settings: FollowSettings) -> Followed:
    """The tracks without those that hold weak boxes only and are no run; numbered by time of birth."""
    frame = np.repeat(np.arange(len(seen.time)), np.diff(seen.start))
    size = int(track.max(initial=0)) + 1
    first, last, best = np.full(size, len(seen.time)), np.zeros(size, np.int64), np.zeros(size)
    np.minimum.at(first, track, frame)
    np.maximum.at(last, track, frame)
    np.maximum.at(best, track, seen.confidence)
    there = np.bincount(track, minlength=size)
    born = there > 0
    short, thin = np.zeros(size, bool), there < settings.dense * (last - first + 1)
    short[born] = seen.time[last[born]] - seen.time[first[born]] < settings.run - 1e-6
    weak = (best < settings.confidence) & (short | thin)
    weak[0] = True
    fate[weak[track] & (track > 0)] = Fate.WEAK
    number = np.where(weak, 0, np.cumsum(~weak))
    return Followed(number[track], fate)
