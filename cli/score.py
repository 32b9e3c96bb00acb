"""Figures without a training: `reidkit score features.npz`, `reidkit compare A B`."""

import dataclasses
from pathlib import Path

import click

from ..datasets.progress import say
from .options import JSON, RESULTS
from .terminal import print_json, show, show_open_set, tell


@click.command()
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--protocol", required=True, help="mars, mars-matlab, mars-torchreid, ilids-vid, ls-vid, video-reid, …")
@click.option("--metric", type=click.Choice(["cosine", "euclidean"]), default="cosine", show_default=True)
@click.option("--rerank", is_flag=True, help="k-reciprocal re-ranking (Zhong et al. 2017) first.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or a torch device such as cuda.")
@JSON
def score(features: Path, protocol: str, metric: str, rerank: bool, device: str, as_json: bool) -> None:
    """Score anybody's features: an .npz with features [N, D] float, pids [N], camids [N] and is_query [N] bool.

    Every test tracklet is one row, queries too; a pid below 0 is junk, and under the protocols of MARS 0 a distractor.
    A text array kinds [N] (person, junk, distractor) says so itself; outfits [N] is what protocols of clothes ask for.
    """
    from ..leaderboard import protocols, ranking
    from ..leaderboard.features import read_features

    rule = protocols.protocol(protocol)
    file = read_features(features)
    scores = ranking.score(
        file.features, file.pids, file.camids, file.is_query, protocol, metric=metric, rerank=rerank,
        kinds=file.kinds, outfits=file.outfits, device=device, camera_pairs=False, pairs=True, top=0,
    )  # fmt: skip
    if as_json:
        record = {k: round(v, 4) for k, v in scores.metrics.items()} | {
            "queries": scores.queries,
            "skipped": scores.skipped,
            "protocol": rule.name,
            "protocol_version": rule.version,
            "metric": metric,
            "rerank": rerank,
            "open_set": scores.pairs and dataclasses.asdict(scores.pairs),
        }
        print_json(record)
        return
    title = f"{features.name}, protocol {rule.name}, {metric}" + (", re-ranked" if rerank else "")
    names = [name + (" re-ranked" if rerank else "") for name in scores.metrics]
    show(names, [[f"{value:.4f}" for value in scores.metrics.values()]], title=title, right=names)
    tell(f"{scores.queries} queries averaged, {scores.skipped} skipped for want of a match. {rule.explanation}")
    if scores.pairs:
        show_open_set(scores.pairs)
    if rule.splits > 1:
        tell(f"This is one split; a result under '{rule.name}' is the mean over {rule.splits}.")


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--bench", help="Where A and B are names of models: which bench.")
@RESULTS
@click.option("--seed", default=0, show_default=True, help="Of the resampling.")
@JSON
def compare(a: str, b: str, bench: str | None, results: Path, seed: int, as_json: bool) -> None:
    """Is A better than B? A and B are models (with variant: cgclip/no-cmr) or result files.

    A paired test on the same queries, resampled by identity. Of a model, all seeds of its newest recipe take part.
    """
    from ..leaderboard.results import load_results
    from ..leaderboard.significance import compare_results, find_results

    found, problems = load_results(results)
    for problem in problems:
        say(f"Left out: {problem}")
    first, second = (find_results(name, bench, found, results) for name in (a, b))
    comparison = compare_results(first, second, seed=seed)
    if as_json:
        print_json(comparison.as_object())
    else:
        print(comparison.text())
