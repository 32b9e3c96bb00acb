"""Trained here, tested there: which result stands in which cell, and what is blank."""

import csv
import io
from dataclasses import replace

import pytest
from made_up_results import make_result

from reidkit.leaderboard import cross, formats
from reidkit.leaderboard.origin import ChosenEpoch, Origin, WeightsFile, origin_notes

SPORTS, DANCE = "1" * 64, "2" * 64


def result_of(model, on, mAP, of=None, seed=0, sha="a", **changes):
    """A result on the bench `on` of weights that were trained on `of`, both (name, fingerprint); None: not recorded."""
    weights = [] if of is None else [Origin(sha * 64, [WeightsFile("start.pth", "e" * 64)], *of)]
    made = make_result(model, on[0], mAP, seed=seed, fingerprint=on[1], protocol="video-reid", weights=weights)
    return replace(made, **changes)


def cells(table):
    return {
        (row.label, *column): cell.text
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell
    }


def stored():
    sports, dance = ("sports", SPORTS), ("dance", DANCE)
    about = {"weights": "seed0", "weights_sha256": "a" * 64, "seed": 0}
    return [
        result_of("resnet50", sports, 80.0, sports),
        result_of("resnet50", sports, 82.0, sports, seed=1, sha="b"),
        result_of("resnet50@sports", dance, 30.0, sports, recipe=about),
        result_of("resnet50", dance, 60.0, dance, sha="c"),
        result_of("cgclip", dance, 70.0, dance, sha="d"),
    ]


def test_runs_and_evaluations_share_a_table_and_what_is_missing_is_blank():
    first, second = cross.build(stored())
    assert first.title == "resnet50: trained on, tested on"
    assert [row.label for row in first.rows] == ["dance", "sports"]
    assert first.columns == (("dance", "mAP"), ("dance", "R1"), ("sports", "mAP"), ("sports", "R1"))
    found = cells(first)
    assert found["sports", "sports", "mAP"] == "81.0 ± 1.4"
    assert found["sports", "dance", "mAP"] == "30.0"
    assert found["dance", "dance", "mAP"] == "60.0"
    assert ("dance", "sports", "mAP") not in found
    assert len(found) == 6
    assert list(cells(second)) == [("dance", "dance", "mAP"), ("dance", "dance", "R1")]
    assert "resnet50, sports: trained on sports 11111111; from start.pth eeeeeeee; checkpoints aaaaaaaa" in " ".join(
        first.notes
    )


def test_a_cell_leads_to_the_results_as_they_are_stored():
    results = stored()
    of = [r for t in cross.build(results) for row in t.rows for cell in row.cells if cell for r in cell.of]
    assert {id(r) for r in of} == {id(r) for r in results}


def test_every_format_names_the_rows_and_leaves_the_missing_blank():
    made = cross.build(stored())[:1]
    assert "| trained on | dance mAP | dance R1 | sports mAP | sports R1 |" in formats.render(made, "markdown")
    assert "| dance | **60.0** | **60.0** |  |  |" in formats.render(made, "markdown")
    assert "Trained on & mAP" in formats.render(made, "latex")
    assert "<th>trained on</th>" in formats.render(made, "html")
    lines = [line for line in io.StringIO(formats.render(made, "csv")) if not line.startswith("#")]
    rows = {row["trained on"]: row for row in csv.DictReader(lines)}
    assert (rows["dance"]["sports mAP"], rows["dance"]["dance mAP"]) == ("", "60.0")
    assert formats.as_object(made)["tables"][0]["rows"][0]["cells"][2:] == [None, None]


def test_other_settings_are_counted_and_left_out():
    results = stored()
    results += [replace(results[0], sampling="spread"), replace(results[0], rerank=True)]
    first = cross.build(results)[0]
    assert "2 results under another protocol" in " ".join(first.notes)
    assert cells(first) == cells(cross.build(stored())[0])


def test_results_from_before_it_was_recorded_tell_it_by_their_names():
    old = [
        result_of("resnet50", ("sports", SPORTS), 80.0),
        result_of("resnet50@sports", ("dance", DANCE), 30.0),
        result_of("tfclip@TF-CLIP_MARS", ("dance", DANCE), 20.0),
    ]
    found = {table.title.partition(":")[0]: cells(table) for table in cross.build(old)}
    assert found["resnet50"] == {
        ("sports", "sports", "mAP"): "80.0",
        ("sports", "sports", "R1"): "60.0",
        ("sports", "dance", "mAP"): "30.0",
        ("sports", "dance", "R1"): "60.0",
    }
    assert found["tfclip"]["TF-CLIP_MARS", "dance", "mAP"] == "20.0"


def test_datasets_of_one_name_are_told_apart_and_splits_are_one():
    other = "3" * 64
    results = [
        result_of("resnet50", ("sports", SPORTS), 80.0, ("sports", SPORTS)),
        result_of("resnet50@sports", ("sports", SPORTS), 20.0, ("sports", other), sha="b"),
    ]
    assert [row.label for row in cross.build(results)[0].rows] == ["sports 11111111", "sports 33333333"]
    splits = [Origin(c * 64, [], "ilids-vid", c * 64, split=k) for k, c in enumerate("ab")]
    result = replace(results[0], bench="ilids-vid", weights=splits)
    assert cross.trained_on(result, {}).name == "ilids-vid"
    assert len(cross.trained_on(result, {}).fingerprint) == 64


def test_an_empty_store():
    (table,) = cross.build([])
    assert table.rows == ()
    assert "No results yet" in table.notes[0]


@pytest.mark.parametrize(
    ("origins", "line"),
    [
        ([], None),
        ([Origin("a" * 64)], "m: trained elsewhere; checkpoint aaaaaaaa."),
        (
            [
                Origin(
                    "a" * 64,
                    [WeightsFile("r.pth", "b" * 64)],
                    "mars",
                    "c" * 64,
                    ChosenEpoch(3, 9, 0.1, [1], "seed", {}),
                )
            ],
            "m: trained on mars cccccccc; from r.pth bbbbbbbb; checkpoint aaaaaaaa; "
            "epoch 3 of 9 chosen on held-out training identities.",
        ),
        (
            [Origin(c * 64, [], "ilids-vid", c * 64, split=k) for k, c in enumerate("abcd")],
            "m: trained on ilids-vid; 4 checkpoints.",
        ),
    ],
)
def test_a_row_is_told_where_its_weights_are_from(origins, line):
    assert origin_notes({"m": origins}) == ([line] if line else [])
