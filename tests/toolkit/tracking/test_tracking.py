"""The tracker: who goes on as whom, second and weak boxes, cuts, joins, filled gaps, and a count of every box."""

import itertools

import numpy as np
import polars as pl
import pytest

from reidkit.toolkit.camera_path import IDENTITY, CameraPath
from reidkit.toolkit.looks import Looks
from reidkit.toolkit.track import BOX, TRACK_COLUMNS
from reidkit.toolkit.tracking import Fate, FollowSettings, Seen, by_frame, follow, track_people
from reidkit.toolkit.tracking.camera import pan
from reidkit.toolkit.tracking.chains import EVERY, chains, need_looks, spread_looks
from reidkit.toolkit.tracking.follow import assign
from reidkit.toolkit.tracking.geometry import crowding, expanded_overlap
from reidkit.toolkit.tracking.mending import MendSettings, bridge, cut_changes, fill

FPS = 25.0
SETTINGS = FollowSettings(fps=FPS)


def standing(frames: int) -> CameraPath:
    return CameraPath.of(np.tile(IDENTITY, (frames, 1, 1)))


def people(frames: list[list[tuple]]) -> Seen:
    """Boxes of 40 x 100 pixels: (x, y), (x, y, confidence) or (x, y, confidence, looks) in each frame."""
    box, confidence, looks, start = [], [], [], [0]
    for here in frames:
        for x, y, *more in here:
            box.append((x, y, x + 40, y + 100))
            confidence.append(more[0] if more else 0.9)
            looks.append(more[1] if len(more) > 1 else ())
        start.append(len(box))
    return Seen(
        np.arange(len(frames)) / FPS,
        np.array(start),
        np.array(box, float).reshape(-1, 4),
        np.array(confidence, float),
        Looks.of(np.array(looks, float).reshape(len(box), -1)) if box else Looks.nothing(0),
        standing(len(frames)),
    )


def table(frames: list[list[tuple]]) -> pl.DataFrame:
    """The same as detections: (x, y) or (x, y, confidence)."""
    rows = []
    for k, here in enumerate(frames):
        rows += [(k, k / FPS, x, y, x + 40.0, y + 100.0, *(more or [0.9])) for x, y, *more in here]
        if not here:
            rows.append((k, k / FPS, None, None, None, None, None))
    schema = {"frame": pl.Int64, "time": pl.Float64, **dict.fromkeys((*BOX, "confidence"), pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def tracked(detections: pl.DataFrame, steps: np.ndarray | None = None) -> tuple[pl.DataFrame, dict[str, int]]:
    """By motion alone."""
    return track_people(detections, by_frame(detections, steps), Looks.nothing(len(detections)), SETTINGS)


def slow_overlap(a, b, by: float) -> float:
    grown = [
        (x1 - by * (x2 - x1), y1 - by * (y2 - y1), x2 + by * (x2 - x1), y2 + by * (y2 - y1))
        for x1, y1, x2, y2 in (a, b)
    ]
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = grown
    common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
    return common / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common)


def test_expanded_overlap_is_that_of_one_pair_after_another():
    random = np.random.default_rng(0)
    one, other = (random.uniform(0, 100, (n, 4)) for n in (6, 5))
    for boxes in (one, other):
        boxes[:, 2:] = boxes[:, :2] + random.uniform(5, 60, (len(boxes), 2))
    for by in (0.0, 0.3, 0.7):
        slow = [[slow_overlap(a, b, by) for b in other] for a in one]
        np.testing.assert_allclose(expanded_overlap(one, other, by), slow, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_assignment_is_the_best_of_all(seed):
    fit = np.random.default_rng(seed).uniform(0, 1, (4, 4))
    least = 0.4
    worth = [
        sum(fit[i, j] for i, j in enumerate(order) if fit[i, j] >= least) for order in itertools.permutations(range(4))
    ]
    found = assign(fit, least)
    assert all(fit[i, j] >= least for i, j in found)
    assert sum(fit[i, j] for i, j in found) == pytest.approx(max(worth))


def test_people_who_pass_each_other_keep_their_tracks_by_motion():
    frames = [[(4 * k, 100), (400 - 4 * k, 160)] for k in range(100)]
    found = follow(people(frames), SETTINGS)
    assert found.track.reshape(-1, 2).tolist() == [[1, 2]] * 100
    assert (found.fate == Fate.FOLLOWED).all()


def test_looks_tell_who_is_who_where_motion_misleads():
    """Two meet and turn round: by motion each goes on as the other."""
    red, blue = (1.0, 0.0), (0.0, 1.0)
    way = [*range(0, 100, 5), *range(100, 0, -5)]
    frames = [[(x, 100, 0.9, red), (205 - x, 100, 0.9, blue)] for x in way]
    found = follow(people(frames), SETTINGS)
    assert found.track.reshape(-1, 2).tolist() == [[1, 2]] * 40


def test_a_second_box_founds_no_track_and_is_counted():
    seen = people([[(50, 50)] for _ in range(20)])
    box = np.repeat(seen.box, 2, 0)
    box[1::2] = box[1::2] + np.array([5, 45, -5, -5])  # legs
    twice = Seen(seen.time, 2 * seen.start, box, np.repeat(seen.confidence, 2), Looks.nothing(40), standing(20))
    found = follow(twice, SETTINGS)
    assert found.track[::2].tolist() == [1] * 20
    assert set(found.fate[1::2].tolist()) == {Fate.SECOND}


def test_somebody_else_inside_a_box_is_no_second_box_where_looks_say_so():
    red, blue = (1.0, 0.0), (0.0, 1.0)
    frames = [[(50, 50, 0.9, red), (65, 50, 0.9, blue)] for _ in range(20)]
    assert follow(people(frames), SETTINGS).track.reshape(-1, 2).tolist() == [[1, 2]] * 20
    alike = [[(50, 50, 0.9, red), (65, 50, 0.9, red)] for _ in range(20)]
    assert follow(people(alike), SETTINGS).track.reshape(-1, 2).tolist() == [[1, 0]] * 20


def test_weak_boxes_go_on_with_a_track_and_start_one_only_in_a_run():
    fading = [[(50, 50, 0.9)]] * 5 + [[(50, 50, 0.3)]] * 20
    assert follow(people(fading), SETTINGS).track.tolist() == [1] * 25
    run = follow(people([[(50, 50, 0.3)]] * 12), SETTINGS)
    assert run.track.tolist() == [1] * 12
    short = follow(people([[(50, 50, 0.3)]] * 5 + [[]] * 20), SETTINGS)
    assert short.track.tolist() == [0] * 5
    assert short.fate.tolist() == [Fate.WEAK] * 5
    flickering = follow(people([[(50, 50, 0.3)] if k % 6 == 0 else [] for k in range(60)]), SETTINGS)
    assert set(flickering.fate.tolist()) == {Fate.WEAK}


def test_who_is_unseen_for_longer_than_the_gap_is_somebody_new():
    def gap(frames: int) -> int:
        seen = people([[(50, 50)]] * 10 + [[]] * frames + [[(50, 50)]] * 10)
        return int(follow(seen, SETTINGS).track.max())

    assert [gap(20), gap(24), gap(25)] == [1, 1, 2]


def meeting(after: tuple, rival: bool) -> tuple[Seen, np.ndarray]:
    red = (1.0, 0.0)
    frames = [[(50, 50, 0.9, red)]] * 10
    frames += [
        [(50, 50, 0.9, red if k < 3 else after), *([(60, 50, 0.9, (0.0, 1.0))] if rival else [])] for k in range(6)
    ]
    frames += [[(50, 50, 0.9, after)]] * 10
    seen = people(frames)
    return seen, np.where(seen.box[:, 0] == 50, 1, 2)


def test_a_cut_is_made_only_where_a_rival_stands_and_looks_differ():
    red, green = (1.0, 0.0), (0.2, 0.98)
    for after, rival, expected in ((green, True, 1), (red, True, 0), (green, False, 0)):
        seen, track = meeting(after, rival)
        crowd = np.concatenate([crowding(seen.box[a:b]) for a, b in itertools.pairwise(seen.start)])
        cut, cuts = cut_changes(seen, track, crowd, MendSettings())
        assert cuts == expected
        if cuts:  # exactly where the looks change
            own = cut[seen.box[:, 0] == 50]
            assert (own[:13] == own[0]).all()
            assert (own[13:] == own[13]).all()
            assert own[13] != own[0]


def test_parts_are_joined_where_place_and_looks_agree():
    red, blue = (1.0, 0.0), (0.0, 1.0)
    for after, expected in ((red, [1] * 20), (blue, [1] * 10 + [2] * 10)):
        frames = [[(5 * k, 50, 0.9, red)] for k in range(10)] + [[]] * 5
        frames += [[(5 * k, 50, 0.9, after)] for k in range(15, 25)]
        seen = people(frames)
        joined, _ = bridge(seen, np.repeat([1, 2], 10), np.zeros(20), MendSettings())
        assert joined.tolist() == expected


def test_a_chain_of_parts_is_joined_to_one():
    seen = people([[(5 * k, 50)] if k % 10 < 7 else [] for k in range(30)])
    track, joins = bridge(seen, np.repeat([1, 2, 3], 7), np.zeros(21), MendSettings())
    assert (track.tolist(), joins) == ([1] * 21, 2)


def test_gaps_are_filled_on_the_straight_line_but_not_behind_somebody():
    seen = people([[(0, 50)], [], [], [], [(40, 50)]])
    filled = fill(seen, np.array([1, 1]), MendSettings())
    assert [(k, row) for k, row, _ in filled] == [(1, 0), (2, 0), (3, 0)]
    for k, _, box in filled:
        assert box == pytest.approx(seen.box[0] + [10 * k, 0, 10 * k, 0])
    assert fill(seen, np.array([1, 1]), MendSettings(gap=0.1)) == []
    hidden = people([[(0, 50)], [], [(20, 52)], [], [(40, 50)]])
    assert [k for k, *_ in fill(hidden, np.array([1, 2, 1]), MendSettings())] == [1, 3]


def test_the_table_flags_what_was_filled_and_every_box_is_counted():
    frames = [[(2 * k, 50), (300, 50)] if k % 7 else [(300, 50)] for k in range(1, 40)]
    frames[20] = [*frames[20], (500, 300, 0.2)]
    tracks, counts = tracked(table(frames))
    assert tracks.schema == pl.Schema(TRACK_COLUMNS)
    assert tracks["track"].unique().sort().to_list() == [1, 2]
    filled = tracks.filter(pl.col("confidence").is_null())
    assert len(filled) == counts["boxes_filled"] == 5
    boxes = sum(len(here) for here in frames)
    assert boxes == len(tracks) - len(filled) + counts["boxes_second"] + counts["boxes_weak"]
    assert counts["boxes_weak"] == 1
    again, _ = tracked(table(frames))
    assert again.equals(tracks)


@pytest.mark.parametrize("frames", [[], [[]], [[], [], []]])
def test_nobody_is_no_track(frames):
    tracks, counts = tracked(table(frames))
    assert len(tracks) == 0
    assert not any(counts.values())


def test_the_camera_s_pan_is_read_off_the_boxes_and_is_nothing_where_it_stands():
    random = np.random.default_rng(0)
    places = random.uniform(100, 900, (8, 2))
    own = random.normal(0, 1, (4, 2))
    own = np.concatenate([own, -own])

    def boxes(k: int, shift: float) -> np.ndarray:
        corner = places + k * own + (k * shift, 0)
        return np.concatenate([corner, corner + np.array([40, 100])], 1)

    moved = pan([boxes(k, 9.0) for k in range(20)])
    assert np.abs(moved[1:, 0, 2] - 9).mean() < 1
    assert np.array_equal(moved[:, :, :2], np.tile(np.eye(2), (20, 1, 1)))
    assert (pan([boxes(k, 0.0) for k in range(20)]) == IDENTITY).all()


def panned(frames: int, shift: float) -> np.ndarray:
    """[F, 2, 3] of a camera that moves what it sees by `shift` pixels to the right in every frame."""
    steps = np.tile(IDENTITY, (frames, 1, 1))
    steps[1:, 0, 2] = shift
    return steps


def test_people_are_followed_through_a_pan_that_is_faster_than_they_are():
    frames = [[(50 + 70 * k, 50), (110 + 70 * k, 60)] if k not in (9, 10) else [] for k in range(20)]
    steps = panned(20, 70.0)
    tracks, counts = tracked(table(frames), steps)
    assert tracks["track"].n_unique() == 2
    assert counts["boxes_filled"] == 4
    for row in tracks.iter_rows(named=True):  # also those that fill the gap
        assert row["x1"] == pytest.approx((50, 110)[row["track"] - 1] + 70 * row["frame"])
    # Told that the camera stands, each person is taken for the other, or lost.
    assert tracked(table(frames), panned(20, 0.0))[0].equals(tracks) is False


def test_nobody_is_followed_from_one_shot_to_another():
    frames = [[(50, 50)]] * 20
    steps = panned(20, 0.0)
    steps[12] = np.nan
    tracks, counts = tracked(table(frames), steps)
    assert tracks["track"].to_list() == [1] * 12 + [2] * 8
    assert counts["tracks_bridged"] == 0


def needed(frames: list[list[tuple]]) -> np.ndarray:
    boxes = by_frame(table(frames), panned(len(frames), 0.0))
    return need_looks(boxes, chains(boxes))


def test_boxes_that_nobody_stands_near_need_no_embedding_of_every_frame():
    alone = needed([[(50, 50), (400, 50)]] * 45).reshape(-1, 2)
    assert EVERY * FPS == 7.5
    assert alone.sum(0).tolist() == [6, 6]
    assert needed([[(50 + 30 * k, 50)] for k in range(5)]).all()  # each too far from the one before
    assert needed([[(50, 50), (52, 50)]] * 5).all()  # two who might be taken for each other
    assert not needed([[]] * 3).any()


def test_the_box_that_stands_freest_is_embedded():
    passing = [[(50, 50), (130 - 12 * k, 50)] for k in range(6)]
    assert needed(passing).reshape(-1, 2)[:, 0].tolist() == [True] + [False] * 5
    assert needed(passing[::-1]).reshape(-1, 2)[:, 0].tolist().index(True) >= 2


def test_a_chain_shares_its_looks():
    frames = [[(50, 50), (400, 50)]] * 20 + [[(50, 50), (430, 50)]] * 20
    boxes = by_frame(table(frames), panned(len(frames), 0.0))
    chain = chains(boxes)
    assert chain.reshape(-1, 2)[[0, 19, 20, 39]].tolist() == [[0, 1], [0, 1], [0, 2], [0, 2]]
    looks = np.zeros((80, 2))
    looks[[0, 1, 40]] = [(1, 0), (0, 1), (0.6, 0.8)]
    spread = spread_looks(boxes, chain, Looks.of(looks))[np.arange(80)].reshape(-1, 2, 2)
    assert (spread[:11, 0] == (1, 0)).all()
    assert (spread[11:, 0] == (0.6, 0.8)).all()
    assert (spread[:20, 1] == (0, 1)).all()
    assert not spread[20:, 1].any()
