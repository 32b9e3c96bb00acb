"""Train and test models: `reidkit run`.

    reidkit run cgclip,resnet50 --bench mars,demo/sports --seeds 0,1,2

Every model is trained on every bench with every seed. The same command skips what is finished and goes on with what
was stopped.
"""

import dataclasses
import sys
from pathlib import Path

import click

from ..datasets import ReidkitError, UsageError
from ..datasets.progress import say
from .options import DATA, DEVICE, JSON, RESULTS, SET, SIZE, WORKERS, names_in
from .terminal import print_json, show, tell


@click.command()
@click.argument("models", metavar="MODEL[,MODEL…]|all")
@click.option("--bench", "benches", required=True, metavar="NAME[,…]|all|PATH", help="Benches, or datasets by path.")
@SIZE
@click.option("--split", type=int, help="One of iLIDS-VID's ten splits, from 0. [default: all, and their mean]")
@click.option("--seeds", default="0", show_default=True, help="One run each: 0,1,2")
@SET
@DEVICE
@click.option(
    "--validate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Hold out this share of the training identities, and keep the epoch that is best on them. [default: the last]",
)
@click.option(
    "--validate-every", type=click.IntRange(1), metavar="EPOCHS", help="How often. [default: ten times in all]"
)
@click.option("--from-scratch", is_flag=True, help="Train without pretrained weights.")
@RESULTS
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Checkpoints, logs.")
@DATA
@WORKERS
@click.option("--again", is_flag=True, help="Train anew what is finished already.")
@JSON
def run(
    models, benches, size, split, seeds, overrides, device, validate, validate_every, from_scratch, results, runs, data,
    workers, again, as_json,
):  # fmt: skip
    """Train and test MODELs on benches; finished cells are skipped, stopped ones go on.

    `torchrun --nproc_per_node=4 -m reidkit run …` trains on four GPUs.
    """
    from ..training import parallel, zoo
    from ..training.cell import Cell, Places
    from ..training.experiment import run_cells
    from ..training.use import thread_count

    if from_scratch and any(o.startswith("pretrained=") for o in overrides):
        raise UsageError("--from-scratch and --set pretrained=… contradict each other; leave one out.")
    if validate_every and not validate:
        raise UsageError("--validate-every says how often --validate SHARE is asked; give both.")
    given = {"validate": validate, "validate_every": validate_every}
    overrides = (*overrides, *(f"{key}={value}" for key, value in given.items() if value is not None))
    recipes = {name: zoo.recipe(name, size, overrides) for name in names_in(models, list(zoo.MODULES))}
    if from_scratch:
        recipes = {name: dataclasses.replace(r, pretrained="") for name, r in recipes.items()}
    present, absent = _benches(benches, data)
    cells = [
        Cell(zoo.module(name), zoo.title(name), size, dataclasses.replace(recipe, seed=seed), bench, split)
        for bench in present
        for name, recipe in recipes.items()
        for seed in _seeds(seeds)
    ]
    here = parallel.start(device)
    try:
        places, command = Places(results, runs, data), "reidkit " + " ".join(sys.argv[1:])
        done, failed = run_cells(cells, places, here, again=again, workers=thread_count(workers), command=command)
    finally:
        parallel.stop()
    if not here.first:
        return
    if as_json:
        print_json(
            {
                "results": [_summary(r) for r in done],
                "failed": [{"cell": c.title, "error": e} for c, e in failed],
                "absent": absent,
                "results_dir": str(results),
                "runs_dir": str(runs),
            }
        )
    elif done:
        _print_table(done)
        for result in done:
            _print_chosen(result)
        say(f"Results lie in {results}/, weights and logs in {runs}/. `reidkit table` sets them beside the published.")
    for name, how in absent.items():
        say(f"Not here: {name}. {how}")
    for cell, error in failed:
        say(f"Failed: {cell.title}: {error}")
    if failed:
        sys.exit(1)


def _seeds(text: str) -> list[int]:
    """`0,1,2` as a list without repetitions; each is a recipe's seed, which checks its range."""
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"'{text}' is no list of seeds. Write whole numbers with commas, for example 0,1,2.") from None


def _benches(text: str, data: Path | None) -> tuple[list[str], dict[str, str]]:
    """The benches to run, and with `all` the absent ones with what to do.

    Raises:
        ReidkitError: `all`, and none is here.
    """
    from ..datasets import benches

    listed = names_in(text, list(benches.BENCHES))
    if text.strip() != "all":
        return listed, {}
    root = data or benches.data_root()
    present = [name for name in listed if benches.present(name, root)]
    absent = {name: benches.how_to_get(name) for name in listed if name not in present}
    if not present:
        raise ReidkitError(
            f"No bench is present under '{root}'. Set $REIDKIT_DATA or --data, or give --bench the path of a dataset; "
            "`reidkit benches` says how to get each."
        )
    return present, absent


def _summary(result) -> dict:
    return {
        "model": result.model,
        "size": result.size,
        "bench": result.bench,
        "seed": result.seed,
        "protocol": result.protocol,
        "metrics": result.metrics,
        "queries": result.queries,
        "skipped": result.skipped,
        "open_set": [dataclasses.asdict(row) for row in result.open_set],
        "weights": [dataclasses.asdict(origin) for origin in result.weights],
        "seconds": result.seconds,
    }


METRICS = ("mAP", "R1", "R5", "R10", "R20", "mINP")


def _print_table(found: list) -> None:
    from ..leaderboard.openset import FALSE_POSITIVE_RATES
    from ..leaderboard.pairs_table import rate_name, rate_of

    rates = [f"TPR@{rate_name(rate)}" for rate in FALSE_POSITIVE_RATES]
    rows = []
    for result in found:
        figures = [f"{result.metrics[m]:.1f}" if m in result.metrics else "" for m in METRICS]
        told = [rate_of(result, rate) for rate in FALSE_POSITIVE_RATES]
        figures += ["" if tpr is None else f"{tpr:.1f}" for tpr in told]
        counted = str(result.queries) + (f" ({result.skipped} skipped)" if result.skipped else "")
        rows.append((result.model, result.size, result.bench, str(result.seed), *figures, counted, result.protocol))
    figures = (*METRICS, *rates)
    show(("model", "size", "bench", "seed", *figures, "queries", "protocol"), rows, right=figures)


def _print_chosen(result) -> None:
    """Which epoch was kept, and by whom, where identities were held out."""
    several = len(result.weights) > 1
    for origin in result.weights:
        chosen = origin.chosen
        if chosen is None:
            continue
        figures = ", ".join(f"{name} {value:.1f}" for name, value in chosen.metrics.items())
        where = f"{result.bench}, split {origin.split}" if several else result.bench
        who = "training identities that the dataset names" if chosen.drawn_by == "dataset" else "training identities"
        tell(
            f"{result.model} on {where}, seed {result.seed}: epoch {chosen.epoch} of {chosen.of}, the best on "
            f"{len(chosen.identities)} {who}, {100 * chosen.share:.0f} % of all, that were held out ({figures})."
        )
