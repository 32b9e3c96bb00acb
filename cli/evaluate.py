"""Use trained models: `reidkit evaluate`, `reidkit embed`.

    reidkit evaluate tfclip --weights TF-CLIP_MARS.pth --bench mars
    reidkit embed resnet50 --weights runs/mars/resnet50/seed0 demo/sports -o features.npz

The weights are the folder of a run or a file that somebody else trained.
"""

import dataclasses
import sys
from pathlib import Path

import click

from ..datasets.progress import say
from .options import DATA, DEVICE, JSON, RESULTS, SET, SPLIT, WEIGHTS, WORKERS
from .terminal import print_json, show, show_open_set


@click.command()
@click.argument("model")
@WEIGHTS
@click.option("--bench", required=True, metavar="NAME|PATH", help="A bench, or a dataset by path.")
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@SPLIT
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
    from ..training.use import evaluate as test

    tested = test(
        model, weights, bench, size=size, overrides=overrides, split=split, protocol=protocol, results=results,
        data=data, device=device, workers=workers, command="reidkit " + " ".join(sys.argv[1:]),
    )  # fmt: skip
    result, scores, opened = tested.result, tested.scores, tested.opened
    if as_json:
        about = {"trained_on": opened.trained_on} if opened.trained_on else {}
        if not opened.trained_on:
            about = {"missing": opened.missing, "unexpected": opened.unexpected}
        print_json(
            {
                "model": model,
                "stored": str(tested.path),
                "weights_sha256": result.recipe["weights_sha256"],
                "bench": tested.dataset.name,
                "protocol": scores.protocol,
                "sampling": opened.recipe.test_sampling,
                **scores.metrics,
                "queries": scores.queries,
                "skipped": scores.skipped,
                "open_set": scores.pairs and dataclasses.asdict(scores.pairs),
                "weights": str(weights),
                **about,
            }
        )
        return
    counted = str(scores.queries) + (f" ({scores.skipped} skipped)" if scores.skipped else "")
    figures = [f"{value:.1f}" for value in scores.metrics.values()]
    row = (model, tested.dataset.name, *figures, counted, scores.protocol, opened.recipe.test_sampling)
    header = ("model", "bench", *scores.metrics, "queries", "protocol", "sampling")
    show(header, [row], right=tuple(scores.metrics))
    if scores.pairs:
        show_open_set(scores.pairs)
    say(f"Stored as {result.model} in {tested.path}.")


@click.command()
@click.argument("model")
@WEIGHTS
@click.argument("source", metavar="BENCH|DATASET|FOLDER")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .npz to write.")
@click.option("--part", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@SPLIT
@DEVICE
@DATA
@WORKERS
@JSON
def embed(model, weights, source, output, part, size, overrides, split, device, data, workers, as_json):
    """Features of every tracklet, as .npz: features, ids, and for `score` pids, camids, is_query, kinds, outfits.

    A FOLDER holds a folder of crops for each tracklet, or crops that are a tracklet each; its pids are all -1.
    """
    from ..training.use import embed as extract

    features = extract(
        model,
        weights,
        source,
        part=part,
        size=size,
        overrides=overrides,
        split=split,
        data=data,
        device=device,
        workers=workers,
    )
    features.save(output)
    count, dimensions = features.values.shape
    if as_json:
        print_json({"output": str(output), "tracklets": count, "dimensions": dimensions})
    else:
        say(f"{output}: {count} tracklets, {dimensions} dimensions")
