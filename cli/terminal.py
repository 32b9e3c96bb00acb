"""What commands print on stdout: tables and lines for people, one JSON object for scripts.

    show(("bench", "mAP"), [("mars", "85.1")], right=("mAP",))
    show_results(tables.build("main", results))
    tell(f"Dataset: {folder}")

Nothing that comes from a file is read as markup, and none of its control characters reaches the terminal.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..datasets.text import json_line, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..leaderboard.openset import OpenSet
    from ..leaderboard.results import OpenSetRow
    from ..leaderboard.tables import Cell, Row, Table

LABEL_WIDTH = 20  # a model's name may be folded down to this many letters


def print_json(value: object) -> None:
    """One line of JSON. NaN and infinity are refused (ValueError): no reader of JSON takes them."""
    print(json_line(value))


def tell(line: str) -> None:
    """Prints one line."""
    print(printable(line))


def show(
    columns: Sequence[str], rows: Iterable[Sequence["str | Text"]], *, title: str = "", right: Collection[str] = ()
) -> None:
    """Prints a table; where stdout is no terminal, wide enough for every column.

    Args:
        rows: of plain text; a `rich.text.Text`, for a colour, only where it holds words of our own.
        right: names of the columns whose cells are aligned to the right.
    """
    from rich import box
    from rich.table import Table

    console = _console()
    grid = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        grid.add_column(_text(name), justify="right" if name in right else "left")
    for row in rows:
        grid.add_row(*map(_text, row))
    if title:
        console.print(_text(title, "bold"))
    (console if console.is_terminal else _console(200)).print(grid)


def show_open_set(found: "OpenSet | OpenSetRow", title: str = "All pairs, as an open set") -> None:
    """Prints TPR and threshold at each bound on the FPR, and why one is missing."""
    from ..leaderboard.pairs_table import rate_name

    rows = [
        (
            rate_name(point.fpr),
            "" if point.tpr is None else f"{point.tpr:.4f}",
            "" if point.threshold is None else f"{point.threshold:.6g}",
            point.reason,
        )
        for point in found.points
    ]
    counted = f"{found.positives:,} pairs of one person, {found.negatives:,} of two"
    show(
        ("FPR", "TPR", "distance up to", ""), rows, title=f"{title}: {counted}", right=("FPR", "TPR", "distance up to")
    )


def show_results(tables: Sequence["Table"]) -> None:
    """Prints the tables of `leaderboard.tables`: the best bold, the second underlined.

    A figure is never cut: the models' names are folded first, and what still doesn't fit is printed wider than the
    terminal.
    """
    from rich import box
    from rich.table import Table

    console = _console()
    for t in tables:
        console.print(_text(t.title, "bold"))
        widths = [_width(t, c) for c in range(len(t.columns))]
        others = sum(widths) + 3 * (len(widths) + 1) + 1  # two blanks and a line around each column
        longest = max((len(_label(row)) for row in t.rows), default=0)
        bounded = console.is_terminal or "COLUMNS" in os.environ  # in a file or a pipe, nothing needs folding
        label_width = min(longest, max(LABEL_WIDTH, console.width - others if bounded else longest))
        grid = Table(box=box.SIMPLE_HEAD)
        grid.add_column("", width=label_width, overflow="fold")
        for (group, name), width in zip(t.columns, widths, strict=True):
            heading = _text(group) + "\n" + _text(name)
            grid.add_column(heading, justify="right", no_wrap=True, width=width)
        for i, row in enumerate(t.rows):
            ends = i + 1 < len(t.rows) and t.rows[i + 1].ours != row.ours
            grid.add_row(_label(row), *(_figure(cell) for cell in row.cells), end_section=ends)
        if t.rows:
            _console(max(console.width, others + label_width)).print(grid)
        for note in t.notes:
            console.print(_text(note, "dim"), soft_wrap=True)
        for problem in t.problems:
            console.print(_text(problem, "bold"), soft_wrap=True)
        console.print()


def _console(width: int | None = None) -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=width)


def _text(text: "str | Text", style: str = "") -> "Text":
    from rich.text import Text

    return Text(printable(text), style) if isinstance(text, str) else text


def _label(row: "Row") -> "Text":
    return _text(row.label + (" †" if row.dagger else ""))


def _figure(cell: "Cell | None") -> "Text":
    if cell is None:
        return _text("")
    style = "bold" if cell.best else "underline" if cell.second else ""
    return _text(cell.text, style) + (" ≈" if cell.tied else "")


def _width(t: "Table", c: int) -> int:
    """Cells of the terminal that column `c` needs."""
    return max(text.cell_len for text in (*map(_text, t.columns[c]), *(_figure(row.cells[c]) for row in t.rows)))
