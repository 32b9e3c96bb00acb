"""Tracks: people are followed at the true rate; long gaps end a track; annotation keeps its ids."""

import itertools

import numpy as np
import polars as pl
import pytest

from reidkit.datasets.errors import UsageError
from reidkit.datasets.mot import Line
from reidkit.toolkit.camera_path import IDENTITY, CameraPath
from reidkit.toolkit.track import (
    BOX,
    LEAST_OVERLAP,
    MCBYTE,
    TRACK_COLUMNS,
    TRACKERS,
    annotated_tracks,
    cut_ambiguous,
    cut_tracks,
    drop_short,
    renumber,
    track_boxes,
)

COLUMNS = ["frame", "time", "x1", "y1", "x2", "y2", "confidence"]


def detections(rows: list[tuple]) -> pl.DataFrame:
    types = {name: pl.Int64 if name == "frame" else pl.Float64 for name in COLUMNS}
    return pl.DataFrame(rows, schema=types, orient="row")


def walkers(frames: int, fps: float, people: list[tuple[float, float, float]], absent=()) -> pl.DataFrame:
    """People (x, y, pixels a second) of 40 x 100 pixels; nobody is seen in the frames `absent`."""
    rows = []
    for frame in range(frames):
        time = frame / fps
        if frame in absent:
            rows.append((frame, time, None, None, None, None, None))
            continue
        for x, y, speed in people:
            left = x + speed * time
            rows.append((frame, time, left, y, left + 40, y + 100, 0.9))
    return detections(rows)


def tracks(rows: list[tuple]) -> pl.DataFrame:
    """(track, frame) at 10 frames a second."""
    full = [(frame, frame / 10, track, 0.0, 0.0, 10.0, 10.0, 1.0, None) for track, frame in rows]
    return pl.DataFrame(full, schema=TRACK_COLUMNS, orient="row")


@pytest.mark.parametrize("tracker", sorted(set(TRACKERS) - {MCBYTE}))  # which wants its masks
def test_two_people_are_two_tracks(tracker):
    table = walkers(60, 25.0, [(300, 100, -40), (0, 300, 60)])
    found = track_boxes(table, fps=25.0, tracker=tracker)
    assert found.schema == pl.Schema(TRACK_COLUMNS)
    assert found["track"].unique().sort().to_list() == [1, 2]
    for _, one in found.group_by("track"):
        assert one["y1"].n_unique() == 1  # nobody's box went to the other
        assert len(one) > 50
    assert found["truth"].null_count() == len(found)
    assert found.equals(track_boxes(table, fps=25.0, tracker=tracker))


def test_the_rate_decides_how_long_a_person_is_waited_for():
    """Twelve frames unseen are half a second at 25 frames a second, and twelve seconds at one."""
    absent = range(20, 32)
    fast = track_boxes(walkers(60, 25.0, [(0, 0, 0)], absent), fps=25.0, max_gap=1.0)
    slow = track_boxes(walkers(60, 1.0, [(0, 0, 0)], absent), fps=1.0, max_gap=1.0)
    assert fast["track"].n_unique() == 1
    assert slow["track"].n_unique() == 2


def test_a_tracker_is_fresh_for_every_source():
    table = walkers(20, 25.0, [(0, 0, 10)])
    track_boxes(table, fps=25.0)
    assert track_boxes(table, fps=25.0)["track"].unique().to_list() == [1]


def test_weak_boxes_start_no_track_but_continue_one():
    table = walkers(40, 25.0, [(0, 0, 10)])
    weak = table.with_columns(confidence=pl.lit(0.3))
    assert len(track_boxes(weak, fps=25.0, confidence=0.5)) == 0
    fading = table.with_columns(confidence=pl.when(pl.col("frame") < 20).then(0.9).otherwise(0.3))
    found = track_boxes(fading, fps=25.0, confidence=0.5)
    assert found["track"].unique().to_list() == [1]
    assert found["frame"].max() == 39


def test_nobody_at_all():
    found = track_boxes(walkers(10, 25.0, [], absent=range(10)), fps=25.0)
    assert found.schema == pl.Schema(TRACK_COLUMNS)
    assert len(found) == 0
    assert len(cut_tracks(found, max_gap=1.0, max_length=2.0)) == 0
    assert drop_short(found, 1.0)[1] == 0


def test_unknown_tracker():
    with pytest.raises(UsageError, match="Did you mean 'bytetrack'"):
        track_boxes(detections([]), fps=25.0, tracker="bytetrak")


def test_numbers_follow_birth():
    table = renumber(tracks([(7, 5), (7, 6), (3, 9), (5, 2), (5, 5)]))
    assert dict(table.group_by("track").agg(pl.col("frame").min()).iter_rows()) == {1: 2, 2: 5, 3: 9}
    assert table["frame"].is_sorted()


@pytest.mark.parametrize(
    ("frames", "max_gap", "max_length", "parts"),
    [
        ([0, 1, 2, 3], 0.5, None, [[0, 1, 2, 3]]),
        # a gap of exactly the limit holds; one frame more cuts
        ([0, 5, 10], 0.5, None, [[0, 5, 10]]),
        ([0, 1, 7, 8], 0.5, None, [[0, 1], [7, 8]]),
        # two gaps
        ([0, 20, 40], 1.0, None, [[0], [20], [40]]),
        # 0.9 s in parts of at most 0.5 s: two equal ones
        (list(range(10)), 1.0, 0.5, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]),
        # as long as allowed
        (list(range(6)), 1.0, 0.5, [list(range(6))]),
        # cut by gap first, then by length
        ([0, 1, 2, 3, 20, 21], 0.5, 0.2, [[0, 1], [2, 3], [20, 21]]),
    ],
)
def test_cutting(frames, max_gap, max_length, parts):
    table = cut_tracks(tracks([(4, frame) for frame in frames]), max_gap=max_gap, max_length=max_length)
    found = [one["frame"].to_list() for _, one in table.group_by("track", maintain_order=True)]
    assert found == parts
    assert table["track"].unique().sort().to_list() == list(range(1, len(parts) + 1))


def moving(boxes: dict[int, list[tuple[int, float]]]) -> pl.DataFrame:
    """track -> (frame, left edge) of boxes 40 x 100 at 10 frames a second."""
    rows = [(f, f / 10, t, x, 0.0, x + 40, 100.0, 0.9, None) for t, path in boxes.items() for f, x in path]
    return pl.DataFrame(rows, schema=TRACK_COLUMNS, orient="row")


@pytest.mark.parametrize(
    ("paths", "extra", "parts"),
    [
        # alone: never cut
        ({1: [(0, 0), (1, 5), (2, 10)]}, [], [[0, 1, 2]]),
        # side by side, but each fits its own best
        ({1: [(0, 0), (1, 2), (2, 4)], 2: [(0, 30), (1, 32), (2, 34)]}, [], [[0, 1, 2], [0, 1, 2]]),
        # the two change places between frames 1 and 2: each one's new box fits the other better
        ({1: [(0, 0), (1, 0), (2, 20)], 2: [(0, 20), (1, 20), (2, 0)]}, [], [[0, 1], [0, 1], [2], [2]]),
        # an unfollowed box of frame 2 fits better than the one that the track went on with
        ({1: [(0, 0), (1, 0), (2, 15)]}, [(2, 3)], [[0, 1], [2]]),
        # an unfollowed box of frame 1 is where the box of frame 2 may come from
        ({1: [(0, 0), (1, 0), (2, 15)]}, [(1, 16)], [[0, 1], [2]]),
        # as much on either side is no reason to choose one
        ({1: [(0, 0), (1, 0), (2, 10)]}, [(2, -10)], [[0, 1], [2]]),
        # a gap: the frames on its two sides are compared, not those between
        ({1: [(0, 0), (3, 10)]}, [(1, 9), (2, 9)], [[0, 3]]),
        # a jump away from where the person was
        ({1: [(0, 0), (1, 30), (2, 30)]}, [], [[0], [1, 2]]),
    ],
)
def test_cuts_where_somebody_else_fits_as_well(paths, extra, parts):
    table = moving(paths)
    others = moving({99: extra}) if extra else moving({})
    seen = pl.concat([table, others]).select("frame", *BOX)
    found, cuts = cut_ambiguous(table, seen)
    assert sorted(g["frame"].to_list() for _, g in found.group_by("track")) == sorted(parts)
    assert cuts == len(parts) - len(paths)
    assert found.schema == pl.Schema(TRACK_COLUMNS)


def test_no_tracks_are_cut_into_none():
    assert cut_ambiguous(moving({}), moving({}).select("frame", *BOX))[1] == 0


def test_ambiguous_steps_against_plain_loops():
    rng = np.random.default_rng(5)
    paths = {
        t: [
            (f, float(x))
            for f, x in enumerate(rng.uniform(0, 300) + rng.normal(0, 12, 40).cumsum())
            if rng.random() < 0.9
        ]
        for t in range(1, 7)
    }
    table = moving(paths)

    def overlap(a: float, b: float) -> float:
        inside = max(0.0, 40 - abs(a - b))
        return inside / (80 - inside)

    expected = 0
    for track, path in paths.items():
        for (f, a), (g, b) in itertools.pairwise(path):
            own = overlap(a, b)
            there = [overlap(a, x) for t, p in paths.items() if t != track for h, x in p if h == g]
            before = [overlap(b, x) for t, p in paths.items() if t != track for h, x in p if h == f]
            expected += own < LEAST_OVERLAP or max(there + before, default=0.0) >= own
    assert 10 < expected < 200
    assert cut_ambiguous(table, table.select("frame", *BOX))[1] == expected


def test_short_tracks_are_counted():
    table, short = drop_short(tracks([(1, 0), (1, 1), (2, 0), (2, 10), (3, 4)]), 0.5)
    assert short == 2
    assert table["track"].unique().to_list() == [1]
    assert table["frame"].to_list() == [0, 10]


def test_annotated_people_keep_their_ids():
    people = [Line(3, 9, 5, 6, 10, 20), Line(1, 0, 5, 6, 10, 20), Line(2, 0, 6, 6, 10, 20)]
    table = annotated_tracks(people, fps=10.0)
    assert table.select("frame", "track", "truth").rows() == [(0, 1, 0), (1, 1, 0), (2, 2, 9)]
    first = table.row(0, named=True)
    assert [first[side] for side in BOX] == [5.0, 6.0, 15.0, 26.0]
    assert (first["time"], first["confidence"]) == (0.0, 1.0)
    assert table["time"].to_list() == pytest.approx([0.0, 0.1, 0.2])
    assert len(annotated_tracks([], fps=10.0)) == 0


def test_annotated_tracks_are_cut_by_gaps_only():
    rng = np.random.default_rng(2)
    frames = {person: np.flatnonzero(rng.random(200) < rng.uniform(0.02, 0.6)) + 1 for person in range(8)}
    people = [Line(int(f), person, 5, 6, 10, 20) for person, seen in frames.items() for f in seen]
    parts = cut_tracks(annotated_tracks(people, fps=25.0), max_gap=1.0)
    assert set(parts.group_by("track").agg(pl.col("truth").n_unique())["truth"]) == {1}
    assert len(parts) == len(people)
    gaps = sum(int((np.diff(seen) > 25).sum()) for seen in frames.values())
    assert parts["track"].n_unique() == 8 + gaps


def panned(table: pl.DataFrame, shift: float) -> tuple[pl.DataFrame, CameraPath]:
    """The same people seen by a camera that moves all by `shift` pixels in each frame, and its path."""
    moved = table.with_columns(x1=pl.col("x1") + shift * pl.col("frame"), x2=pl.col("x2") + shift * pl.col("frame"))
    steps = np.tile(IDENTITY, (table["frame"].n_unique(), 1, 1))
    steps[1:, 0, 2] = shift
    return moved, CameraPath.of(steps)


def test_botsort_is_told_of_the_camera_s_motion():
    table, camera = panned(walkers(40, 25.0, [(0, 100, 20), (45, 100, 20), (300, 100, -20)], absent=(20, 21)), 45.0)
    told = track_boxes(table, fps=25.0, tracker="botsort", camera=camera)
    assert told["track"].n_unique() == 3
    for _, one in told.group_by("track"):
        start = (one["x1"] - 45.0 * one["frame"]).to_numpy()
        assert np.abs(np.diff(start)).max() < 4  # everybody's own track, through gap and pan
    untold = track_boxes(table, fps=25.0, tracker="botsort")
    assert untold["track"].n_unique() != 3 or not untold.equals(told)


@pytest.mark.parametrize("tracker", sorted(set(TRACKERS) - {MCBYTE}))  # which wants its masks
def test_a_track_ends_with_its_shot(tracker):
    table = walkers(40, 25.0, [(300, 100, 0)])
    steps = np.tile(IDENTITY, (40, 1, 1))
    steps[25] = np.nan
    found = track_boxes(table, fps=25.0, tracker=tracker, camera=CameraPath.of(steps))
    before, after = (found.filter(pl.col("frame") < 25), found.filter(pl.col("frame") >= 25))
    assert before["track"].unique().to_list() == [1]
    assert after["track"].unique().to_list() == [2]


def test_a_pan_is_no_reason_for_a_cut():
    still = tracks([(track, frame) for track in (1, 2) for frame in range(6)])
    apart = still.with_columns(
        x1=pl.col("x1") + 12 * (pl.col("track") - 1), x2=pl.col("x2") + 12 * (pl.col("track") - 1)
    )
    seen, camera = panned(apart.with_columns(pl.col(BOX).cast(pl.Float64)), 9.0)
    assert cut_ambiguous(seen, seen)[1] > 0
    assert cut_ambiguous(seen, seen, camera)[1] == 0
