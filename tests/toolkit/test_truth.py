"""Scores against ground truth, each against plain loops or counted by hand."""

import itertools

import numpy as np
import polars as pl
import pytest

from reidkit.datasets import UsageError
from reidkit.toolkit.boxes import DETECTION_COLUMNS
from reidkit.toolkit.footage import Extracted
from reidkit.toolkit.track import TRACK_COLUMNS
from reidkit.toolkit.truth import match, score_links, score_source, summarise, truth_boxes


def slow_links(identity, truth, camera, event):
    """By definition: every pair, one after the other."""
    linked = true = both = 0
    for i, j in itertools.combinations(range(len(identity)), 2):
        if event[i] != event[j] or camera[i] == camera[j]:
            continue
        a, b = identity[i] == identity[j] and identity[i] >= 0, truth[i] == truth[j]
        linked, true, both = linked + a, true + b, both + (a and b)
    precision = recall = 0.0
    for i in range(len(identity)):
        mine = {j for j in range(len(identity)) if j == i or (identity[j] == identity[i] >= 0 and event[i] == event[j])}
        his = {j for j in range(len(identity)) if truth[j] == truth[i] and event[i] == event[j]}
        precision += len(mine & his) / len(mine) / len(identity)
        recall += len(mine & his) / len(his) / len(identity)
    return both / linked, both / true, precision, recall


@pytest.mark.parametrize("seed", range(4))
def test_links_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    n = 40
    truth, camera, event = rng.integers(0, 5, n), rng.integers(0, 3, n), rng.integers(0, 2, n)
    identity = np.where(rng.random(n) < 0.7, truth + 10 * event, rng.integers(-1, 15, n))
    scores = score_links(identity, truth, camera, event)
    keys = ("link_precision", "link_recall", "bcubed_precision", "bcubed_recall")
    assert [scores[key] for key in keys] == pytest.approx(slow_links(identity, truth, camera, event), abs=1e-4)


def test_junk_is_nobodys_partner():
    # Two junk tracklets of one person are not linked, though both carry -1.
    scores = score_links(np.array([-1, -1]), np.array([3, 3]), np.array([0, 1]), np.array([0, 0]))
    assert scores["link_recall"] == 0
    assert scores["link_precision"] is None  # nothing was linked: no share of nothing
    assert scores["identities"] == 0


def test_visible_people_are_matched_first():
    # One box lies on two annotated people, a hidden one a little better.
    truth = np.array([[0, 0, 10, 20], [0, 1, 10, 21.0]])
    assert match(truth, np.array([[0, 1, 10, 21.0]]), np.array([True, False])) == [(0, 0)]
    assert match(truth, np.zeros((0, 4)), np.array([True, True])) == []


def extracted(detections, tracks):
    return Extracted(
        frames=pl.DataFrame(),
        tracklets=pl.DataFrame(),
        tracks=pl.DataFrame(tracks, schema=TRACK_COLUMNS, orient="row"),
        detections=pl.DataFrame(detections, schema=DETECTION_COLUMNS, orient="row"),
        counts={},
    )


def annotation(tmp_path, lines):
    path = tmp_path / "gt.txt"
    path.write_text("\n".join(lines))
    return truth_boxes(path)


def test_counted_by_hand(tmp_path):
    # Frame 0: both found. Frame 1: one found, one missed, a box on nobody. Frame 2: a hidden person found, no mistake.
    truth = annotation(
        tmp_path,
        [
            "1,7,0,0,10,20,1,1,1", "1,8,50,0,10,20,1,1,1",
            "2,7,0,0,10,20,1,1,1", "2,8,50,0,10,20,1,1,1",
            "3,7,0,0,10,20,1,1,0.1",
        ],
    )  # fmt: skip
    a, b, nobody = (0, 0, 10, 20), (50, 0, 60, 20), (100, 0, 110, 20)
    found = [(0, 0.0, *a, 0.9), (0, 0.0, *b, 0.9), (1, 0.1, *a, 0.9), (1, 0.1, *nobody, 0.9), (2, 0.2, *a, 0.9)]
    found.append((1, 0.1, *b, 0.2))  # below the confidence that counts
    tracks = [(f, t, 1, *a, 0.9, None) for f, t in ((0, 0.0), (1, 0.1), (2, 0.2))]
    tracks += [(0, 0.0, 2, *b, 0.9, None), (1, 0.1, 3, *nobody, 0.9, None)]
    spans = [("one", 1, 0.0, 0.2), ("two", 2, 0.0, 0.0), ("three", 3, 0.1, 0.1)]
    score = score_source(truth, extracted(found, tracks), spans, 0.5)
    assert score.detection == {"true": 3, "false": 1, "missed": 1}
    assert score.truth == {"one": 7, "two": 8, "three": None}
    assert score.pure == {"one": (3, 3), "two": (1, 1)}
    whole = summarise([score, score])
    assert whole["detection_recall"] == 0.75
    assert whole["detection_precision"] == 0.75
    assert whole["tracklets_on_nobody"] == 2
    # Identity: 2 + 1 boxes right, 1 true box without a track, 1 track box on nobody: 2 * 3 / (4 + 4).
    assert whole["idf1"] == 0.75


def test_a_switch_lowers_purity_and_a_cut_mends_it(tmp_path):
    truth = annotation(tmp_path, [f"{f},{1 if f <= 6 else 2},0,0,10,20,1,1,1" for f in range(1, 11)])
    box = (0, 0, 10, 20)
    detections = [(f, f / 10, *box, 0.9) for f in range(10)]
    tracks = [(f, f / 10, 1, *box, 0.9, None) for f in range(10)]
    whole = score_source(truth, extracted(detections, tracks), [("t", 1, 0, 0.9)], 0.5)
    assert whole.pure == {"t": (6, 10)}
    cut = score_source(truth, extracted(detections, tracks), [("a", 1, 0, 0.55), ("b", 1, 0.55, 0.9)], 0.5)
    assert cut.pure == {"a": (6, 6), "b": (4, 4)}
    assert cut.truth == {"a": 1, "b": 2}


def test_frames_that_were_not_read_are_not_missed(tmp_path):
    truth = annotation(tmp_path, [f"{f},1,0,0,10,20,1,1,1" for f in (1, 2)])
    detections = [(0, 0.0, 0, 0, 10, 20, 0.9)]
    assert score_source(truth, extracted(detections, []), [], 0.5).detection["missed"] == 0
    # A frame that was looked at and held nobody has a row without a box.
    detections.append((1, 0.1, None, None, None, None, None))
    assert score_source(truth, extracted(detections, []), [], 0.5).detection["missed"] == 1


def test_lines_of_the_annotation(tmp_path):
    # Lines that count for nothing (seventh column 0) and other classes are no people.
    table = annotation(tmp_path, ["1,1,0,0,10,20,0,1,1", "1,2,0,0,10,20,1,3,1", "", "1,3,1,2,10,20"])
    assert table.rows() == [(0, 3, 1.0, 2.0, 11.0, 22.0, 1.0)]
    with pytest.raises(UsageError, match=r"Line 1 of .* which is no MOT line"):
        annotation(tmp_path, ["1,2,three"])
