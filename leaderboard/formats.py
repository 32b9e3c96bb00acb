"""One table in five formats: rich on a terminal, markdown, LaTeX (booktabs), CSV, HTML.

show(tables, "latex")                 # best bold, second underlined, missing cells blank
"""

import csv
import html
import io
import os
from collections.abc import Sequence

from .tables import Cell, Row, Table

LABEL_WIDTH = 20  # a model's name may be folded down to this many letters
# what LaTeX reads as more than a letter
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
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "≈": r"$\approx$",
    "—": "---",
}


def show(tables: Sequence[Table], style: str) -> None:
    """Prints the tables on stdout."""
    if style == "rich":
        _show_rich(tables)
    else:
        print(render(tables, style), end="")


def render(tables: Sequence[Table], style: str) -> str:
    """The tables as text in `markdown`, `latex`, `csv` or `html`."""
    function = {"markdown": _markdown, "latex": _latex, "csv": _csv, "html": _html}[style]
    return "\n".join(function(t) for t in tables)


def as_object(tables: Sequence[Table]) -> dict:
    """What `--json` prints."""
    return {
        "tables": [
            {
                "title": t.title,
                "columns": [{"group": g, "name": n} for g, n in t.columns],
                "rows": [
                    {
                        "label": row.label,
                        "ours": row.ours,
                        "verified": not row.dagger,
                        "cells": [
                            cell
                            and {
                                "value": cell.value,
                                "spread": cell.spread,
                                "best": cell.best,
                                "second": cell.second,
                                "not_significantly_behind": cell.tied,
                            }
                            for cell in row.cells
                        ],
                    }
                    for row in t.rows
                ],
                "notes": list(t.notes),
                "problems": list(t.problems),
            }
            for t in tables
        ]
    }


def _label(row: Row) -> str:
    return row.label + (" †" if row.dagger else "")


def _plain(cell: Cell | None) -> str:
    return "" if cell is None else cell.text + (" ≈" if cell.tied else "")


def _head(group: str, name: str) -> str:
    return f"{group} {name}".strip()


def _show_rich(tables: Sequence[Table]) -> None:
    import rich.table
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    bounded = console.is_terminal or "COLUMNS" in os.environ  # in a file or a pipe, nothing needs folding
    for t in tables:
        console.print(t.title, style="bold", markup=False)
        # A figure is never cut: names are folded first, and what still doesn't fit is printed wider than the terminal.
        widths = [
            max(cell_len(text) for text in (group, name, *(_plain(row.cells[c]) for row in t.rows)))
            for c, (group, name) in enumerate(t.columns)
        ]
        others = sum(widths) + 3 * (len(widths) + 1) + 1  # two blanks and a line around each column
        longest = max((cell_len(_label(row)) for row in t.rows), default=0)
        room = console.width - others if bounded else longest
        label_width = min(longest, max(LABEL_WIDTH, room))
        grid = rich.table.Table(box=box.SIMPLE_HEAD)
        grid.add_column("", width=label_width, overflow="fold")
        for (group, name), width in zip(t.columns, widths, strict=True):
            grid.add_column(f"{group}\n{name}", justify="right", no_wrap=True, width=width)
        for i, row in enumerate(t.rows):
            cells = []
            for cell in row.cells:
                style = "bold" if cell and cell.best else "underline" if cell and cell.second else ""
                cells.append(Text(cell.text, style) + Text(" ≈" if cell.tied else "") if cell else Text(""))
            ends = i + 1 < len(t.rows) and t.rows[i + 1].ours != row.ours
            grid.add_row(Text(_label(row)), *cells, end_section=ends)
        if t.rows:
            Console(highlight=False, width=max(console.width, others + label_width)).print(grid)
        for note in t.notes:
            console.print(note, markup=False, style="dim", soft_wrap=True)
        for problem in t.problems:
            console.print(problem, markup=False, style="bold", soft_wrap=True)
        console.print()


def _markdown(t: Table) -> str:
    def clean(text: str) -> str:
        return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")

    lines = [f"### {clean(t.title)}", ""]
    lines.append("| " + " | ".join(["model", *(clean(_head(g, n)) for g, n in t.columns)]) + " |")
    lines.append("|---|" + "---:|" * len(t.columns))
    for row in t.rows:
        cells = []
        for cell in row.cells:
            text = "" if cell is None else cell.text
            if cell and cell.best:
                text = f"**{text}**"
            elif cell and cell.second:
                text = f"<u>{text}</u>"
            cells.append(text + (" ≈" if cell and cell.tied else ""))
        lines.append("| " + " | ".join([clean(_label(row)), *cells]) + " |")
    lines += ["", *(f"{clean(note)}  " for note in t.notes)]
    lines += [f"**{clean(problem)}**  " for problem in t.problems]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """`text` as LaTeX prints it."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex(t: Table) -> str:
    lines = [f"% {problem}".replace("\n", " ") for problem in t.problems]
    lines += [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{latex_text(t.title)}}}",
        "\\begin{tabular}{l" + "r" * len(t.columns) + "}",
        "\\toprule",
    ]
    spans = _spans(t)
    if any(group for group, _, _ in spans):
        head = "".join(f" & \\multicolumn{{{n}}}{{c}}{{{latex_text(group)}}}" for group, _, n in spans)
        lines.append(head.strip() + " \\\\")
        lines.append(" ".join(f"\\cmidrule(lr){{{start + 2}-{start + n + 1}}}" for _, start, n in spans))
    lines.append(" & ".join(["Model", *(latex_text(name) for _, name in t.columns)]) + " \\\\")
    lines.append("\\midrule")
    for i, row in enumerate(t.rows):
        if i and t.rows[i - 1].ours != row.ours:
            lines.append("\\midrule")
        cells = []
        for cell in row.cells:
            text = "" if cell is None else latex_text(cell.text)
            if cell and cell.best:
                # math is not touched by \textbf: the figure is bold, the sign stays as it is
                text = f"\\textbf{{{text}}}"
            elif cell and cell.second:
                text = f"\\underline{{{text}}}"
            cells.append(text + (" $\\approx$" if cell and cell.tied else ""))
        lines.append(" & ".join([latex_text(_label(row)), *cells]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    if t.notes:
        lines.append("\\par\\smallskip\\footnotesize " + " ".join(latex_text(note) for note in t.notes))
    lines.append("\\end{table}")
    return "\n".join(lines) + "\n"


def _spans(t: Table) -> list[tuple[str, int, int]]:
    """(group, first column, number of columns) of neighbouring columns of one group."""
    spans: list[tuple[str, int, int]] = []
    for i, (group, _) in enumerate(t.columns):
        if spans and spans[-1][0] == group:
            spans[-1] = (group, spans[-1][1], spans[-1][2] + 1)
        else:
            spans.append((group, i, 1))
    return spans


def _csv(t: Table) -> str:
    out = io.StringIO()
    out.writelines(f"# {line}\n".replace("\r", " ") for line in [t.title, *t.problems, *t.notes])
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["model", "ours", "verified", *(h for g, n in t.columns for h in (_head(g, n), f"{_head(g, n)} ±"))]
    )
    for row in t.rows:
        cells = []
        for cell in row.cells:
            cells += (
                ["", ""]
                if cell is None
                else [repr(round(cell.value, 6)), cell.spread if cell.spread is not None else ""]
            )
        writer.writerow([row.label, int(row.ours), int(not row.dagger), *cells])
    return out.getvalue()


def _html(t: Table) -> str:
    lines = ["<table>", f"<caption>{html.escape(t.title)}</caption>", "<thead>"]
    groups = "".join(f'<th colspan="{n}">{html.escape(g)}</th>' for g, _, n in _spans(t))
    names = "".join(f"<th>{html.escape(n)}</th>" for _, n in t.columns)
    lines += [f"<tr><th></th>{groups}</tr>", f"<tr><th>model</th>{names}</tr>", "</thead>", "<tbody>"]
    for row in t.rows:
        cells = []
        for cell in row.cells:
            text = html.escape(cell.text) if cell else ""
            if cell and cell.best:
                text = f"<strong>{text}</strong>"
            elif cell and cell.second:
                text = f"<u>{text}</u>"
            cells.append(f"<td>{text}{' ≈' if cell and cell.tied else ''}</td>")
        kind = "ours" if row.ours else "published"
        lines.append(f'<tr class="{kind}"><th>{html.escape(_label(row))}</th>{"".join(cells)}</tr>')
    lines += ["</tbody>", "</table>"]
    lines += [f"<p>{html.escape(note)}</p>" for note in t.notes]
    lines += [f'<p class="problem">{html.escape(problem)}</p>' for problem in t.problems]
    return "\n".join(lines) + "\n"
