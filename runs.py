"""Train, test and use models.

reidkit run cgclip,resnet50 --bench mars,demo/sports --seeds 0,1,2
reidkit evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars
reidkit embed resnet50 --weights runs/mars/resnet50/seed0 demo/sports -o features.npz
reidkit models
"""

import dataclasses
import json
import sys
from pathlib import Path

import click

from .datasets import ReidkitError, UsageError
from .datasets.progress import say

SIZE = click.option("--size", default="full", show_default=True, help="Recipe by size: full or tiny.")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe key; repeatable.")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
DATA = click.option("--data", type=click.Path(path_type=Path), help="Benches' folder. [default: $REIDKIT_DATA or data]")
WORKERS = click.option("--workers", type=int, help="Decoding threads. [default: one a core, 8 at most]")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
WEIGHTS = click.option(
    "--weights", required=True, type=click.Path(path_type=Path), help="A run's folder, or a .safetensors or .pth file."
)


def _workers(given: int | None) -> int:
    import os

    return min(len(os.sched_getaffinity(0)), 8) if given is None else max(given, 0)


def _print_json(value: object) -> None:
    print(json.dumps(value, allow_nan=False))


@click.command()
@click.argument("models", metavar="MODEL[,MODEL…]|all")
@click.option("--bench", "benches", required=True, metavar="NAME[,…]|all|PATH", help="Benches, or datasets by path.")
@SIZE
@click.option("--seeds", default="0", show_default=True, help="One run each: 0,1,2")
@SET
@DEVICE
@click.option("--from-scratch", is_flag=True, help="Train without pretrained weights.")
@click.option("--results", type=click.Path(path_type=Path), default="results", show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Checkpoints, logs.")
@DATA
@WORKERS
@click.option("--again", is_flag=True, help="Train anew what is finished already.")
@JSON
def run(models, benches, size, seeds, overrides, device, from_scratch, results, runs, data, workers, again, as_json):  # noqa: ANN001, ANN201
    """Train and test MODELs on benches; finished cells are skipped, stopped ones go on.

    `torchrun --nproc_per_node=4 -m reidkit run …` trains on four GPUs.
    """
    from . import zoo
    from .training import parallel
    from .training.experiment import Cell, Places

    if from_scratch and any(o.startswith("pretrained=") for o in overrides):
        raise UsageError("--from-scratch and --set pretrained=… contradict each other; leave one out.")
    recipes = {name: zoo.recipe(name, size, overrides) for name in _split(models, list(zoo.MODULES))}
    if from_scratch:
        recipes = {name: dataclasses.replace(r, pretrained="") for name, r in recipes.items()}
    present, absent = _benches(benches, data)
    cells = [
        Cell(zoo.module(name), name, size, dataclasses.replace(recipe, seed=seed), bench)
        for bench in present
        for name, recipe in recipes.items()
        for seed in _seeds(seeds)
    ]
    here = parallel.start(device)
    try:
        done, failed = _run_cells(cells, Places(results, runs, data), here, again=again, workers=_workers(workers))
    finally:
        parallel.stop()
    if not here.first:
        return
    if as_json:
        _print_json(
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
        say(f"Results lie in {results}/, weights and logs in {runs}/. `reidkit table` sets them beside the published.")
    for name, how in absent.items():
        say(f"Not here: {name}. {how}")
    for cell, error in failed:
        say(f"Failed: {cell.title}: {error}")
    if failed:
        sys.exit(1)


def _run_cells(cells, places, here, *, again, workers):  # noqa: ANN001, ANN202
    from .training.experiment import run_cell

    command = "reidkit " + " ".join(sys.argv[1:])
    done, failed = [], []
    for cell in cells:
        try:
            done.append(run_cell(cell, places, here, again=again, workers=workers, command=command))
        except Exception as error:
            # one cell, or processes that wait for each other: nothing to go on with
            if len(cells) == 1 or here.world > 1:
                raise
            known = isinstance(error, ReidkitError)
            failed.append((cell, str(error) if known else f"unexpected {type(error).__name__}: {error}"))
            say(f"{cell.title}: failed, going on with the next")
    return done, failed


def _split(names: str, known: list[str]) -> list[str]:
    listed = [n.strip() for n in names.split(",") if n.strip()]
    if listed == ["all"]:
        return known
    if not listed:
        raise UsageError(f"'{names}' names nothing. Known: {', '.join(known)}, or all.")
    return list(dict.fromkeys(listed))


def _seeds(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"'{text}' is no list of seeds. Write whole numbers with commas, for example 0,1,2.") from None


def _benches(text: str, data: Path | None) -> tuple[list[str], dict[str, str]]:
    """The benches to run, and with `all` the absent ones with what to do.

    Raises:
        ReidkitError: `all`, and none is here.
    """
    from .datasets import benches

    listed = _split(text, list(benches.BENCHES))
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


def _summary(result) -> dict:  # noqa: ANN001
    return {
        "model": result.model,
        "size": result.size,
        "bench": result.bench,
        "seed": result.seed,
        "protocol": result.protocol,
        "metrics": result.metrics,
        "queries": result.queries,
        "skipped": result.skipped,
        "seconds": result.seconds,
    }


METRICS = ("mAP", "R1", "R5", "R10", "R20", "mINP")


def _print_table(found: list) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "size", "bench", "seed", *METRICS, "queries", "protocol")
    for result in found:
        figures = [f"{result.metrics[m]:.1f}" if m in result.metrics else "" for m in METRICS]
        counted = str(result.queries) + (f" ({result.skipped} skipped)" if result.skipped else "")
        table.add_row(result.model, result.size, result.bench, str(result.seed), *figures, counted, result.protocol)
    Console(highlight=False).print(table)
