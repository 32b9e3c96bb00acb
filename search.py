"""Who else is this? The nearest tracklets of one tracklet, by a trained model.

reidkit search resnet50 --weights runs/sports/resnet50/seed0 demo/sports --query sports02--cam1--00001 -o found.html
reidkit search resnet50 --weights runs/sports/resnet50/seed0 crops/ --query someone --top 20
reidkit search resnet50 --features features.npz demo/sports --query sports02--cam1--00001     # of `reidkit embed`
"""

import difflib
import json
from pathlib import Path

import click

from .datasets import ReidDataset, Tracklet, UsageError
from .datasets.progress import say
from .runs import DATA, DEVICE, JSON, SET, WORKERS, open_model, worker_count

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
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Entries of the list.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write the list as a page of crops, .html.")
@click.option("--size", help="Recipe by size for weights from elsewhere. [default: the run's own, or full]")
@SET
@DEVICE
@DATA
@WORKERS
@JSON
def search(model, weights, stored, source, wanted, top, output, size, overrides, device, data, workers, as_json):
    """Rank a gallery for one tracklet: the test set of a dataset (of its training set for a training tracklet).

    As under the dataset's protocol, junk and tracklets of the query's own identity and camera are left out. In a
    FOLDER of crops nobody's identity is known, and everything but the query is ranked.
    """
    from . import zoo
    from .training.extraction import extract_features
    from .training.parallel import pick_device

    if (weights is None) == (stored is None):
        raise UsageError("Give either --weights, to embed the gallery, or --features, where that is done already.")
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"'{output}' is no page's name. End it in .html.")
    dataset, part = _open_source(source, data)
    query, gallery = _divide(part, wanted, source, dataset)
    if stored is not None:
        recipe = zoo.recipe(model, size or "full", overrides)
        features = _stored_features(stored, (query, *gallery), source)
    else:
        chosen = pick_device(device)
        built, recipe, _ = open_model(model, weights, size, overrides, dataset, chosen)
        features = extract_features(
            built, (query, *gallery), recipe, chosen, workers=worker_count(workers), title=f"search {source}"
        )
    order, distances = nearest(features, recipe.metric, top)
    library, shots = _shots(dataset, source, query, gallery, order, distances)
    if output is not None:
        _write_page(output, library, query, shots, model, weights or stored, source, recipe, len(gallery))
    if as_json:
        rows = [
            {"rank": s.place, "tracklet": s.id, "identity": s.identity, "camera": s.camera, "distance": s.distance,
             "verdict": s.verdict}
            for s in shots
        ]  # fmt: skip
        about = {"query": query.id, "identity": _identity(query), "model": model, "gallery": len(gallery)}
        about |= {"metric": recipe.metric, "sampling": recipe.test_sampling, "output": str(output) if output else None}
        print(json.dumps(about | {"top": rows}, ensure_ascii=False, allow_nan=False))
        return
    _print_table(query, shots, library)
    say(f"{len(gallery)} tracklets ranked by {recipe.metric} distance." + (f" Page: {output}" if output else ""))


def _stored_features(path: Path, tracklets: tuple[Tracklet, ...], source: str):
    """The rows of a file of `reidkit embed` that belong to the tracklets, [N, D] in their order."""
    from .leaderboard.features import read_named_features

    features, ids = read_named_features(path)
    row_of = {str(name): row for row, name in enumerate(ids)}
    lacking = [t.id for t in tracklets if t.id not in row_of]
    if lacking:
        raise UsageError(
            f"'{path}' lacks {len(lacking)} of the {len(tracklets)} tracklets of '{source}' that this search ranks, "
            f"'{lacking[0]}' first. Make it with `reidkit embed` of this SOURCE (--part train for a training query)."
        )
    return features[[row_of[t.id] for t in tracklets]]


def nearest(features, metric: str, top: int):
    """Rows of the `top` nearest to row 0 of `features` [1 + N, D] among the others (from 0), and their distances.

    Ties keep their order. Cosine is 1 - cos, Euclidean the plain distance.
    """
    import numpy as np

    rows = np.asarray(features, np.float64)
    if metric == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        distances = 1 - (rows[1:] * rows[0]).sum(axis=1)  # a matrix product might tell equal rows apart
    else:
        distances = np.linalg.norm(rows[1:] - rows[0], axis=1)
    order = np.argsort(distances, kind="stable")[:top]
    return order.tolist(), distances[order].tolist()


def _open_source(source: str, data: Path | None) -> tuple[ReidDataset | None, tuple[Tracklet, ...]]:
    """The dataset, or None and the tracklets of a folder of crops."""
    from .datasets.benches import BENCHES, VARIANTS, load_bench
    from .datasets.folder import read_folder
    from .datasets.format import MANIFEST

    if source in BENCHES or source in VARIANTS or (Path(source) / MANIFEST).is_file():
        dataset = load_bench(source, data)
        return dataset, (*dataset.test, *dataset.train)
    return None, read_folder(source)


def _divide(
    part: tuple[Tracklet, ...], wanted: str, source: str, dataset: ReidDataset | None
) -> tuple[Tracklet, list[Tracklet]]:
    """The query, and the tracklets that are ranked for it.

    Raises:
        UsageError: no such tracklet (near names are given), or nothing to rank.
    """
    known = {t.id: t for t in part}
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.3) or list(known)[:3]
        raise UsageError(
            f"'{source}' has no tracklet '{wanted}' among its {len(known)}; for example {', '.join(near)}."
        )
    query = known[wanted]
    if dataset is None:
        gallery = [t for t in part if t.id != wanted]
    else:
        here = dataset.train if query.id in {t.id for t in dataset.train} else _test_gallery(dataset)
        gallery = [t for t in here if t.id != wanted and t.kind != "junk" and not _same_view(t, query)]
    if not gallery:
        raise UsageError(f"'{source}' has nothing to rank for '{wanted}': every other tracklet is junk or of its view.")
    return query, gallery


def _test_gallery(dataset: ReidDataset) -> tuple[Tracklet, ...]:
    """The test tracklets that the dataset's protocol ranks: the queries are among them, or not."""
    from .leaderboard.protocols import PROTOCOLS

    rule = PROTOCOLS.get(dataset.protocol)
    if rule is None or rule.queries_in_gallery:
        return dataset.test
    queries = {t.id for t in dataset.query}
    return tuple(t for t in dataset.test if t.id not in queries)


def _same_view(tracklet: Tracklet, query: Tracklet) -> bool:
    person = tracklet.kind == query.kind == "person"
    return person and tracklet.identity == query.identity and tracklet.camera == query.camera


def _identity(tracklet: Tracklet) -> int | None:
    return None if tracklet.kind == "junk" else tracklet.identity


def _shots(dataset, source, query, gallery, order, distances):
    from .leaderboard.report.crops import Library, Shot, library_of

    library = library_of(dataset) if dataset else Library(source, by_id={t.id: t for t in (query, *gallery)})
    shots = []
    for place, (row, distance) in enumerate(zip(order, distances, strict=True), start=1):
        t = gallery[row]
        both = query.kind == "person" and t.kind != "junk"
        right = t.kind == "person" and t.identity == query.identity
        verdict = "unknown" if not both else "right" if right else "wrong"
        camera = library.camera(t.camera) if dataset else ""
        shots.append(Shot(t.id, verdict, identity=_identity(t), camera=camera, place=place, distance=distance))
    return library, shots


def _print_table(query, shots, library) -> None:
    from rich.console import Console
    from rich.table import Table

    who = "" if _identity(query) is None else f", identity {query.identity}, {library.camera(query.camera)}"
    console = Console(highlight=False)
    console.print(f"Nearest to {query.id}{who}", style="bold", markup=False)
    table = Table("rank", "tracklet", "identity", "camera", "distance", "")
    for s in shots:
        identity = "" if s.identity is None else str(s.identity)
        verdict = VERDICTS.get(s.verdict, "")
        table.add_row(str(s.place), s.id, identity, s.camera, f"{s.distance:.4f}", verdict)
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)


def _write_page(output, library, query, shots, model, weights, source, recipe, ranked) -> None:
    import dataclasses

    from .datasets.files import write_atomic
    from .leaderboard.report.crops import Album, Shot
    from .leaderboard.report.data import Block, Ranking
    from .leaderboard.report.page import search_page

    album = Album()
    tracklets = library.by_id

    def drawn(shot):
        return dataclasses.replace(shot, strip=album.strip(library, tracklets[shot.id]))

    camera = library.camera(query.camera) if library.dataset else ""
    asked = drawn(Shot(query.id, "query", identity=_identity(query), camera=camera))
    ranking = Ranking(model, None, None, tuple(drawn(s) for s in shots))
    facts = (
        ("model", model), ("weights or features", str(weights)), ("gallery", str(source)),
        ("tracklets ranked", str(ranked)), ("metric", recipe.metric), ("sampling", recipe.test_sampling),
    )  # fmt: skip
    notes = [f"Crops that can't be read: {', '.join(sorted(album.broken))}."] if album.broken else []
    if album.left_out:
        notes.append("Pictures stop at 6 MB; tracklets beyond that are shown by their names.")
    page = search_page(Block(asked, "", 0.0, (ranking,)), album, f"Nearest to {query.id}", facts, notes)
    write_atomic(output, page)
