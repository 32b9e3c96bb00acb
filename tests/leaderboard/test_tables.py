"""Tables: what shares a column, what is marked, what stays blank; and the five formats."""

import csv
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from reidkit.leaderboard import formats
from reidkit.leaderboard.published import published
from reidkit.leaderboard.results import save_result
from reidkit.leaderboard.tables import Cell, Row, Table, build
from reidkit.leaderboard.use import tables_of


def row_of(made, label):
    return next(row for row in made.rows if row.label == label)


def column(made, group, name):
    return made.columns.index((group, name))


def test_published_rows_stand_above_ours(make_result):
    made = build("main", [make_result(mAP=99.0)])[0]
    ours = [row.ours for row in made.rows]
    assert ours == sorted(ours)
    assert ours.count(True) == 1
    assert ours.count(False) == len([p for p in published() if {"mars", "ilids-vid", "ls-vid"} & set(p.figures)])
    assert row_of(made, "TF-CLIP (AAAI 2024)").cells[column(made, "MARS", "mAP")].value == 89.4
    assert all(p.source for p in published())


def test_without_results_the_published_rows_are_there():
    made = build("main", [])
    assert len(made) == 1
    assert len(made[0].rows) > 20


def test_unverified_rows_have_a_dagger():
    made = build("main", [])[0]
    assert row_of(made, "CG-CLIP (arXiv 2026)").dagger
    assert not row_of(made, "PSTA (ICCV 2021)").dagger
    assert any("†" in note for note in made.notes)


def test_best_and_second_by_the_figure_as_printed(make_result):
    made = build("main", [make_result("a", mAP=95.04), make_result("b", mAP=94.96), make_result("c", mAP=94.0)])[0]
    c = column(made, "MARS", "mAP")
    marks = {row.label: (row.cells[c].best, row.cells[c].second) for row in made.rows if row.ours}
    # 95.04 and 94.96 both print as 95.0: they share the first place
    assert marks == {"a": (True, False), "b": (True, False), "c": (False, True)}


def test_all_frames_stand_in_the_main_table_however_many_results_sample_fewer(make_result):
    spread = [make_result(name, sampling="spread") for name in ("x", "y", "z")]
    made = build("main", [*spread, make_result("a")])
    assert [row.label for row in made[0].rows if row.ours] == ["a"]
    assert {row.label for row in made[1].rows} == {"x", "y", "z"}


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "mars-matlab"},
        {"protocol_version": 2},
        {"sampling": "spread"},
        {"metric": "euclidean"},
        {"rerank": True},
        {"fingerprint": "0" * 64},
    ],
)
def test_unlike_figures_never_share_a_column(make_result, changes):
    made = build("main", [make_result("a"), make_result("b"), make_result("other", **changes)])
    assert {row.label for row in made[0].rows if row.ours} == {"a", "b"}
    assert [row.label for row in made[1].rows] == ["other"]
    assert not any(not row.ours for row in made[1].rows)
    assert "Apart from" in made[1].notes[0]


def test_only_the_protocol_of_the_papers_stands_under_their_rows(make_result):
    made = build("main", [make_result("other", protocol="mars-matlab")])
    assert not any(row.ours for row in made[0].rows)
    assert [row.label for row in made[1].rows] == ["other"]


def test_missing_cells_are_blank_and_no_mean_is_taken_over_them(make_result):
    first, second = make_result(seed=0), make_result(seed=1)
    second = dataclasses.replace(second, metrics={"mAP": 52.0})
    made = build("main", [first, second])[0]
    row = row_of(made, "resnet50")
    assert row.cells[column(made, "MARS", "mAP")].value == 51
    assert row.cells[column(made, "MARS", "R1")] is None
    assert row.cells[column(made, "LS-VID", "mAP")] is None


def test_seeds_give_mean_and_deviation_and_the_newest_of_a_seed_counts(make_result):
    runs = [
        make_result(mAP=10.0, seed=0),
        make_result(mAP=50.0, seed=0, created="2026-11-24T00:00:00+00:00"),
        make_result(mAP=52.0, seed=1),
    ]
    runs.sort(key=lambda r: r.created)
    made = build("main", runs)[0]
    assert row_of(made, "resnet50").cells[0].text == "51.0 ± 1.4"


def test_recipes_are_never_mixed(make_result):
    made = build("main", [make_result(recipe={"lr": 1}, mAP=1.0), make_result(recipe={"lr": 2}, mAP=2.0)])[0]
    assert {row.label: row.cells[0].value for row in made.rows if row.ours} == {"resnet50 lr=1": 1, "resnet50 lr=2": 2}


def test_rows_that_read_alike_are_all_there(make_result):
    """A recipe's 1 and "1", a model called "a (tiny)" and the tiny one of a."""
    runs = [make_result("m", recipe={"lr": value}, mAP=float(i)) for i, value in enumerate((1, "1", 1.5), start=1)]
    runs += [make_result("a (tiny)", mAP=4.0), make_result("a", size="tiny", mAP=5.0)]
    made = build("main", runs)[0]
    assert sorted(row.cells[0].value for row in made.rows if row.ours) == [1, 2, 3, 4, 5]
    assert len({row.label for row in made.rows}) == len(made.rows)


def test_intervals_and_ties(make_result, queries):
    base = [10.0, 90, 30, 70, 50, 50, 20, 80, 40, 60]
    runs = [
        make_result("best", mAP=51.0, per_query=queries([v + 1 for v in base])),
        make_result(
            "near", mAP=50.9, per_query=queries([v + 1 + (-1) ** (i // 2) * 3 - 0.7 for i, v in enumerate(base)])
        ),
        make_result("far", mAP=40.0, per_query=queries([v - 10 for v in base])),
    ]
    made = build("main", runs, intervals=True)[0]
    c = column(made, "MARS", "mAP")
    assert {r.label: r.cells[c].tied for r in made.rows if r.ours} == {"best": False, "near": True, "far": False}
    assert re.fullmatch(r"51\.0 ± \d+\.\d", row_of(made, "best").cells[c].text)
    assert any("≈" in note for note in made.notes)


def test_a_dataset_of_ones_own_is_in_the_hard_table_under_its_name(make_result):
    made = build("hard", [make_result(bench="rehearsal", protocol="video-reid")])
    assert ("rehearsal", "mAP") in made[-1].columns
    assert [row.label for row in made[-1].rows] == ["resnet50"]
    assert not any(row.ours for row in made[0].rows)  # the authors' footage is not ours


def test_the_ablation_holds_the_switches_of_cgclip_only(make_result):
    runs = [make_result(m) for m in ("cgclip", "cgclip/no-cmr", "tfclip")]
    assert [row.label for row in build("ablation", runs)[0].rows] == ["cgclip", "cgclip/no-cmr"]


AWKWARD = [
    Table(
        "Results & 100 % of_it",
        (("MARS", "mAP"), ("MARS", "R1"), ("LS-VID", "R1")),
        (
            Row("a_b|c {x} <i>", (Cell(1.0, 0.5, best=True), None, Cell(3.0, second=True)), ours=False, dagger=True),
            Row('b, "c"', (Cell(0.5, tied=True), None, None)),
        ),
        ("$5 ~ note",),
        ("Left out: 'x_1.json'",),
    )
]


def test_markdown():
    text = formats.render(AWKWARD, "markdown")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "| **1.0 ± 0.5** |  | <u>3.0</u> |" in lines[2]
    assert "0.5 ≈" in lines[3]
    assert "x_1.json" in text


def test_latex_is_balanced_and_escaped():
    text = formats.render(AWKWARD, "latex")
    body = [line for line in text.splitlines() if not line.startswith("%")]
    for line in body:
        assert not re.search(r"(?<!\\)[#%~]|(?<!\\)_", line), line
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    assert [text.count(rule) for rule in ("\\toprule", "\\bottomrule")] == [1, 1]
    bare = re.sub(r"\\[{}]", "", "\n".join(body))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0 or "\\$" in bare
    for line in body:
        if line.endswith("\\\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == 3
    assert "\\cmidrule(lr){2-3} \\cmidrule(lr){4-4}" in text
    assert "\\textbf{1.0 $\\pm$ 0.5}" in text


def test_latex_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    text = formats.render([*AWKWARD, *build("main", [])], "latex")
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + text + "\\end{document}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_reads_back():
    text = formats.render(AWKWARD, "csv")
    rows = list(csv.reader(io.StringIO("".join(x for x in text.splitlines(True) if not x.startswith("#")))))
    assert rows[0] == [
        "model",
        "ours",
        "verified",
        "MARS mAP",
        "MARS mAP ±",
        "MARS R1",
        "MARS R1 ±",
        "LS-VID R1",
        "LS-VID R1 ±",
    ]
    assert rows[1] == ["a_b|c {x} <i>", "0", "0", "1.0", "0.5", "", "", "3.0", ""]
    assert rows[2][0] == 'b, "c"'


def test_html_is_well_formed():
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    text = formats.render(AWKWARD, "html")
    Checker().feed(text)
    assert not open_tags
    assert "<i>" not in text
    assert "<strong>1.0 ± 0.5</strong>" in text


@pytest.mark.parametrize("name", ["main", "hard", "ablation", "cross", "open-set"])
def test_what_was_left_out_stands_once_in_the_first_table(make_result, tmp_path, name):
    save_result(tmp_path, make_result())
    bad = tmp_path / "mars" / "resnet50" / "half.json"
    bad.write_text("{")
    first, *others = tables_of(name, tmp_path)
    assert [words.startswith("Left out: ") and bad.name in words for words in first.problems] == [True]
    assert not any(table.problems for table in others)
