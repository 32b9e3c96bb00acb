"""The table of open-set figures, and what a search says by them."""

from dataclasses import replace

import pytest
from made_up_results import make_result

from reidkit.datasets import UsageError
from reidkit.leaderboard import likeness, pairs_table
from reidkit.leaderboard.origin import Origin
from reidkit.leaderboard.results import OpenSetRow, PointRow, read_result, save_result

TOO_FEW = "900 pairs of different people are too few; 1,000 are needed."


def row(*tprs, split=0, thresholds=(0.5, 0.3, 0.1)):
    points = [
        PointRow(rate, tpr, None if tpr is None else bound, TOO_FEW if tpr is None else "")
        for rate, tpr, bound in zip((1e-2, 1e-3, 1e-4), tprs, thresholds, strict=True)
    ]
    return OpenSetRow(50, 20_000, points, split)


def texts(table):
    return {made.label: [cell and cell.text for cell in made.cells] for made in table.rows}


def test_means_over_seeds_and_splits_and_blanks():
    one = make_result("a", open_set=[row(80.0, 60.0, None)])
    two = make_result("a", open_set=[row(90.0, None, None)], seed=1)
    split = make_result("b", open_set=[row(50.0, 20.0, None), row(70.0, None, None, split=1)])
    bare = make_result("c")
    (table,) = pairs_table.build([one, two, split, bare])
    assert texts(table) == {"a": ["85.0 ± 7.1", None, None], "b": ["60.0", None, None]}
    assert [name for _, name in table.columns] == ["FPR 1e-2", "FPR 1e-3", "FPR 1e-4"]
    notes = " ".join(table.notes)
    assert "a on MARS, seed 0: one person at a cosine distance up to 0.5000 (FPR 1e-2), 0.3000 (FPR 1e-3)." in notes
    assert [note for note in table.notes if note.endswith(TOO_FEW)] == [
        f"MARS, FPR 1e-4: {TOO_FEW}",
        f"MARS, FPR 1e-3: {TOO_FEW}",
    ]


def test_other_settings_have_tables_of_their_own():
    results = [make_result("a", open_set=[row(80.0, 60.0, 1.0)])]
    results.append(replace(results[0], metric="euclidean"))
    first, second = pairs_table.build(results)
    assert "euclidean" in second.title
    assert texts(first) == texts(second) == {"a": ["80.0", "60.0", "1.0"]}
    assert "No results yet" in pairs_table.build([])[0].notes[0]


def test_a_result_keeps_them(tmp_path):
    result = make_result("a", open_set=[row(80.0, 60.0, None)], weights=[Origin("a" * 64)])
    assert read_result(save_result(tmp_path, result)) == result


def test_the_strictest_rate_that_holds_a_distance():
    measured = likeness.measured_on(make_result(open_set=[row(80.0, 60.0, 40.0)]))
    # of 50 pairs of one person and 20,000 of two
    assert [measured.judge(d).words for d in (0.05, 0.1, 0.2, 0.5, 0.51)] == [
        "likely: FPR 1e-4, 91 % right",  # 20 and 2
        "likely: FPR 1e-4, 91 % right",
        "likely: FPR 1e-3, 60 % right",  # 30 and 20
        "unlikely: FPR 1e-2, 17 % right",  # 40 and 200
        "unlikely",
    ]
    assert "0.1000: FPR 1e-4, TPR 40.0 %" in measured.words
    assert likeness.measured_on(make_result(open_set=[row(None, None, None)])) is None
    assert likeness.measured_on(make_result()) is None


def test_of_several_splits_the_one_that_is_searched():
    result = make_result(open_set=[row(1.0, 1.0, 1.0), row(2.0, 2.0, 2.0, split=1)])
    assert likeness.measured_on(result, split=1).points[0].tpr == 2.0


def test_a_splits_figures_are_of_its_own_dataset(tmp_path):
    rows = [row(1.0, 1.0, 1.0), row(2.0, 2.0, 2.0, split=1)]
    weights = [Origin(c * 64, fingerprint=c * 64, split=k) for k, c in enumerate("ab")]
    result = make_result("resnet50", "ilids-vid", open_set=rows, weights=weights, splits=[{"mAP": 50.0}] * 2)
    save_result(tmp_path, result)
    later = "2026-11-24T10:00:00+00:00"
    elsewhere = make_result("resnet50@x", "dance", fingerprint="c" * 64, open_set=rows[:1], created=later)
    save_result(tmp_path, replace(elsewhere, weights=weights[1:]))

    def found(fingerprint):
        names = ("resnet50", "resnet50@x")
        return likeness.find_measured(tmp_path, names, "b" * 64, "cosine", "dense", fingerprint).fingerprint

    assert likeness.measured_on(result, split=1).fingerprint == "b" * 64
    assert (found("b" * 64), found("c" * 64)) == ("b" * 64, "c" * 64)
    one = replace(result, splits=[], open_set=rows[:1], weights=weights[:1])  # tested elsewhere than trained
    assert likeness.measured_on(one).fingerprint == "f" * 64


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": [Origin("b" * 64)]}, "other weights"),
        ({"metric": "euclidean"}, "thresholds of euclidean distances; this search ranks by cosine"),
        ({"rerank": True}, "cosine, re-ranked distances"),
        ({"open_set": [row(None, None, None)]}, "too few"),
        ({"open_set": []}, "from before they were taken"),
    ],
)
def test_a_result_that_says_nothing_about_these_distances_is_refused(tmp_path, changes, words):
    good = make_result(open_set=[row(80.0, 60.0, 40.0)], weights=[Origin("a" * 64)])
    assert likeness.measured_by(good, tmp_path, "cosine", "a" * 64).positives == 50
    with pytest.raises(UsageError, match=words):
        likeness.measured_by(replace(good, **changes), tmp_path, "cosine", "a" * 64)


def test_the_store_is_asked_for_the_weights_the_datasets_own_result_first(tmp_path):
    def stored(model, bench, fingerprint, tpr, sha="a", **changes):
        made = make_result(model, bench, fingerprint=fingerprint, open_set=[row(tpr, tpr, tpr)], **changes)
        save_result(tmp_path, replace(made, weights=[Origin(sha * 64)]))

    def found(fingerprint="", sha="a"):
        names = ("resnet50", "resnet50@sports")
        measured = likeness.find_measured(tmp_path, names, sha * 64, "cosine", "dense", fingerprint)
        return measured and measured.points[0].tpr

    assert found() is None
    stored("resnet50", "sports", "1" * 64, 10.0, created="2026-11-23T10:00:00+00:00")
    stored("resnet50@sports", "dance", "2" * 64, 20.0, created="2026-11-24T10:00:00+00:00")
    stored("resnet50@sports", "dance", "2" * 64, 30.0, created="2026-11-25T10:00:00+00:00", metric="euclidean")
    stored("resnet50", "sports", "1" * 64, 40.0, sha="b", created="2026-11-26T10:00:00+00:00")
    assert (found(), found("1" * 64), found("2" * 64), found(sha="b"), found(sha="c")) == (20.0, 10.0, 20.0, 40.0, None)
    assert likeness.find_measured(tmp_path / "absent", ("resnet50",), "a" * 64, "cosine", "dense") is None
