"""One escape for each kind of output that text from files goes into: names of people's datasets, cameras and models.

    printable("red\\x1b[31m")            # a terminal, a log, a sentence
    html("<b>")
    csv_cell("=1+1")                   # a table that a spreadsheet opens
    latex("a_b & c")
    markdown("a|b")

All of them give one line.
"""

import json
import re
from html import escape


def printable(text: str) -> str:
    """`text` in one line, with control characters, escape codes and lone surrogates written as their numbers.

    >>> print(printable("\\x1b[31mred, \\u2028and more"))
    \\x1b[31mred, \\u2028and more
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def html(text: str) -> str:
    """`text` as HTML shows it, in quotation marks, too. (Jinja's templates escape by themselves.)

    >>> html("<b>")
    '&lt;b&gt;'
    """
    return escape(printable(text))


_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # the wide ones are read as the others by some spreadsheets


def csv_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: a quotation mark stands before what looks like one.

    >>> csv_cell("=1+1")
    "'=1+1"
    """
    text = printable(text)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and text.strip() else text


def csv_comment(text: str) -> str:
    """A line of comment, of which no part behind a comma is taken for a formula.

    >>> csv_comment("left out, =1+1")
    "# left out, '=1+1"
    """
    return "# " + re.sub(rf"([,;]\s*)(?=[{re.escape(_FORMULA)}])", r"\1'", printable(text))


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "≈": r"$\approx$",
    "—": "---",
}


def latex(text: str) -> str:
    """`text` as LaTeX prints it.

    >>> print(latex("a_b & \\x1b"))
    a\\_b \\& \\textbackslash{}x1b
    """
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))


def markdown(text: str) -> str:
    """`text` as Markdown prints it, in a cell of a table, too; no link, no HTML. An underscore inside a word stays.

    >>> print(markdown("a|b_c [d](e)"))
    a\\|b_c \\[d\\](e)
    """
    text = re.sub(r"([\\`*\[\]<>|~$&#])", r"\\\1", printable(text))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def json_line(value: object) -> str:
    """`value` as one line of JSON; what a terminal would obey is written as its number.

    Raises:
        ValueError: NaN or infinity, which no reader of JSON takes.
    """
    line = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
