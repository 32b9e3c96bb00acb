"""`reidkit table [main|hard|ablation|complexity|cross|open-set]`: the paper's tables from stored results."""

from pathlib import Path

import click

from ..datasets.progress import say
from .options import RESULTS
from .terminal import print_json, show_results

FORMATS = ("rich", "markdown", "latex", "csv", "html")


@click.command()
@click.argument("name", default="main")
@click.option("--format", "style", type=click.Choice(FORMATS), default="rich", show_default=True)
@RESULTS
@click.option("--intervals", is_flag=True, help="Give ± half the 95 % bootstrap interval over identities.")
@click.option("--json", "as_json", is_flag=True, help="The tables as one JSON object.")
def table(name: str, style: str, results: Path, intervals: bool, as_json: bool) -> None:
    """The paper's tables: main (MARS, iLIDS-VID, LS-VID), hard (SportsVReID, DanceVReID), ablation, complexity.

    And cross, where rows are what a model was trained on and columns what it was tested on (`reidkit evaluate` gives
    such results), and open-set: pairs of one person found (TPR) at a bounded rate of wrong ones (FPR).
    """
    from ..leaderboard import formats
    from ..leaderboard.use import tables_of

    made = tables_of(name, results, intervals=intervals)
    if as_json:
        print_json(formats.as_object(made))
        return
    if style == "rich":
        show_results(made)
    else:
        print(formats.render(made, style), end="")
    if style in ("csv", "latex"):  # their notes are comments, easily missed
        for note in (problem for t in made for problem in t.problems):
            say(note)
