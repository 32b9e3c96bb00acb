"""Boxes that carry an id against annotated people: who lies on whom, and IDF1, HOTA and the people kept of it.

    matched = match_boxes(truth, boxes, times)              # one camera
    identity_counts([matched])                              # one sequence; several cameras of an event: mIDF1
    people_kept([one, other])                               # the cameras of an event, which share their ids

Boxes are matched at an intersection over union of 0.5. Annotated people of whom less than `VISIBLE` is seen need not be
found, and a box on them is no mistake. IDF1: arXiv 1609.01775; mIDF1, one IDF1 over all cameras with shared ids, is the
AI City Challenge's (arXiv 2404.09432). Time and memory grow linearly with frames and with ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment
from supervision import box_iou_batch

from .track import BOX

IOU = 0.5
VISIBLE = 0.3
SLACK = 1e-6  # seconds; times are binary fractions of a rate
PAIR_COLUMNS = {
    "frame": pl.Int64,
    "time": pl.Float64,
    "row": pl.Int64,  # of the table of boxes
    "id": pl.Int64,
    "person": pl.Int64,  # annotated id
    "visible": pl.Boolean,  # at least `VISIBLE` of the person is seen
}


@dataclass(frozen=True, eq=False)
class Matched:
    """One camera's boxes beside its annotated people, frame by frame.

    Attributes:
        people: [frames] of [P] annotated ids of the visible people.
        ids: [frames] of [B] ids of the boxes, without those on people who are hardly seen.
        overlap: [frames] of [P, B] intersections over union.
        seconds: [frames] whole seconds of the source's clock.
        pairs: PAIR_COLUMNS, one-to-one within a frame.
    """

    people: list[np.ndarray]
    ids: list[np.ndarray]
    overlap: list[np.ndarray]
    seconds: np.ndarray
    pairs: pl.DataFrame

    @cached_property
    def hota(self) -> dict:
        """HOTA (arXiv 2009.07736) and its parts, as `trackers` computes and adds them up."""
        from trackers.eval import compute_hota_metrics

        return compute_hota_metrics(self.people, self.ids, self.overlap)


def match_boxes(truth: pl.DataFrame, boxes: pl.DataFrame, times: Mapping[int, float]) -> Matched:
    """Compares one camera's boxes with its annotation.

    Args:
        truth: frame, id, box, visibility (`truth.truth_boxes`).
        boxes: frame, id, box; no id twice in a frame.
        times: frame -> second, of the frames that count, in order.
    """
    true = _by_frame(truth.with_columns(pl.col("visibility").cast(pl.Float64)), "visibility")
    found = _by_frame(boxes.with_row_index("row"), "row")
    nothing = np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0)
    people, ids, overlap, pairs = [], [], [], []
    for frame, time in times.items():
        here, persons, visibility = true.get(frame, nothing)
        mine, names, rows = found.get(frame, nothing)
        visible = visibility >= VISIBLE
        lap = box_iou_batch(here, mine).astype(np.float64)
        lies = match(lap, visible)
        pairs += [(frame, time, int(rows[j]), int(names[j]), int(persons[i]), bool(visible[i])) for i, j in lies]
        keep = np.ones(len(mine), bool)
        keep[[j for i, j in lies if not visible[i]]] = False
        people.append(persons[visible])
        ids.append(names[keep])
        overlap.append(lap[np.ix_(visible, keep)])
    seconds = np.floor(np.fromiter(times.values(), float, len(times)) + SLACK).astype(np.int64)
    return Matched(people, ids, overlap, seconds, pl.DataFrame(pairs, schema=PAIR_COLUMNS, orient="row"))


def match(overlap: np.ndarray, visible: np.ndarray) -> list[tuple[int, int]]:
    """One-to-one pairs (person, box) at IoU >= 0.5 with the greatest sum; the well visible people choose first.

    Args:
        overlap: [P, B] intersections over union.
        visible: [P] bool.
    """
    if not overlap.size:
        return []
    # + 1 for an admissible pair: as many as can be; + 1 for a visible person.
    worth = np.where(overlap >= IOU, overlap + 1 + visible[:, None], 0.0)
    rows, columns = linear_sum_assignment(-worth)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if worth[i, j] > 0]


def identity_counts(cameras: Sequence[Matched]) -> dict[str, int]:
    """IDTP, IDFN and IDFP of the cameras as one sequence whose ids are shared.

    `trackers.eval.compute_identity_metrics` gives the same for one camera. It assigns in a square of people and ids
    together, which the raw tracklets of a match don't fit in; a box gained is a box less on either side, so the best
    assignment is the one with the most boxes matched, in people by ids.
    """
    frames = [frame for one in cameras for frame in zip(one.people, one.ids, one.overlap, strict=True)]
    people, ids = (np.concatenate([np.zeros(0, np.int64), *(f[side] for f in frames)]) for side in (0, 1))
    on = [np.nonzero(overlap >= IOU) for _, _, overlap in frames]
    person = _places(people, [f[0][rows] for f, (rows, _) in zip(frames, on, strict=True)])
    name = _places(ids, [f[1][columns] for f, (_, columns) in zip(frames, on, strict=True)])
    together = np.zeros((len(np.unique(people)), len(np.unique(ids))), np.int64)
    np.add.at(together, (person, name), 1)
    right = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return {"IDTP": right, "IDFN": len(people) - right, "IDFP": len(ids) - right}


@dataclass(frozen=True)
class Kept:
    """How much of the people an event's identities hold, in numbers that add up over events.

    An identity stands for the person on whom most of its boxes lie, in all cameras together; a box of it is right where
    it lies on that person. A person in two identities is held by both: mIDF1 and the number of identities tell of it.

    Attributes:
        right: boxes that lie on the person for whom their identity stands.
        visible: visible people, a camera's frame at a time.
        boxes: boxes under an identity, without those on people who are hardly seen.
        seconds: annotated id -> (seconds of a camera in which a box of the person is right, in which the person is
            visible).
    """

    right: int
    visible: int
    boxes: int
    seconds: dict[int, tuple[int, int]]


def people_kept(cameras: Sequence[Matched]) -> Kept:
    """`Kept` of the cameras of one event, which share their ids; ids below 0 stand for nobody."""
    pairs = pl.concat([one.pairs.with_columns(camera=pl.lit(k)) for k, one in enumerate(cameras)])
    votes = (
        pairs.filter(pl.col("id") >= 0)
        .group_by("id", "person")
        .len()
        .sort("id", "len", "person", descending=[False, True, False])
    )
    whom = votes.group_by("id", maintain_order=True).agg(stands=pl.col("person").first())
    right = pairs.join(whom, on="id").filter(pl.col("visible"), pl.col("person") == pl.col("stands"))
    second = pl.col("time").add(SLACK).floor().cast(pl.Int64)
    held = dict(right.select("person", "camera", second).unique().group_by("person").len().iter_rows())
    seen: set[tuple[int, int, int]] = set()
    for camera, one in enumerate(cameras):
        for moment, people in zip(one.seconds.tolist(), one.people, strict=True):
            seen |= {(person, camera, moment) for person in people.tolist()}
    visible: dict[int, int] = {}
    for person, _, _ in seen:
        visible[person] = visible.get(person, 0) + 1
    return Kept(
        len(right),
        sum(len(people) for one in cameras for people in one.people),
        sum(len(ids) for one in cameras for ids in one.ids),
        {person: (held.get(person, 0), visible[person]) for person in sorted(visible)},
    )


def _by_frame(table: pl.DataFrame, extra: str) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """frame -> boxes [n, 4] float64, ids [n] int64, `extra` [n]."""
    table = table.sort("frame", maintain_order=True)
    box = table.select(pl.col(BOX).cast(pl.Float64)).to_numpy().reshape(-1, 4)
    frame, first = np.unique(table["frame"].to_numpy(), return_index=True)
    columns = (box, table["id"].cast(pl.Int64).to_numpy(), table[extra].to_numpy())
    parts = [np.split(column, first[1:]) for column in columns]
    return dict(zip(frame.tolist(), zip(*parts, strict=True), strict=False)) if len(table) else {}


def _places(known: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Of each value of all parts, its place among the sorted values of `known`."""
    return np.searchsorted(np.unique(known), np.concatenate([np.zeros(0, np.int64), *parts]))
