"""`reidkit report -o report.html`: the results as one page."""

from pathlib import Path

import click

from ..datasets.progress import say
from .options import BLUR_FACES, JSON, RESULTS
from .terminal import print_json


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
              show_default=True, help="The page to write.")  # fmt: skip
@RESULTS
@click.option("--data", type=click.Path(path_type=Path), help="Where datasets lie, if not where the results say.")
@click.option("--crops", "queries", type=click.IntRange(0, 100), default=6, show_default=True,
              help="Queries of each bench that are shown with crops.")  # fmt: skip
@click.option("--intervals", is_flag=True, help="Give ± half the 95 % bootstrap interval over identities.")
@BLUR_FACES
@JSON
def report(
    output: Path,
    results: Path,
    data: Path | None,
    queries: int,
    intervals: bool,
    blur_faces: bool,
    as_json: bool,
) -> None:
    """One self-contained HTML page: tables, CMC curves, ranking lists, hard queries, and where each number is from.

    It needs no network and no other file: put it online as it is.
    """
    from ..datasets.files import write_atomic
    from ..leaderboard.report.data import gather
    from ..leaderboard.report.page import report_page
    from ..leaderboard.results import load_results

    found, problems = load_results(results)
    page = gather(found, problems, root=results, data=data, queries=queries, intervals=intervals, blur_faces=blur_faces)
    html = report_page(page)
    write_atomic(output, html)
    for words in page.problems:
        say(words)
    absent = {s.facts.name: s.missing for s in page.sections if s.missing}
    for name, reason in absent.items():
        say(f"No crops of {name}: {reason}")
    if not found:
        say(f"There are no results in '{results}': the page holds the published figures only.")
    if blur_faces:
        say(
            "Heads are covered by proportion, in the upper part of each crop. Of simulated people hardly one is left; "
            "of somebody who bends, dives or raises the arms it may be: look at the page."
        )
    size = len(html.encode())
    if as_json:
        record = {
            "output": str(output), "bytes": size, "results": len(found), "left_out": list(page.problems),
            "benches": page.benches, "lists": sum(len(s.blocks) for s in page.sections), "no_crops": absent,
        }  # fmt: skip
        print_json(record)
    else:
        say(f"{output}: {len(found)} results, {size / 1e6:.1f} MB.")
