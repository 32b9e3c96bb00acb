"""`reidkit table` and `reidkit compare`: every format, and nothing in a file is more than text."""

import csv
import io
import json
import re

import pytest
from command_line import call
from made_up_results import make_result, make_rows, write_result

from reidkit.cli.terminal import show, show_results
from reidkit.leaderboard import tables
from reidkit.leaderboard.results import save_result

FORMATS = ["rich", "markdown", "latex", "csv", "html"]


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", tables.NAMES)
def test_every_table_prints_in_every_format_with_and_without_results(tmp_path, capsys, name, style):
    arguments = ["table", name, "--format", style, "--results", tmp_path]
    assert call(capsys, *arguments)[0] == 0
    save_result(tmp_path, make_result())
    save_result(tmp_path, make_result("cgclip/no-tfe", bench="sports-vreid", protocol="video-reid"))
    assert call(capsys, *arguments)[0] == 0


@pytest.mark.parametrize("style", FORMATS)
def test_a_damaged_file_is_a_visible_note_and_exit_zero(tmp_path, capsys, monkeypatch, style):
    monkeypatch.setenv("COLUMNS", "300")
    save_result(tmp_path, make_result("good"))
    for name, text in (
        ("half", '{"format": 1, "mod'),
        ("newer", '{"format": 7}'),
        ("nan", '{"format": 1, "seed": NaN}'),
    ):
        (tmp_path / "mars" / "bad").mkdir(exist_ok=True)
        (tmp_path / "mars" / "bad" / f"{name}.json").write_text(text)
    code, out, err = call(capsys, "table", "--results", tmp_path, "--format", style)
    assert code == 0
    for name in ("half", "newer", "nan"):
        assert f"{name}.json" in out.replace("\\_", "_")
        assert f"{name}.json" in err or style not in ("csv", "latex")
    assert "good" in out


def test_json_is_one_object(tmp_path, capsys):
    save_result(tmp_path, make_result())
    found = json.loads(call(capsys, "table", "--results", tmp_path, "--json")[1])["tables"][0]
    assert found["rows"][-1]["label"] == "resnet50"
    assert found["rows"][-1]["cells"][0]["value"] == 50


def test_compare(tmp_path, capsys):
    save_result(tmp_path, make_result("a", per_query=make_rows([90.0] * 10)))
    save_result(tmp_path, make_result("b/v", per_query=make_rows([80.0] * 10)))
    told = json.loads(call(capsys, "compare", "a", "b/v", "--bench", "mars", "--results", tmp_path, "--json")[1])
    assert told["differences"][0]["difference"] == 10
    assert told["differences"][0]["significant"] is True


@pytest.mark.parametrize("columns", [None, "20", "40", "80", "100", "300"])
def test_no_figure_is_ever_cut(monkeypatch, capsys, columns):
    if columns is None:  # a pipe: nothing is folded
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    name = "a-model-with-a-name-of-more-than-forty-letters"
    show_results(tables.build("main", [make_result(name, mAP=12.3, R1=45.6), make_result("b", mAP=7.8, R1=99.9)]))
    printed = capsys.readouterr().out
    assert "…" not in printed
    for figure in ("12.3", "45.6", "7.8", "99.9", "78.5"):
        assert figure in printed
    assert (name in printed) == (columns in (None, "300"))
    assert name[:20] in printed


HOSTILE = [
    "[/oops]",
    "[left]",
    "[link=https://example.org]x",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b31mred",
    "first\nsecond\r\tthird",
    "=1+1",
    "@SUM(A1)",
    "-2+3",
    "a,=1+1",
    "<script>alert(1)</script>",
    "a|b*c_d`e`\\",
    "![x](https://example.org)",
    "100 % of $5 & #1 ~ {x}^2",
    "\u202egnirts",
    "\u2028",
]


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text_in_every_format(tmp_path, capsys, monkeypatch, style, text):
    monkeypatch.setenv("COLUMNS", "400")
    changes = {"protocol": "video-reid", "recipe": {"x": 1}, "sampling": text}
    write_result(tmp_path, make_result(text, bench=text, **changes))
    write_result(tmp_path, make_result(text, bench=text, **(changes | {"recipe": {"x": text}})), "second.json")
    write_result(tmp_path, make_result("plain", bench=text, **changes), "third.json")
    code, out, err = call(capsys, "table", "hard", "--results", tmp_path, "--format", style)
    assert code == 0, err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    if style == "rich":
        assert out.count(shown) >= 4  # the bench's name and three labels or notes, with all their brackets
    if style == "html":
        assert "<script" not in out
        assert out.count("<tr") == out.count("</tr>")
    if style == "markdown":
        for block in out.split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines}) <= 1, block
        assert not re.search(r"(?<!\\)[<\[]script|(?<!\\)\]\(", out)
    if style == "latex":
        comments = [line for line in out.splitlines() if line.startswith("%")]
        assert not any("hostile" in c for c in comments)
        for line in out.splitlines():
            assert line.startswith("%") or not re.search(r"(?<!\\)[#%~]|(?<!\\)_", line), line
    if style == "csv":
        for line in out.splitlines():
            if not line or line.startswith("#"):
                assert not re.search(r"[,;]\s*[=+\-@]", line)
                continue
            for cell in next(csv.reader(io.StringIO(line))):
                assert not re.match(r"\s*[=+\-@\t\r]", cell), cell


def test_hostile_names_in_a_comparison(tmp_path, capsys):
    for model in ("[/a]\x1b[31m", "b\nc"):
        write_result(tmp_path, make_result(model, bench="[/x]", per_query=make_rows([50.0] * 4)), f"{len(model)}.json")
    files = sorted((tmp_path / "some-bench" / "some-model").iterdir())
    code, out, _ = call(capsys, "compare", *files)
    assert code == 0
    assert "[/a]\\x1b[31m" in out
    assert "b\\nc" in out
    assert "\x1b" not in out


def test_a_table_of_cells_that_look_like_markup(capsys):
    show(("[left]", "x"), [("[/oops]", "\x1b[31m"), ("[bold]b[/]", "a\nb")], title="[/title]", right=("x",))
    out = capsys.readouterr().out
    for text in ("[left]", "[/oops]", "\\x1b[31m", "[bold]b[/]", "a\\nb", "[/title]"):
        assert text in out


def test_json_that_a_terminal_may_show(tmp_path, capsys):
    write_result(tmp_path, make_result("\x9b31mé\U000e0001", bench="x", protocol="video-reid"))
    code, out, _ = call(capsys, "table", "hard", "--results", tmp_path, "--json")
    assert code == 0
    assert out.rstrip("\n").isprintable()
    assert "é" in out
    assert json.loads(out)["tables"][-1]["rows"][0]["label"] == "\x9b31mé\U000e0001"
