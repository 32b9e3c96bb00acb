"""Use trained models: `reidkit evaluate`, `reidkit embed`.

reidkit evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars
reidkit embed resnet50 --weights runs/mars/resnet50/seed0 demo/sports -o features.npz
"""

import sys
import time
from pathlib import Path

import click

from ..datasets.progress import say
from .options import DATA, DEVICE, JSON, RESULTS, SET, WEIGHTS, WORKERS, worker_count
from .terminal import print_json, show


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
    from ..datasets.devices import pick_device
    from ..leaderboard.results import save_result
    from ..training.cell import Cell, check_testable
    from ..training.experiment import score_model
    from ..training.parallel import Parallel
    from ..training.record import make_evaluation
    from ..training.trained import open_model

    started = time.monotonic()
    here = Parallel(pick_device(device))
    dataset = _dataset_of_run(bench, data, split, weights)
    check_testable(dataset, protocol)
    opened = open_model(model, weights, size, overrides, dataset, here.device)
    recipe = opened.recipe
    scores = score_model(
        opened.model,
        dataset,
        recipe,
        here,
        protocol=protocol,
        workers=worker_count(workers),
        title=f"{model} on {dataset.name}",
    )
    figures = scores.metrics
    command = "reidkit " + " ".join(sys.argv[1:])
    cell = Cell(opened.module, opened.title, opened.size, recipe, bench)
    mark = opened.trained_on or weights.stem
    about = {"trained_on": opened.trained_on}
    if not opened.trained_on:
        about = {"missing": opened.missing, "unexpected": opened.unexpected}
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
                "weights": str(weights),
                **about,
            }
        )
        return
    counted = str(scores.queries) + (f" ({scores.skipped} skipped)" if scores.skipped else "")
    values = [f"{value:.1f}" for value in figures.values()]
    row = (model, dataset.name, *values, counted, protocol or dataset.protocol, recipe.test_sampling)
    show(("model", "bench", *figures, "queries", "protocol", "sampling"), [row], right=figures)
    say(f"Stored as {result.model} in {path}.")


def _dataset_of_run(bench, data, split, weights):
    """The bench's split that was asked for, else the one that the run was trained on, else the first."""
    from ..datasets.benches import bench_splits
    from ..training.cell import load_datasets
    from ..training.run_folder import is_run, read_facts

    count = bench_splits(bench, data)
    if split is None and count > 1 and is_run(weights):
        trained_on = read_facts(weights).dataset.fingerprint
        for dataset in load_datasets(bench, data).values():
            if dataset.fingerprint == trained_on:
                return dataset
    if split is None and count > 1:
        say(f"{bench}: testing split 0 of {count}; --split chooses another, and `reidkit run` tests all")
    return load_datasets(bench, data, split or 0)[split or 0]


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

    from ..datasets.benches import BENCHES, load_bench, present
    from ..datasets.devices import pick_device
    from ..datasets.files import atomic_path
    from ..datasets.folder import read_folder
    from ..training.extraction import extract_features
    from ..training.trained import open_model

    dataset = None
    if source in BENCHES or present(source):
        dataset = load_bench(source, data)
        tracklets = dataset.test if part == "test" else dataset.train
    else:
        tracklets = read_folder(source)
    chosen = pick_device(device)
    opened = open_model(model, weights, size, overrides, dataset, chosen)
    features = extract_features(
        opened.model, tracklets, opened.recipe, chosen, workers=worker_count(workers), title=f"embed {source}"
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
