"""Tables of a result store in one call: what `reidkit table` does.

    print(table("hard", results="demo/results"))        # Markdown

`tables.py` makes them, `formats.py` writes them.
"""

import dataclasses
from pathlib import Path

from ..datasets import UsageError
from ..datasets.errors import choices
from . import complexity, cross, formats, pairs_table, tables
from .results import load_results


def table(name: str = "main", results: Path | str = "results", style: str = "markdown", intervals: bool = False) -> str:
    """The paper's table as text, ours beside the published figures.

    Args:
        name: "main" (MARS, iLIDS-VID, LS-VID), "hard" (sports and dance), "ablation", "complexity", "cross" (trained
            here, tested there) or "open-set".
        results: folder of the result store.
        style: "markdown", "latex", "csv" or "html".
        intervals: whether to give half the 95 % bootstrap interval over identities.

    Raises:
        UsageError: no such table or style.
    """
    return formats.render(tables_of(name, results, intervals=intervals), style)


def tables_of(name: str, results: Path | str, *, intervals: bool = False) -> list[tables.Table]:
    """The tables behind a name, rebuilt from the stored results; what can't be read stands in their notes.

    Raises:
        UsageError: no such table.
    """
    if name not in tables.NAMES:
        raise UsageError(choices(name, tables.NAMES, "table"))
    if name == "complexity":
        return complexity.table(Path(results))
    found, problems = load_results(results)
    if name == "cross":
        made = cross.build(found, intervals=intervals)
    elif name == "open-set":
        made = pairs_table.build(found)
    else:
        made = tables.build(name, found, intervals=intervals)
    words = tuple(f"Left out: {problem}" for problem in problems)
    return [dataclasses.replace(made[0], problems=words), *made[1:]]
