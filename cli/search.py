"""Who else is this? The nearest tracklets of one tracklet, by a trained model.

    reidkit search resnet50 --weights runs/sports/resnet50/seed0 demo/sports --query sports02--cam1--00001 -o found.html
    reidkit search resnet50 --weights runs/sports/resnet50/seed0 crops/ --query someone --top 20
    reidkit search resnet50 --features features.npz demo/sports --query sports02--cam1--00001    # of `reidkit embed`

The list goes to the terminal, and with `-o` to a page that shows the crops. Where the weights were tested (by `reidkit
run` or `evaluate`), it says whether each is likely the same person.
"""

import dataclasses
from pathlib import Path

import click

from ..datasets import UsageError
from ..datasets.progress import say
from .options import DATA, DEVICE, JSON, RESULTS, SET, SPLIT, WORKERS
from .terminal import print_json, show, tell

VERDICTS = {"right": "✓ right", "wrong": "✗ wrong"}


@click.command()
@click.argument("model")
@click.option("--weights", type=click.Path(path_type=Path), help="A run's folder, or a .safetensors or .pth file.")
@click.option(
    "--features",
    "stored",
    type=click.Path(path_type=Path),
    help="Instead of weights: the .npz that `reidkit embed` made of SOURCE. No tracklet is embedded again.",
)
@click.argument("source", metavar="BENCH|DATASET|FOLDER")
@click.option("--query", "wanted", required=True, metavar="TRACKLET", help="Id of the tracklet that is looked for.")
@click.option(
    "--result",
    type=click.Path(path_type=Path),
    help="Judge who is likely the same person by this result's thresholds. [default: the weights' own in --results]",
)
@RESULTS
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Entries of the list.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write the list as a page of crops, .html.")
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@SPLIT
@DEVICE
@DATA
@WORKERS
@JSON
def search(
    model, weights, stored, source, wanted, result, results, top, output, size, overrides, split, device, data, workers,
    as_json,
):  # fmt: skip
    """Rank a gallery for one tracklet: the test set of a dataset (of its training set for a training tracklet).

    As under the dataset's protocol, junk and tracklets of the query's own identity and camera are left out. In a
    FOLDER of crops nobody's identity is known, and everything but the query is ranked.
    """
    from ..datasets.files import write_atomic
    from ..leaderboard.gallery import identity_of
    from ..leaderboard.report.search import gallery_page
    from ..training.use import search as look_for

    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"'{output}' is no page's name. End it in .html.")
    found = look_for(
        model, weights, source, wanted, features=stored, result=result, results=results, top=top, size=size,
        overrides=overrides, split=split, data=data, device=device, workers=workers,
    )  # fmt: skip
    gallery, matches, recipe, measured = found.gallery, found.matches, found.recipe, found.measured
    if output is not None:
        facts = (
            ("model", model), ("weights or features", str(weights or stored)), ("gallery", source),
            ("tracklets ranked", str(len(gallery.entries))), ("metric", recipe.metric),
            ("sampling", recipe.test_sampling),
        )  # fmt: skip
        if measured:
            facts = (*facts, ("same person", measured.words))
        write_atomic(output, gallery_page(gallery, matches, model, facts))
    query = gallery.query
    if as_json:
        rows = [
            {"rank": m.rank, "tracklet": m.tracklet.id, "identity": identity_of(m.tracklet),
             "camera": gallery.camera(m.tracklet), "distance": m.distance, "verdict": m.verdict,
             "same_person": measured and dataclasses.asdict(measured.judge(m.distance))}
            for m in matches
        ]  # fmt: skip
        about = {"query": query.id, "identity": identity_of(query), "model": model, "gallery": len(gallery.entries)}
        about |= {"metric": recipe.metric, "sampling": recipe.test_sampling, "output": str(output) if output else None}
        print_json(about | {"measured": measured and dataclasses.asdict(measured), "top": rows})
        return
    about = "" if identity_of(query) is None else f", identity {query.identity}, {gallery.camera(query)}"
    rows = []
    for m in matches:
        identity = identity_of(m.tracklet)
        who = "distractor" if m.tracklet.kind == "distractor" else "" if identity is None else str(identity)
        found = (m.tracklet.id, who, gallery.camera(m.tracklet), f"{m.distance:.4f}", VERDICTS.get(m.verdict, ""))
        rows.append((str(m.rank), *found, *([measured.judge(m.distance).words] if measured else [])))
    columns = ("rank", "tracklet", "identity", "camera", "distance", "", *(["same person?"] if measured else []))
    show(columns, rows, title=f"Nearest to {query.id}{about}", right=("rank", "distance"))
    page = f" Page: {output}" if output else ""
    say(f"{len(gallery.entries)} tracklets ranked by {recipe.metric} distance.{page}")
    if measured:
        tell(measured.words)
        if gallery.dataset is None or gallery.dataset.fingerprint != measured.fingerprint:
            tell("This gallery is of other footage: the rates are guesses here.")
    elif stored:
        say("By stored features, who is likely the same person isn't said without --result.")
    else:
        say(f"No result of these weights with thresholds in {results}/: who is likely the same person isn't said.")
