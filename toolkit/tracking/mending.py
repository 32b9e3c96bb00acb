"""Tracks made better with hindsight: cut where somebody may have been taken for somebody else, and joined across gaps.

track, cuts = cut_changes(seen, track, MendSettings())
track, joins = bridge(seen, track, MendSettings())
gaps = fill(seen, track, MendSettings())
"""

import itertools
from dataclasses import dataclass

import numpy as np

from .follow import Seen, assign
from .geometry import expanded_overlap, nested

NEAR = 8  # boxes at a track's end from which its motion is read


@dataclass(frozen=True)
class MendSettings:
    """What decides a cut and a join.

    Attributes:
        rival: overlap of another box with a track's own from which that other person may go on as the track.
        changed: likeness, 0 (two people) to 1 (one), under which the looks before and after a meeting differ.
        clean: number of boxes that the looks before and after are the mean of; `clear` is their highest overlap with
            another box.
        touching, double: share of a box inside another, and likeness, from which both show one person.
        reach: seconds between the parts of a person that are joined.
        expanded, fits: share by which the boxes are made larger that a join expects, and their least overlap.
        alike: likeness that two parts with looks must have to be joined.
        gap: seconds; shorter gaps are filled,
        hidden: but not where a box that fills one lies inside another person's by this share: too little of who
            stands there can be seen.
    """

    rival: float = 0.3
    changed: float = 0.6
    clean: int = 8
    clear: float = 0.3
    touching: float = 0.4
    double: float = 0.5
    reach: float = 1.0
    expanded: float = 0.5
    fits: float = 0.3
    alike: float = 0.7
    gap: float = 1.0
    hidden: float = 0.9


def rows_of(track: np.ndarray) -> dict[int, np.ndarray]:
    """Number of a track -> its rows, by time."""
    order = np.argsort(track, kind="stable")
    order = order[track[order] > 0]
    bounds = np.flatnonzero(np.diff(track[order])) + 1
    return {int(track[rows[0]]): rows for rows in np.split(order, bounds) if len(rows)}


def cut_changes(seen: Seen, track: np.ndarray, crowd: np.ndarray, settings: MendSettings) -> tuple[np.ndarray, int]:
    """Cuts tracks where a rival stands and the looks before and after differ; and says how many cuts that is.

    Args:
        track: [N]. crowd: [N] highest overlap of each box with another of its frame.
    """
    track, born, cuts = track.copy(), int(track.max(initial=0)), 0
    if not seen.looks:
        return track, 0
    for rows in rows_of(track).values():
        for meeting in _meetings(crowd[rows] >= settings.rival):
            clear = seen.looks.known[rows] & (crowd[rows] < settings.clear)
            before = rows[: meeting[0]][clear[: meeting[0]]][-settings.clean :]
            after = rows[meeting[1] :][clear[meeting[1] :]][: settings.clean]
            if not len(before) or not len(after):
                continue
            one, other = mean_looks(seen.looks[before]), mean_looks(seen.looks[after])
            if seen.likeness(one[None], other[None])[0, 0] >= settings.changed:
                continue
            # Where in the meeting: from the first box on that looks more like who comes out of it.
            own = seen.looks[rows[slice(*meeting)]]
            turned = (own @ other - own @ one).cumsum()[::-1]
            at = meeting[0] + (len(own) - int(np.argmin(turned)) if len(own) else 0)
            born, cuts = born + 1, cuts + 1
            track[rows[min(max(at, meeting[0]), meeting[1]) :]] = born
    return track, cuts


def _meetings(crowded: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of each run of crowded boxes with others before and behind it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], crowded.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if a > 0 and b < len(crowded)]


def mean_looks(looks: np.ndarray) -> np.ndarray:
    """[D] direction of the mean of looks [n, D]."""
    mean = looks.mean(0) if len(looks) else np.zeros(looks.shape[1])
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def second_tracks(seen: Seen, track: np.ndarray, settings: MendSettings) -> np.ndarray:
    """[N] whether a box is in a track that in most of its frames shows a person whom a longer track shows, too.

    A box does where it touches another one of its frame and looks like that person: a part of a body, or a second
    opinion. Taken for somebody else, it would forbid the very links that are right.
    """
    length = np.bincount(track)
    met: dict[tuple[int, int], int] = {}
    for a, b in itertools.pairwise(seen.start):
        rows = a + np.flatnonzero(track[a:b] > 0)
        box, looks = seen.box[rows], seen.looks[rows]
        alike = seen.likeness(looks, looks)
        for i, j in np.argwhere((nested(box, box) >= settings.touching) & (alike >= settings.double)):
            if i != j:
                pair = int(track[rows[i]]), int(track[rows[j]])
                met[pair] = met.get(pair, 0) + 1
    second = {i for (i, j), times in met.items() if times >= 0.5 * length[i] and (length[i], -i) < (length[j], -j)}
    return np.isin(track, sorted(second))


def bridge(seen: Seen, track: np.ndarray, crowd: np.ndarray, settings: MendSettings) -> tuple[np.ndarray, int]:
    """Joins a track that ends to one that begins soon after, where it would be by then, and looks like it.

    Of all possible joins those are made that fit best together. It's repeated until none is left, as a part that is
    joined is known better.
    """
    joins = 0
    while True:
        found = _joins(seen, track, crowd, settings)
        if not found:
            return track, joins
        joins += len(found)
        name = np.arange(int(track.max()) + 1)
        for a, b in sorted(found, key=lambda pair: int(np.argmax(track == pair[1]))):  # by birth of the later part
            name[b] = name[a]
        track = name[track]


def _joins(seen: Seen, track: np.ndarray, crowd: np.ndarray, settings: MendSettings) -> list[tuple[int, int]]:
    rows = rows_of(track)
    frame = np.repeat(np.arange(len(seen.time)), np.diff(seen.start))
    time, shot = seen.time[frame], seen.camera.shot[frame]
    numbers = np.array(list(rows), np.int64)
    if len(numbers) < 2:
        return []
    first = np.array([time[r[0]] for r in rows.values()])
    last = np.array([time[r[-1]] for r in rows.values()])
    heads = [_motion(seen, frame, r[:NEAR], r[0]) for r in rows.values()]
    tails = [_motion(seen, frame, r[-NEAR:], r[-1]) for r in rows.values()]
    wait = first[None] - last[:, None]
    # Across a cut to another shot, place says nothing.
    shots = [np.array([shot[r[end]] for r in rows.values()]) for end in (0, -1)]
    near = (wait > 1e-6) & (wait <= settings.reach + 1e-6) & (shots[0][None] == shots[1][:, None])
    pairs = np.argwhere(near)
    fit = np.zeros((len(numbers), len(numbers)))
    for i, j in pairs:
        before, after = rows[numbers[i]][-1], rows[numbers[j]][0]
        end, start = seen.box[[before]], seen.box[[after]]
        ahead = seen.camera.carry(end + np.tile(tails[i], 2) * wait[i, j], frame[before], frame[after])
        back = seen.camera.carry(start - np.tile(heads[j], 2) * wait[i, j], frame[after], frame[before])
        overlap = [expanded_overlap(*pair, settings.expanded)[0, 0] for pair in ((ahead, start), (end, back))]
        fit[i, j] = sum(overlap) / 2
    if seen.looks:
        looks = np.stack([_clear_looks(seen, r, crowd, settings) for r in rows.values()])
        alike = seen.likeness(looks, looks)
        fit = np.where(np.isnan(alike), fit, np.where(alike >= settings.alike, 0.4 * fit + 0.6 * alike, 0.0))
        fit[~near] = 0.0
    return [(int(numbers[i]), int(numbers[j])) for i, j in assign(fit, settings.fits)]


def _clear_looks(seen: Seen, rows: np.ndarray, crowd: np.ndarray, settings: MendSettings) -> np.ndarray:
    own = rows[seen.looks.known[rows]]
    clear = own[crowd[own] < settings.clear]
    return mean_looks(seen.looks[clear if len(clear) else own])


def _motion(seen: Seen, frame: np.ndarray, rows: np.ndarray, at: int) -> np.ndarray:
    """[2] pixels a second of the middle of some boxes of one person, by least squares, in the frame of row `at`."""
    if len(rows) < 3:
        return np.zeros(2)
    box, time = seen.camera.carry(seen.box[rows], frame[rows], frame[at]), seen.time[frame[rows]]
    middle = (box[:, :2] + box[:, 2:]) / 2
    off = time - time.mean()
    return (off[:, None] * (middle - middle.mean(0))).sum(0) / max(float((off**2).sum()), 1e-12)


def fill(seen: Seen, track: np.ndarray, settings: MendSettings) -> list[tuple[int, int, np.ndarray]]:
    """The boxes that tracks lack in gaps: frame (position in `seen.time`), row before, box [4]."""
    frame = np.repeat(np.arange(len(seen.time)), np.diff(seen.start))
    missing = []
    for rows in rows_of(track).values():
        for a, b in itertools.pairwise(rows):
            span = seen.time[frame[b]] - seen.time[frame[a]]
            if span <= settings.gap + 1e-6:
                for k in range(frame[a] + 1, frame[b]):
                    way = float((seen.time[k] - seen.time[frame[a]]) / span)
                    one, other = seen.camera.carry(seen.box[[a, b]], frame[[a, b]], k)
                    box = (1 - way) * one + way * other
                    others = slice(seen.start[k], seen.start[k + 1])
                    inside = nested(box[None], seen.box[others][track[others] > 0])
                    if not (inside >= settings.hidden).any():
                        missing.append((k, int(a), box))
    return missing
