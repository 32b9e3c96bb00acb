"""Feet from boxes, at common times; the joins against plain loops."""

import numpy as np
import polars as pl
import pytest

from reidkit.toolkit.floor.feet import GAP, STEP, FootTrack, beside, foot_track, hidden_below, resample, stands


def boxes(rows: list[tuple]) -> pl.DataFrame:
    columns = ("time", "track", "x1", "y1", "x2", "y2", "confidence")
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_hidden_below_is_that_of_loops() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 60, (12, 2))
    found = np.concatenate([low, low + rng.uniform(10, 50, (12, 2))], 1)
    for i, (x1, y1, x2, y2) in enumerate(found):
        top, best = y2 - 0.25 * (y2 - y1), 0.0
        for a1, b1, a2, b2 in found:
            if b2 > y2:
                wide, high = min(x2, a2) - max(x1, a1), min(y2, b2) - max(top, b1)
                best = max(best, max(wide, 0) * max(high, 0) / ((x2 - x1) * (y2 - top)))
        assert hidden_below(found)[i] == pytest.approx(best)


def test_a_foot_is_the_mean_of_a_step_and_unsure_where_it_is_hidden() -> None:
    table = stands(
        boxes(
            [
                (0.00, 1, 10.0, 0.0, 20.0, 40.0, 1.0),
                (0.10, 1, 12.0, 0.0, 22.0, 42.0, 1.0),
                (0.00, 2, 10.0, 20.0, 20.0, 80.0, 1.0),
                (0.00, 3, 60.0, 0.0, 70.0, 40.0, 1.0),
            ]
        ),
        width=200,
        height=100,
    )
    first = table.row(0, named=True)
    assert (first["track"], first["x"], first["y"], first["time"]) == (1, 16.0, 41.0, 0.05)
    sure = table.filter(track=3).row(0, named=True)
    assert first["spread_y"] / first["height"] > 5 * sure["spread_y"] / sure["height"]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((10.0, 0.0, 20.0, 50.0, 1.0), True),
        ((10.0, 0.0, 20.0, 100.0, 1.0), False),  # cut by the picture's lower edge: the foot is out of sight
        ((10.0, 0.0, 20.0, 50.0, None), False),  # fills a gap: nobody saw it
    ],
)
def test_feet_that_nobody_sees_are_left_out(box: tuple, kept: bool) -> None:
    table = stands(boxes([(0.0, 1, *box), (0.3, 1, 0.0, 0.0, 9.0, 50.0, 1.0)]), width=200, height=100)
    assert len(table) == 1 + kept


def test_a_box_cut_at_the_side_is_unsure_across() -> None:
    table = stands(boxes([(0.0, 1, 0.0, 0.0, 10.0, 50.0, 1.0), (0.3, 1, 50.0, 0.0, 60.0, 50.0, 1.0)]), 200, 100)
    assert table["spread_x"][0] > 2 * table["spread_x"][1]


def test_feet_are_resampled_on_corrected_clocks() -> None:
    time = np.arange(0, 3, 0.2) + 0.05
    track = FootTrack(1, time, np.column_stack([10 * time, 5 * time]), np.ones((15, 2)), np.full(15, 50.0))
    feet = resample([track], np.array([0.0, 0.33]), np.array([0.0, 0.01]))
    own = (feet.step * STEP - 0.33) / 1.01
    inside = (own >= time[0]) & (own <= time[-1])
    assert inside.sum() > 10
    np.testing.assert_allclose(feet.point[inside, 0], 10 * own[inside])
    np.testing.assert_allclose(feet.velocity[inside], [[10 / 1.01, 5 / 1.01]] * inside.sum())


def test_feet_are_not_guessed_across_a_gap() -> None:
    time = np.array([0.0, 0.2, 0.4, 0.4 + 2 * GAP, 0.6 + 2 * GAP])
    track = FootTrack(0, time, np.zeros((5, 2)), np.ones((5, 2)), np.ones(5))
    assert resample([track]).step.tolist() == [0, 1, 2, 8, 9]


def test_beside_pairs_everybody_at_one_time(event) -> None:
    feet = resample(event.tracks[:3] + event.tracks[8:11])
    for shift in (0, 2):
        one, other = beside(feet, 0, 1, shift)
        slow = {
            (i, j)
            for i in range(len(feet.step))
            for j in range(len(feet.step))
            if feet.camera[i] == 0 and feet.camera[j] == 1 and feet.step[i] == feet.step[j] + shift
        }
        assert set(zip(one.tolist(), other.tolist(), strict=True)) == slow
        assert len(one) == len(slow)


def test_a_tracklet_takes_its_own_time() -> None:
    table = stands(boxes([(0.2 * k, 1, 0.0, 0.0, 9.0, 50.0 + k, 1.0) for k in range(10)]), 200, 100)
    track = foot_track(2, table, 0.4, 1.0, offset=5.0)
    assert track.camera == 2
    np.testing.assert_allclose(track.time, [5.4, 5.6, 5.8, 6.0])
    assert foot_track(0, table.head(0), 0, 1, 0).time.shape == (0,)
