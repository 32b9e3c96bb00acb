"""The escapes, one for each kind of output."""

import json

import pytest

from reidkit.datasets.text import csv_cell, csv_comment, html, json_line, latex, markdown


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain", "plain"),
        ("", ""),
        ("  ", "  "),
        ("a=b", "a=b"),
        ("=1", "'=1"),
        (" +1", "' +1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\uff1d1", "'\uff1d1"),
        ("\t=1", "\\t=1"),
        ("a\r\nb", "a\\r\\nb"),
    ],
)
def test_csv_cells(text, cell):
    assert csv_cell(text) == cell


def test_csv_comments_are_one_line_and_no_formula():
    assert csv_comment("x\ny, =1; @z, a-b") == "# x\\ny, '=1; '@z, a-b"


def test_latex():
    assert latex("a_b\x1b~^\\") == r"a\_b\textbackslash{}x1b\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex("±†≈—<>") == r"$\pm$$^\dagger$$\approx$---\textless{}\textgreater{}"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("bias_lr_factor", "bias_lr_factor"),
        ("_a_ b", r"\_a\_ b"),
        ("a|b", r"a\|b"),
        ("\\|", r"\\\|"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("[x](y) **z** `c` ~~d~~ $e$", r"\[x\](y) \*\*z\*\* \`c\` \~\~d\~\~ \$e\$"),
        ("a\nb", r"a\\nb"),
    ],
)
def test_markdown(text, escaped):
    assert markdown(text) == escaped


def test_html():
    assert html('<b a="\'">\x1b&') == "&lt;b a=&quot;&#x27;&quot;&gt;\\x1b&amp;"


@pytest.mark.parametrize("text", ["é ‘x’", "\x1b[31m\x7f\x9b", "\U000e0001\ud800", "\u2028"])
def test_json_is_one_line_that_reads_back(text):
    line = json_line({text: [text, 1.5, None]})
    assert line.isprintable()
    assert json.loads(line) == {text: [text, 1.5, None]}
    with pytest.raises(ValueError):
        json_line(float("nan"))
