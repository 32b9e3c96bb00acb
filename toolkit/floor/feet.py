"""Where the people of an event stand in each camera's picture, and how sure that is; at common times.

    tracks = [foot_track(camera, boxes, width, height, offset), ...]        # one a tracklet
    feet = resample(tracks, clocks)                                         # a row for each tracklet and step of time
    one, other = beside(feet, 0, 1)                                         # rows of cameras 0 and 1 at one time

A person's foot is the middle of the box's lower edge. Where nearer people hide the lower body the edge is a guess, and
where the box ends at the picture's lower edge the foot is out of sight: such boxes are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..track import BOX

STEP = 0.2  # seconds between two looks at where everybody stands
GAP = 3 * STEP  # between two boxes of a tracklet; within, the foot is taken to go straight
# Standard deviations of a foot, as shares of the box's height.
SURE = 0.03
HIDDEN = 0.3  # of a foot's row where the lower quarter of the box is hidden
HIDDEN_ACROSS = 0.1
LOWER = 0.25  # share of a box's height in which feet and shins are
EDGE = 0.01  # share of the picture's sides within which a box counts as cut by its edge
STRETCH = 1e-6


@dataclass(frozen=True)
class FootTrack:
    """A tracklet's feet, of one step of time each.

    Attributes:
        camera: number of it.
        time: [T] seconds of the event's clock, rising.
        point: [T, 2] pixels; spread: [T, 2] standard deviations of x and y in pixels; height: [T] of the box, pixels.
    """

    camera: int
    time: np.ndarray
    point: np.ndarray
    spread: np.ndarray
    height: np.ndarray


@dataclass(frozen=True)
class Feet:
    """The feet of all tracklets at common times, a row each, ordered by step and camera.

    Attributes:
        count: number of tracklets.
        tracklet, camera: [M] numbers. step: [M] time in steps.
        point, spread, velocity: [M, 2] pixels, and pixels a second. height: [M] pixels.
    """

    count: int
    tracklet: np.ndarray
    camera: np.ndarray
    step: np.ndarray
    point: np.ndarray
    spread: np.ndarray
    velocity: np.ndarray
    height: np.ndarray

    def rows(self, which: np.ndarray) -> "Feet":
        return Feet(self.count, *(getattr(self, name)[which] for name in Feet.__dataclass_fields__ if name != "count"))


def stands(boxes: pl.DataFrame, width: int, height: int) -> pl.DataFrame:
    """A take's boxes to feet, the mean of each track in each step of time.

    Args:
        boxes: columns time, track, x1, y1, x2, y2, confidence; null confidence: nobody saw this box (a filled gap).
        width, height: of the picture, pixels.

    Returns:
        track, time, x, y, spread_x, spread_y, height; ordered by track and time.
    """
    seen = boxes.filter(pl.col("confidence").is_not_null() & (pl.col("y2") < height * (1 - EDGE)))
    step = (pl.col("time") / STEP + STRETCH).floor().cast(pl.Int64)
    table = (
        seen.group_by(step.alias("step"), "track")
        .agg(pl.col("time").mean(), *(pl.col(side).cast(pl.Float64).mean() for side in BOX))
        .sort("step", "track")
    )
    sides = table.select(BOX).to_numpy()
    hidden = np.zeros(len(table))
    for rows in np.split(np.arange(len(table)), np.flatnonzero(np.diff(table["step"].to_numpy())) + 1):
        if len(rows) > 1:
            hidden[rows] = hidden_below(sides[rows])
    tall = sides[:, 3] - sides[:, 1]
    cut = (sides[:, 0] < width * EDGE) | (sides[:, 2] > width * (1 - EDGE))
    across = tall * (SURE + HIDDEN_ACROSS * hidden) + np.where(cut, (sides[:, 2] - sides[:, 0]) / 2, 0)
    return table.select(
        "track",
        "time",
        x=(pl.col("x1") + pl.col("x2")) / 2,
        y=pl.col("y2"),
        spread_x=pl.Series(across),
        spread_y=pl.Series(tall * (SURE + HIDDEN * hidden)),
        height=pl.Series(tall),
    ).sort("track", "time")


def hidden_below(boxes: np.ndarray) -> np.ndarray:
    """[N] share of the lower quarter of each box [N, 4] that the one nearer box which covers most of it hides.

    >>> hidden_below(np.array([[0.0, 0, 10, 40], [5, 10, 15, 50]])).tolist()
    [0.5, 0.0]
    """
    low, high = boxes[:, None, :2].copy(), boxes[:, None, 2:]
    low[..., 1] = high[..., 1] - LOWER * (high[..., 1] - low[..., 1])
    sides = np.clip(np.minimum(high, boxes[None, :, 2:]) - np.maximum(low, boxes[None, :, :2]), 0, None)
    whole = np.maximum((high - low).prod(-1), 1e-9)
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    return (sides.prod(-1) / whole * nearer).max(1)


def foot_track(camera: int, stand: pl.DataFrame, start: float, end: float, offset: float) -> FootTrack:
    """The feet of one tracklet.

    Args:
        stand: its rows of `stands`.
        start, end: seconds of the take's clock that the tracklet covers.
        offset: seconds from the take's clock to the event's.
    """
    mine = stand.filter(pl.col("time").is_between(start - STRETCH, end + STRETCH))
    return FootTrack(
        camera,
        mine["time"].to_numpy() + offset,
        mine.select("x", "y").to_numpy(),
        mine.select("spread_x", "spread_y").to_numpy(),
        mine["height"].to_numpy(),
    )


def none_of(track: FootTrack) -> FootTrack:
    """The track without its feet."""
    nothing = np.zeros((0, 2))
    return FootTrack(track.camera, np.zeros(0), nothing, nothing, np.zeros(0))


def resample(tracks: Sequence[FootTrack], offset: np.ndarray | None = None, drift: np.ndarray | None = None) -> Feet:
    """The feet of all tracklets at the common steps of time.

    Args:
        offset, drift: [cameras] what a camera's clock is to be corrected by: seconds, and seconds a second.
    """
    parts = []
    for number, track in enumerate(tracks):
        if not len(track.time):
            continue
        time = track.time
        if offset is not None and drift is not None:
            time = time + offset[track.camera] + drift[track.camera] * time
        steps = np.arange(int(np.ceil(time[0] / STEP - 0.5)), int(np.floor(time[-1] / STEP + 0.5)) + 1)
        at = steps * STEP
        before = np.clip(np.searchsorted(time, at, side="right") - 1, 0, len(time) - 1)
        after = np.minimum(before + 1, len(time) - 1)
        near = (time[after] - time[before] <= GAP) | (np.abs(at - time[before]) < STRETCH)
        steps, at = steps[near], at[near]
        values = np.column_stack([track.point, track.spread, track.height])
        if len(time) > 1:
            speed = np.gradient(track.point, time, axis=0)
            speed[np.gradient(time) > GAP] = 0
        else:
            speed = np.zeros_like(track.point)
        values = np.column_stack([values, speed])
        found = np.column_stack([np.interp(at, time, column) for column in values.T])
        parts.append((np.full(len(at), number), np.full(len(at), track.camera), steps, found))
    if not parts:
        none = np.zeros(0, np.int64)
        pair = np.zeros((0, 2))
        return Feet(len(tracks), none, none, none, pair, pair, pair, np.zeros(0))
    tracklet, camera, step, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((tracklet, camera, step))
    tracklet, camera, step, values = tracklet[order], camera[order], step[order], values[order]
    return Feet(len(tracks), tracklet, camera, step, values[:, :2], values[:, 2:4], values[:, 5:7], values[:, 4])


def beside(feet: Feet, a: int, b: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of camera `a`, and of camera `b`, at one time: every pair of them once; `shift` steps are added to b's."""
    one, other = np.flatnonzero(feet.camera == a), np.flatnonzero(feet.camera == b)
    step = feet.step[other] + shift
    first, last = np.searchsorted(step, feet.step[one]), np.searchsorted(step, feet.step[one], side="right")
    counts = last - first
    left = np.repeat(np.arange(len(one)), counts)
    right = np.repeat(first, counts) + np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    return one[left], other[right]
