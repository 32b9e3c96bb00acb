"""`reidkit score`, `reidkit table`, `reidkit compare`."""

import json
from pathlib import Path

import click

from ..datasets import UsageError
from ..datasets.progress import say

FORMATS = ("rich", "markdown", "latex", "csv", "html")
results_option = click.option(
    "--results",
    "results_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Where results lie.",
)


@click.command()
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--protocol", required=True, help="mars, mars-matlab, mars-torchreid, ilids-vid, ls-vid, video-reid, …")
@click.option("--metric", default="cosine", show_default=True, help="cosine or euclidean.")
@click.option("--rerank", is_flag=True, help="k-reciprocal re-ranking (Zhong et al. 2017) first.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or a torch device such as cuda.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def score(features: Path, protocol: str, metric: str, rerank: bool, device: str, as_json: bool) -> None:
    """Score anybody's features: an .npz with features [N, D] float, pids [N], camids [N] and is_query [N] bool.

    Every test tracklet is one row, queries too; a pid below 0 is junk, and under the protocols of MARS 0 a distractor.
    A text array kinds [N] (person, junk, distractor) says so itself.
    """
    from . import protocols, ranking
    from .features import read_features

    rule = protocols.protocol(protocol)
    file = read_features(features)
    scores = ranking.score(
        file.features, file.pids, file.camids, file.is_query, protocol, metric=metric, rerank=rerank,
        kinds=file.kinds, device=device, camera_pairs=False, top=0,
    )  # fmt: skip
    if as_json:
        record = {k: round(v, 4) for k, v in scores.metrics.items()} | {
            "queries": scores.queries,
            "skipped": scores.skipped,
            "protocol": rule.name,
            "protocol_version": rule.version,
            "metric": metric,
            "rerank": rerank,
        }
        print(json.dumps(record))
        return
    from rich.console import Console
    from rich.table import Table

    names = [*scores.metrics]
    table = Table(title=f"{features.name}, protocol {rule.name}, {metric}" + (", re-ranked" if rerank else ""))
    for name in names:
        table.add_column(name + ("\nre-ranked" if rerank else ""), justify="right")
    table.add_row(*(f"{scores.metrics[name]:.4f}" for name in names))
    Console().print(table)
    print(f"{scores.queries} queries averaged, {scores.skipped} skipped for want of a match. {rule.explanation}")
    if rule.splits > 1:
        print(f"This is one split; a result under '{rule.name}' is the mean over {rule.splits}.")


@click.command()
@click.argument("kind", default="main")
@click.option("--format", "style", default="rich", show_default=True, help=", ".join(FORMATS) + ".")
@results_option
@click.option("--intervals", is_flag=True, help="Give ± half the 95 % bootstrap interval over identities.")
@click.option("--json", "as_json", is_flag=True, help="The tables as one JSON object.")
def table(kind: str, style: str, results_folder: Path, intervals: bool, as_json: bool) -> None:
    """The paper's tables: main (MARS, iLIDS-VID, LS-VID), hard (SportsVReID, DanceVReID), ablation, complexity."""
    from ..datasets.errors import choices
    from . import complexity, formats, tables
    from .results import load_results

    if style not in FORMATS:
        raise UsageError(choices(style, FORMATS, "format"))
    if kind not in tables.KINDS:
        raise UsageError(choices(kind, tables.KINDS, "table"))
    if kind == "complexity":
        made = complexity.table(results_folder)
    else:
        results, problems = load_results(results_folder)
        made = tables.build(kind, results, problems, intervals=intervals)
    if as_json:
        print(json.dumps(formats.as_object(made), ensure_ascii=False))
        return
    formats.show(made, style)
    if style in ("csv", "latex"):  # their notes are comments, easily missed
        for note in (problem for t in made for problem in t.problems):
            say(note)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--bench", help="Where A and B are names of models: which bench.")
@results_option
@click.option("--seed", default=0, show_default=True, help="Of the resampling.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(a: str, b: str, bench: str | None, results_folder: Path, seed: int, as_json: bool) -> None:
    """Is A better than B? A and B are models (with variant: cgclip/no-cmr) or result files.

    A paired test on the same queries, resampled by identity. Of a model, all seeds of its newest recipe take part.
    """
    from .results import load_results
    from .significance import compare_results, find_results

    results, problems = load_results(results_folder)
    for problem in problems:
        say(f"Left out: {problem}")
    first, second = (find_results(name, bench, results, results_folder) for name in (a, b))
    comparison = compare_results(first, second, seed=seed)
    if as_json:
        print(json.dumps(comparison.as_object()))
    else:
        print(comparison.text())
