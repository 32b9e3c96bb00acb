"""Scores against ground truth, each against plain loops or counted by hand."""

import itertools

import numpy as np
import polars as pl
import pytest
from supervision import box_iou_batch

from reidkit.datasets import UsageError
from reidkit.toolkit.boxes import DETECTION_COLUMNS
from reidkit.toolkit.footage import Extracted
from reidkit.toolkit.looks import Looks
from reidkit.toolkit.matching import identity_counts, match, match_boxes, people_kept
from reidkit.toolkit.track import TRACK_COLUMNS
from reidkit.toolkit.truth import (
    event_figures,
    final_boxes,
    score_links,
    score_source,
    summarise,
    truth_boxes,
)


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
    overlap = box_iou_batch(truth, np.array([[0, 1, 10, 21.0]]))
    assert match(overlap, np.array([True, False])) == [(0, 0)]
    assert match(overlap[:, :0], np.array([True, True])) == []


def extracted(detections, tracks):
    return Extracted(
        frames=pl.DataFrame(),
        tracklets=pl.DataFrame(),
        tracks=pl.DataFrame(tracks, schema=TRACK_COLUMNS, orient="row"),
        detections=pl.DataFrame(detections, schema=DETECTION_COLUMNS, orient="row"),
        counts={},
        looks=Looks.nothing(0),
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
    score = score_source(truth, extracted(found, tracks), spans, [1, -1, 2], 0.5)
    assert score.detection == {"true": 3, "false": 1, "missed": 1}
    assert score.truth == {"one": 7, "two": 8, "three": None}
    assert score.pure == {"one": (3, 3), "two": (1, 1)}
    whole = summarise({"one": [score], "other": [score]})
    assert whole["detection_recall"] == 0.75
    assert whole["detection_precision"] == 0.75
    assert whole["tracklets_on_nobody"] == 2
    # Identity: 2 + 1 boxes right, 1 true box without a track, 1 track box on nobody: 2 * 3 / (4 + 4).
    assert whole["raw_idf1"] == 0.75
    # The identities: 7's boxes are identity 1, 8's are junk, and identity 2 is nobody: 2 * 2 / (4 + 3).
    assert whole["idf1"] == whole["midf1"] == round(4 / 7, 4)
    assert whole["people_kept"] == 0.5
    assert whole["people_kept_precision"] == round(2 / 3, 4)
    assert whole["seconds_kept"] == 0.5


def test_a_switch_lowers_purity_and_a_cut_mends_it(tmp_path):
    truth = annotation(tmp_path, [f"{f},{1 if f <= 6 else 2},0,0,10,20,1,1,1" for f in range(1, 11)])
    box = (0, 0, 10, 20)
    detections = [(f, f / 10, *box, 0.9) for f in range(10)]
    tracks = [(f, f / 10, 1, *box, 0.9, None) for f in range(10)]
    whole = score_source(truth, extracted(detections, tracks), [("t", 1, 0, 0.9)], [1], 0.5)
    assert whole.pure == {"t": (6, 10)}
    cut = score_source(truth, extracted(detections, tracks), [("a", 1, 0, 0.55), ("b", 1, 0.55, 0.9)], [1, 2], 0.5)
    assert cut.pure == {"a": (6, 6), "b": (4, 4)}
    assert cut.truth == {"a": 1, "b": 2}
    # The raw track is right for six of ten boxes; its parts are, under identities of their own, for all.
    assert summarise({"e": [cut]})["raw_idf1"] == 0.6
    assert summarise({"e": [cut]})["idf1"] == 1.0


def test_frames_that_were_not_read_are_not_missed(tmp_path):
    truth = annotation(tmp_path, [f"{f},1,0,0,10,20,1,1,1" for f in (1, 2)])
    detections = [(0, 0.0, 0, 0, 10, 20, 0.9)]
    assert score_source(truth, extracted(detections, []), [], [], 0.5).detection["missed"] == 0
    # A frame that was looked at and held nobody has a row without a box.
    detections.append((1, 0.1, None, None, None, None, None))
    assert score_source(truth, extracted(detections, []), [], [], 0.5).detection["missed"] == 1


def test_lines_of_the_annotation(tmp_path):
    # Lines that count for nothing (seventh column 0) and other classes are no people.
    table = annotation(tmp_path, ["1,1,0,0,10,20,0,1,1", "1,2,0,0,10,20,1,3,1", "", "1,3,1,2,10,20"])
    assert table.rows() == [(0, 3, 1.0, 2.0, 11.0, 22.0, 1.0)]
    with pytest.raises(UsageError, match=r"Line 1 of .* which is no MOT line"):
        annotation(tmp_path, ["1,2,three"])


def slow_final_boxes(tracks, spans, identity):
    """By definition: every box, one after the other; (frame, first coordinate) -> identity, None of a second box."""
    carried = {}
    for frame, time, track, *box, confidence, _ in tracks:
        mine = [k for k, (_, t, start, end) in enumerate(spans) if t == track and start <= time <= end]
        if mine and identity[max(mine, key=lambda k: spans[k][2])] >= 0:
            carried[frame, box[0]] = (identity[max(mine, key=lambda k: spans[k][2])], confidence, -track)
    best = {}
    for (frame, _), (name, confidence, track) in carried.items():
        best[frame, name] = max(best.get((frame, name), (0.0, -100)), (confidence, track))
    return {
        place: name if best[place[0], name] == (confidence, track) else None
        for place, (name, confidence, track) in carried.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_boxes_under_final_identities_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    tracks, spans = [], []
    for track in range(1, 7):
        first, last = rng.integers(0, 5), rng.integers(7, 12)
        for f in range(first, last):
            x = float(100 * track)
            tracks.append((f, f / 8, track, x, 0.0, x + 10, 20.0, float(rng.integers(1, 4)) / 4, None))
        middle = rng.integers(first + 1, last - 1) / 8
        spans += [(f"{track}a", track, first / 8, middle), (f"{track}b", track, middle, (last - 2) / 8)]
    identity = rng.integers(-1, 4, len(spans)).tolist()
    found = final_boxes(pl.DataFrame(tracks, schema=TRACK_COLUMNS, orient="row"), spans, identity)
    assert not found.select(pl.struct("frame", "id").is_duplicated().any()).item()
    carried = {(f, x): name if name >= 0 else None for f, x, name in found.select("frame", "x1", "id").iter_rows()}
    assert carried == slow_final_boxes(tracks, spans, identity)


def made_up(rng, frames=30, people=4, ids=6):
    """A camera's annotation and boxes that follow it, with misses, switches, boxes on nobody and hidden people."""
    truth, boxes = [], []
    for f in range(frames):
        names = rng.permutation(ids).tolist()
        for person in range(people):
            x = 30.0 * person
            truth.append((f, person, x, 0.0, x + 10, 20.0, float(rng.choice([0.1, 0.5, 1.0]))))
            if rng.random() < 0.8:
                name = person if rng.random() < 0.7 and person in names else names[0]
                if name in names:
                    names.remove(name)
                    shift = float(rng.integers(0, 6))
                    boxes.append((f, name, x + shift, 0.0, x + shift + 10, 20.0))
    box = ("x1", "y1", "x2", "y2")
    table = pl.DataFrame(truth, schema=["frame", "id", *box, "visibility"], orient="row")
    return table, pl.DataFrame(boxes, schema=["frame", "id", *box], orient="row"), {f: f / 8 for f in range(frames)}


def slow_idtp(cameras):
    """Of every way to give each person one id at most, the number of boxes that the best one gets right."""
    people = sorted({int(p) for one in cameras for here in one.people for p in here})
    names = sorted({int(i) for one in cameras for here in one.ids for i in here})
    best = 0
    for given in itertools.permutations([*names, *[None] * len(people)], len(people)):
        chosen, right = dict(zip(people, given, strict=True)), 0
        for one in cameras:
            for here, ids, overlap in zip(one.people, one.ids, one.overlap, strict=True):
                right += sum(
                    chosen[int(p)] == int(i) and overlap[a, b] >= 0.5
                    for a, p in enumerate(here)
                    for b, i in enumerate(ids)
                )
        best = max(best, right)
    return best


def slow_kept(cameras):
    """`Kept`, by its definition, box after box."""
    lies = [(c, *row) for c, one in enumerate(cameras) for row in one.pairs.rows()]
    whom = {}
    for name in {pair[4] for pair in lies}:
        on = [pair[5] for pair in lies if pair[4] == name]
        whom[name] = min(set(on), key=lambda person: (-on.count(person), person))
    right = [pair for pair in lies if pair[6] and whom[pair[4]] == pair[5]]
    held = {(pair[5], pair[0], int(pair[2])) for pair in right}
    seen = {
        (int(person), c, int(second))
        for c, one in enumerate(cameras)
        for second, here in zip(one.seconds, one.people, strict=True)
        for person in here
    }
    seconds = {}
    for person, *_ in seen:
        seconds[person] = sum(h[0] == person for h in held), sum(s[0] == person for s in seen)
    return len(right), seconds


@pytest.mark.parametrize("seed", range(4))
def test_identities_over_cameras_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    cameras = [match_boxes(*made_up(rng, frames=12, people=3, ids=4)) for _ in range(2)]
    counts = identity_counts(cameras)
    assert counts["IDTP"] == slow_idtp(cameras)
    assert counts["IDTP"] + counts["IDFN"] == sum(len(here) for one in cameras for here in one.people)
    assert counts["IDTP"] + counts["IDFP"] == sum(len(ids) for one in cameras for ids in one.ids)
    kept = people_kept(cameras)
    assert (kept.right, kept.seconds) == slow_kept(cameras)
    figures = event_figures([cameras])
    assert figures["people_kept"] == pytest.approx(kept.right / kept.visible, abs=1e-4)
    assert figures["people_kept_precision"] == pytest.approx(kept.right / kept.boxes, abs=1e-4)
    assert figures["seconds_kept"] == pytest.approx(np.mean([a / b for a, b in kept.seconds.values()]), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_one_camera_is_scored_as_trackers_scores_it(seed):
    from trackers.eval import compute_identity_metrics

    one = match_boxes(*made_up(np.random.default_rng(seed)))
    theirs = compute_identity_metrics(one.people, one.ids, one.overlap, threshold=0.5)
    assert identity_counts([one]) == {key: theirs[key] for key in ("IDTP", "IDFN", "IDFP")}


def test_two_cameras_with_each_an_id_of_its_own_for_a_person():
    # One person, found in every frame of two cameras, under another identity in each: right in each camera, and in
    # half of all boxes together. Both identities stand for that person, so nobody is lost.
    truth = pl.DataFrame({"frame": [0, 1], "id": 7, "x1": 0.0, "y1": 0.0, "x2": 10.0, "y2": 20.0, "visibility": 1.0})
    boxes = truth.drop("visibility")
    times = {0: 0.0, 1: 1.0}
    cameras = [match_boxes(truth, boxes.with_columns(id=pl.lit(name)), times) for name in (1, 2)]
    figures = event_figures([cameras])
    assert (figures["idf1"], figures["midf1"], figures["people_kept"], figures["seconds_kept"]) == (1.0, 0.5, 1.0, 1.0)


def test_nothing_to_score():
    truth = pl.DataFrame(
        schema={"frame": pl.Int64, "id": pl.Int64, **dict.fromkeys(("x1", "y1", "x2", "y2", "visibility"), pl.Float64)}
    )
    nothing = match_boxes(truth, truth.drop("visibility"), {0: 0.0})
    assert event_figures([[nothing]]) == {
        "midf1": 0.0,
        "idf1": 0.0,
        "hota": 0.0,
        "people_kept": None,
        "people_kept_precision": None,
        "seconds_kept": None,
    }
