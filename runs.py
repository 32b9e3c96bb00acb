"""Train, test and use models.

reidkit run cgclip,resnet50 --bench mars,demo/sports --seeds 0,1,2
reidkit evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars
reidkit embed resnet50 --weights runs/mars/resnet50/seed0 demo/sports -o features.npz
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import click

from .datasets import ReidkitError, UsageError
from .datasets.progress import say

SIZE = click.option("--size", default="full", show_default=True, help="Recipe by size: full or tiny.")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe key; repeatable.")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
DATA = click.option("--data", type=click.Path(path_type=Path), help="Benches' folder. [default: $REIDKIT_DATA or data]")
RESULTS = click.option("--results", type=click.Path(path_type=Path), default="results", show_default=True)
WORKERS = click.option("--workers", type=int, help="Decoding threads. [default: one a core, 8 at most]")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
WEIGHTS = click.option(
    "--weights", required=True, type=click.Path(path_type=Path), help="A run's folder, or a .safetensors or .pth file."
)


def worker_count(given: int | None) -> int:
    import os

    return min(len(os.sched_getaffinity(0)), 8) if given is None else max(given, 0)


def print_json(value: object) -> None:
    print(json.dumps(value, allow_nan=False))


def show(table) -> None:
    """On stdout; where that is no terminal, wide enough for every column."""
    from rich.console import Console

    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)


@click.command()
@click.argument("models", metavar="MODEL[,MODEL…]|all")
@click.option("--bench", "benches", required=True, metavar="NAME[,…]|all|PATH", help="Benches, or datasets by path.")
@SIZE
@click.option("--split", type=int, help="One of iLIDS-VID's ten splits, from 0. [default: all, and their mean]")
@click.option("--seeds", default="0", show_default=True, help="One run each: 0,1,2")
@SET
@DEVICE
@click.option("--from-scratch", is_flag=True, help="Train without pretrained weights.")
@RESULTS
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Checkpoints, logs.")
@DATA
@WORKERS
@click.option("--again", is_flag=True, help="Train anew what is finished already.")
@JSON
def run(
    models, benches, size, split, seeds, overrides, device, from_scratch, results, runs, data, workers, again, as_json
):
    """Train and test MODELs on benches; finished cells are skipped, stopped ones go on.

    `torchrun --nproc_per_node=4 -m reidkit run …` trains on four GPUs.
    """
    from . import zoo
    from .training import parallel
    from .training.experiment import Cell, Places

    if from_scratch and any(o.startswith("pretrained=") for o in overrides):
        raise UsageError("--from-scratch and --set pretrained=… contradict each other; leave one out.")
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
        done, failed = _run_cells(cells, Places(results, runs, data), here, again=again, workers=worker_count(workers))
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
        say(f"Results lie in {results}/, weights and logs in {runs}/. `reidkit table` sets them beside the published.")
    for name, how in absent.items():
        say(f"Not here: {name}. {how}")
    for cell, error in failed:
        say(f"Failed: {cell.title}: {error}")
    if failed:
        sys.exit(1)


def _run_cells(cells, places, here, *, again, workers):
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


def names_in(names: str, known: list[str]) -> list[str]:
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
        "seconds": result.seconds,
    }


@click.command()
@click.argument("model")
@WEIGHTS
@click.option("--bench", required=True, metavar="NAME|PATH", help="A bench, or a dataset by path.")
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@click.option("--split", type=int, help="Of iLIDS-VID's ten, from 0. [default: the one trained on, or 0]")
@click.option("--protocol", help="Another protocol than the bench's own, e.g. mars-torchreid.")
@DEVICE
@RESULTS
@DATA
@WORKERS
@JSON
def evaluate(model, weights, bench, size, overrides, split, protocol, device, results, data, workers, as_json):
    """Test MODEL with WEIGHTS: a folder that `run` wrote, or the authors' released file.

    The result is stored as MODEL@WEIGHTS, so that tables tell it from what `run` trained.
    """
    from . import zoo
    from .leaderboard.results import save_result
    from .training.experiment import Cell, make_evaluation, score_model
    from .training.parallel import Parallel, pick_device

    started = time.monotonic()
    here = Parallel(pick_device(device))
    dataset = _dataset_of_run(bench, data, split, weights)
    built, recipe, about = open_model(model, weights, size, overrides, dataset, here.device)
    scores = score_model(
        built,
        dataset,
        recipe,
        here,
        protocol=protocol,
        workers=worker_count(workers),
        title=f"{model} on {dataset.name}",
    )
    figures = scores.metrics
    command = "reidkit " + " ".join(sys.argv[1:])
    cell = Cell(zoo.module(model), about.pop("title"), about.pop("size"), recipe, bench)
    mark = about.get("trained_on", weights.stem)
    seconds = time.monotonic() - started
    result = make_evaluation(cell, dataset, scores, weights, mark, seconds=seconds, command=command)
    path = save_result(results, result)
    if as_json:
        print_json(
            {
                "model": model,
                "stored": str(path),
                "weights_sha256": result.recipe["weights_sha256"],
                "bench": dataset.name,
                "protocol": protocol or dataset.protocol,
                "sampling": recipe.test_sampling,
                **figures,
                "queries": scores.queries,
                "skipped": scores.skipped,
                **about,
            }
        )
        return
    from rich.table import Table

    table = Table("model", "bench", *figures, "queries", "protocol", "sampling")
    counted = str(scores.queries) + (f" ({scores.skipped} skipped)" if scores.skipped else "")
    row = [f"{value:.1f}" for value in figures.values()]
    table.add_row(model, dataset.name, *row, counted, protocol or dataset.protocol, recipe.test_sampling)
    show(table)
    say(f"Stored as {result.model} in {path}.")


def _dataset_of_run(bench, data, split, weights):
    """The bench's split that was asked for, else the one that the run was trained on, else the first."""
    from .datasets.benches import bench_splits
    from .training.experiment import load_datasets
    from .training.trained import is_run, read_facts

    count = bench_splits(bench, data)
    if split is None and count > 1 and is_run(weights):
        trained_on = read_facts(weights)["dataset"]["fingerprint"]
        for dataset in load_datasets(bench, data).values():
            if dataset.fingerprint == trained_on:
                return dataset
    if split is None and count > 1:
        say(f"{bench}: testing split 0 of {count}; --split chooses another, and `reidkit run` tests all")
    return load_datasets(bench, data, split or 0)[split or 0]


def open_model(model, weights, size, overrides, dataset, device):
    """The model in test mode, its recipe, and what to report about the weights."""
    from . import zoo
    from .training.recipe import override
    from .training.trained import is_run, knows_cameras, open_foreign, open_run

    module = zoo.module(model)
    if not weights.exists():
        raise UsageError(f"There are no weights at '{weights}'. Give a run's folder, or a .safetensors or .pth file.")
    if is_run(weights):
        trained = open_run(module, weights, device)
        about = {"weights": str(weights), "trained_on": trained.facts["dataset"]["name"]}
        about |= {"title": trained.facts["model"], "size": trained.facts["size"]}
        if trained.facts["model"].partition("/")[0] != model.partition("/")[0]:
            raise UsageError(
                f"'{weights}' is a run of {trained.facts['model']}. Name that model, or give other weights."
            )
        cameras = dataset.num_cameras if dataset else 0
        if cameras > trained.facts["cameras"] and knows_cameras(module, trained.recipe):
            raise UsageError(
                f"'{weights}' was trained for {trained.facts['cameras']} cameras and '{dataset.name}' has {cameras}. "
                "Give weights trained on as many cameras."
            )
        return trained.model, override(trained.recipe, overrides), about
    if weights.is_dir():
        raise UsageError(
            f"'{weights}' is no folder that `reidkit run` wrote. Give one, or a .safetensors or .pth file."
        )
    recipe = zoo.recipe(model, size or "full", overrides)
    classes, cameras = (len(dataset.identities), dataset.num_cameras) if dataset else (1, 1)
    built, report = open_foreign(module, recipe, weights, classes, cameras, device)
    for title, names in (("the model has and the file lacks", report.missing), ("the model lacks", report.unexpected)):
        if names:
            say(f"{weights.name}: {len(names)} names that {title}: {', '.join(names)}")
    about = {"weights": str(weights), "missing": report.missing, "unexpected": report.unexpected}
    return built, recipe, about | {"title": zoo.title(model), "size": size or "full"}


@click.command()
@click.argument("model")
@WEIGHTS
@click.argument("source", metavar="BENCH|DATASET|FOLDER")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .npz to write.")
@click.option("--part", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@DEVICE
@DATA
@WORKERS
@JSON
def embed(model, weights, source, output, part, size, overrides, device, data, workers, as_json):
    """Features of every tracklet, as .npz: features, pids, camids, is_query, kinds (as `score` wants them), and ids.

    A FOLDER holds a folder of crops for each tracklet, or crops that are a tracklet each; its pids are all -1.
    """
    import numpy as np

    from .datasets.benches import BENCHES, load_bench
    from .datasets.files import atomic_path
    from .datasets.folder import read_folder
    from .datasets.format import MANIFEST
    from .training.extraction import extract_features
    from .training.parallel import pick_device

    dataset = None
    if source in BENCHES or (Path(source) / MANIFEST).is_file():
        dataset = load_bench(source, data)
        tracklets = dataset.test if part == "test" else dataset.train
    else:
        tracklets = read_folder(source)
    chosen = pick_device(device)
    built, recipe, _ = open_model(model, weights, size, overrides, dataset, chosen)
    features = extract_features(
        built, tracklets, recipe, chosen, workers=worker_count(workers), title=f"embed {source}"
    )
    queries = {t.id for t in dataset.query} if dataset and part == "test" else set()
    with atomic_path(output) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            features=features,
            pids=np.array([t.identity for t in tracklets]),
            camids=np.array([t.camera for t in tracklets]),
            is_query=np.array([t.id in queries for t in tracklets]),
            kinds=np.array([t.kind for t in tracklets]),
            ids=np.array([t.id for t in tracklets]),
        )
    if as_json:
        print_json({"output": str(output), "tracklets": len(tracklets), "dimensions": features.shape[1]})
    else:
        say(f"{output}: {features.shape[0]} tracklets, {features.shape[1]} dimensions")


METRICS = ("mAP", "R1", "R5", "R10", "R20", "mINP")


def _print_table(found: list) -> None:
    from rich.table import Table

    table = Table("model", "size", "bench", "seed", *METRICS, "queries", "protocol")
    for result in found:
        figures = [f"{result.metrics[m]:.1f}" if m in result.metrics else "" for m in METRICS]
        counted = str(result.queries) + (f" ({result.skipped} skipped)" if result.skipped else "")
        table.add_row(result.model, result.size, result.bench, str(result.seed), *figures, counted, result.protocol)
    show(table)
