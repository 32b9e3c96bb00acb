"""One table as text: Markdown, LaTeX (booktabs), CSV, HTML. On a terminal `cli.terminal` shows it.

    print(render(tables, "latex"))       # the best bold, the second underlined, missing cells blank

Whatever comes from a file passes the one escape of its format (`datasets.text`).
"""

import csv
import io
from collections.abc import Sequence

from ..datasets.text import csv_cell, csv_comment, html, latex, markdown, printable
from .tables import Row, Table


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
                "heading": t.heading,
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
                                "margin": cell.margin,
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


def _head(group: str, name: str) -> str:
    return f"{group} {name}".strip()


def _markdown(t: Table) -> str:
    lines = [f"### {markdown(t.title)}", ""]
    lines.append("| " + " | ".join([markdown(t.heading), *(markdown(_head(g, n)) for g, n in t.columns)]) + " |")
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
        lines.append("| " + " | ".join([markdown(_label(row)), *cells]) + " |")
    lines += ["", *(f"{markdown(note)}  " for note in t.notes)]
    lines += [f"**{markdown(problem)}**  " for problem in t.problems]
    return "\n".join(lines) + "\n"


def _latex(t: Table) -> str:
    lines = [f"% {printable(problem)}" for problem in t.problems]
    lines += [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{latex(t.title)}}}",
        "\\begin{tabular}{l" + "r" * len(t.columns) + "}",
        "\\toprule",
    ]
    if any(group for group, _, _ in t.groups):
        head = "".join(f" & \\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, _, n in t.groups)
        lines.append(head.strip() + " \\\\")
        lines.append(" ".join(f"\\cmidrule(lr){{{start + 2}-{start + n + 1}}}" for _, start, n in t.groups))
    lines.append(" & ".join([latex(t.heading.capitalize()), *(latex(name) for _, name in t.columns)]) + " \\\\")
    lines.append("\\midrule")
    for i, row in enumerate(t.rows):
        if i and t.rows[i - 1].ours != row.ours:
            lines.append("\\midrule")
        cells = []
        for cell in row.cells:
            text = "" if cell is None else latex(cell.text)
            if cell and cell.best:
                # math is not touched by \textbf: the figure is bold, the sign stays as it is
                text = f"\\textbf{{{text}}}"
            elif cell and cell.second:
                text = f"\\underline{{{text}}}"
            cells.append(text + (" $\\approx$" if cell and cell.tied else ""))
        lines.append(" & ".join([latex(_label(row)), *cells]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    if t.notes:
        lines.append("\\par\\smallskip\\footnotesize " + " ".join(latex(note) for note in t.notes))
    lines.append("\\end{table}")
    return "\n".join(lines) + "\n"


def _csv(t: Table) -> str:
    out = io.StringIO()
    out.writelines(csv_comment(line) + "\n" for line in [t.title, *t.problems, *t.notes])
    writer = csv.writer(out, lineterminator="\n")
    heads = [csv_cell(_head(g, n)) for g, n in t.columns]
    writer.writerow([csv_cell(t.heading), "ours", "verified", *(h for head in heads for h in (head, f"{head} ±"))])
    for row in t.rows:
        cells = []
        for cell in row.cells:
            cells += (
                ["", ""]
                if cell is None
                else [repr(round(cell.value, 6)), cell.margin if cell.margin is not None else ""]
            )
        writer.writerow([csv_cell(row.label), int(row.ours), int(not row.dagger), *cells])
    return out.getvalue()


def _html(t: Table) -> str:
    lines = ["<table>", f"<caption>{html(t.title)}</caption>", "<thead>"]
    groups = "".join(f'<th colspan="{n}">{html(g)}</th>' for g, _, n in t.groups)
    names = "".join(f"<th>{html(n)}</th>" for _, n in t.columns)
    lines += [f"<tr><th></th>{groups}</tr>", f"<tr><th>{html(t.heading)}</th>{names}</tr>", "</thead>", "<tbody>"]
    for row in t.rows:
        cells = []
        for cell in row.cells:
            text = html(cell.text) if cell else ""
            if cell and cell.best:
                text = f"<strong>{text}</strong>"
            elif cell and cell.second:
                text = f"<u>{text}</u>"
            cells.append(f"<td>{text}{' ≈' if cell and cell.tied else ''}</td>")
        whose = "ours" if row.ours else "published"
        lines.append(f'<tr class="{whose}"><th>{html(_label(row))}</th>{"".join(cells)}</tr>')
    lines += ["</tbody>", "</table>"]
    lines += [f"<p>{html(note)}</p>" for note in t.notes]
    lines += [f'<p class="problem">{html(problem)}</p>' for problem in t.problems]
    return "\n".join(lines) + "\n"
