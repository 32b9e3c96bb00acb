"""Models, trained and used: each function is what the command of its name does.

    result = train("resnet50", "demo/data/sports-sim", size="tiny", seed=1)
    tested = evaluate("resnet50", "runs/sports-sim/resnet50/seed1", "demo/data/dance-sim")
    features = embed("resnet50", "runs/sports-sim/resnet50/seed1", "crops/")
    found = search("resnet50", "runs/sports-sim/resnet50/seed1", "crops/", "someone")

`model` is a name of `reidkit models`, with its variant (`cgclip/no-cmr`), or the path of a file of your own;
`weights` a run's folder, or a file that somebody else trained; a bench is a name of `reidkit benches` or the path of a
dataset.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from ..datasets import ReidDataset, Tracklet, UsageError
from ..datasets.benches import BENCHES, VARIANTS, bench_splits
from ..datasets.cores import usable_cores
from ..datasets.devices import pick_device
from ..datasets.files import atomic_path
from ..datasets.progress import say
from ..leaderboard.gallery import Gallery, Match, open_gallery, open_source, rank, stored_features
from ..leaderboard.likeness import Measured, find_measured, measured_by
from ..leaderboard.ranking import Scores
from ..leaderboard.results import Result, check_names, read_result, save_result
from . import parallel, zoo
from .cell import Cell, Places, bench_name, check_testable, load_datasets
from .experiment import run_cell, score_model
from .extraction import extract_features
from .parallel import Parallel
from .recipe import Recipe
from .record import evaluation_title, make_evaluation, origin_of
from .run_folder import read_facts
from .trained import Opened, open_model

MOST_THREADS = 8


@dataclass(frozen=True)
class Evaluated:
    """A test of trained weights: the figures, the stored result and its file, and what the model was filled from."""

    scores: Scores
    result: Result
    path: Path
    opened: Opened
    dataset: ReidDataset


@dataclass(frozen=True)
class Features:
    """The features of tracklets, and what is known of each.

    Attributes:
        values: float32 [N, D], rows L2-normalised.
        tracklets: N.
        is_query: bool [N].
    """

    values: np.ndarray
    tracklets: tuple[Tracklet, ...]
    is_query: np.ndarray

    def save(self, path: Path | str) -> None:
        """Writes an .npz: features, pids, camids, is_query, kinds, outfits (as `reidkit score` wants them), and ids.

        Raises:
            ReidkitError: the file can't be written.
        """
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                features=self.values,
                pids=np.array([t.identity for t in self.tracklets]),
                camids=np.array([t.camera for t in self.tracklets]),
                is_query=self.is_query,
                kinds=np.array([t.kind for t in self.tracklets]),
                outfits=np.array([t.outfit for t in self.tracklets]),
                ids=np.array([t.id for t in self.tracklets]),
            )


@dataclass(frozen=True)
class Searched:
    """The nearest tracklets of a query, the gallery that was ranked, and the recipe that says by which distance.

    `measured` tells how likely a match is the same person; None where no result of these weights does.
    """

    gallery: Gallery
    matches: tuple[Match, ...]
    recipe: Recipe
    measured: Measured | None = None


def thread_count(given: int | None) -> int:
    """The number of decoding threads: as given, else one a core, 8 at the most."""
    return min(usable_cores(), MOST_THREADS) if given is None else max(given, 0)


def train(
    model: str,
    bench: str | Path,
    *,
    size: str = "full",
    seed: int = 0,
    overrides: Sequence[str] = (),
    split: int | None = None,
    results: Path | str = "results",
    runs: Path | str = "runs",
    data: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    again: bool = False,
) -> Result:
    """Trains and tests a model; a finished cell's result is read instead, a stopped one's training goes on.

    Args:
        overrides: `key=value` for the recipe.
        split: one of a bench's splits, from 0; None: all, and their mean.
        data: where benches lie; None: $REIDKIT_DATA or data/.
        workers: decoding threads; None: one a core, 8 at the most.
        again: train anew what is finished.

    Raises:
        ReidkitError: the bench is absent, the weights can't be had, training diverged, …; one sentence.
    """
    recipe = zoo.recipe(model, size, tuple(overrides)).changed(seed=seed)
    cell = Cell(zoo.module(model), zoo.title(model), size, recipe, str(bench), split)
    here = parallel.start(device)
    try:
        places = Places(Path(results), Path(runs), data)
        return run_cell(cell, places, here, again=again, workers=thread_count(workers), command="reidkit.train")
    finally:
        parallel.stop()


def evaluate(
    model: str,
    weights: Path | str,
    bench: str | Path,
    *,
    size: str | None = None,
    overrides: Sequence[str] = (),
    split: int | None = None,
    protocol: str | None = None,
    results: Path | str = "results",
    data: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    command: str = "reidkit.evaluate",
) -> Evaluated:
    """Tests a model with weights of ours or the authors' own; the result is stored as MODEL@WEIGHTS.

    Args:
        size: of the recipe, for weights from elsewhere; None: the run's own, or "full".
        split: of a bench that has several, from 0; None: the one trained on, or 0.
        protocol: another one than the bench's own, such as "mars-torchreid".
        results: folder of the result store.

    Raises:
        UsageError: no such weights or bench, weights of another model, an unknown protocol.
    """
    started = time.monotonic()
    weights = Path(weights)
    here = Parallel(pick_device(device))
    if split is None:
        split = split_of_run(str(bench), data, weights)
    dataset = load_datasets(str(bench), data, split)[split]
    check_testable(dataset, protocol)
    opened = open_model(model, weights, size, tuple(overrides), dataset, here.device)
    cell = Cell(opened.module, opened.title, opened.size, opened.recipe, str(bench), split)
    mark = opened.trained_on or weights.stem
    check_names(bench_name(cell, dataset), evaluation_title(cell.name, mark))
    scores = score_model(
        opened.model,
        dataset,
        opened.recipe,
        here,
        protocol=protocol,
        workers=thread_count(workers),
        title=f"{model} on {dataset.name}",
    )
    seconds = time.monotonic() - started
    result = make_evaluation(cell, dataset, scores, weights, mark, seconds=seconds, command=command)
    return Evaluated(scores, result, save_result(Path(results), result), opened, dataset)


def split_of_run(source: str, data: Path | None, weights: Path | None) -> int:
    """Which split of a source to test on: the one that the run was trained on; 0 where no run tells.

    The people of another split's test set may be among those that the run was trained on.
    """
    if source not in BENCHES and source not in VARIANTS:
        return 0
    count = bench_splits(source, data)
    facts = read_facts(weights) if count > 1 and weights is not None else None
    if facts is not None:
        for split, dataset in load_datasets(source, data).items():
            if dataset.fingerprint == facts.dataset.fingerprint:
                return split
    if count > 1:
        say(f"{source}: testing split 0 of {count}; `reidkit run` tests all")
    return 0


def embed(
    model: str,
    weights: Path | str,
    source: str | Path,
    *,
    part: str = "test",
    size: str | None = None,
    overrides: Sequence[str] = (),
    split: int | None = None,
    data: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Features:
    """The features of every tracklet of a source.

    Args:
        source: a bench or dataset, or a folder that holds a folder of crops for each tracklet, or crops that are a
            tracklet each (their identity is then -1).
        part: "test" or "train" of a dataset.
        split: of a bench that has several; None: the one that the weights were trained on.

    Raises:
        UsageError: no such source or weights, or weights of another model.
    """
    weights = Path(weights)
    if split is None:
        split = split_of_run(str(source), data, weights)
    dataset, tracklets = open_source(str(source), data, split)
    if dataset is not None:
        tracklets = dataset.test if part == "test" else dataset.train
    chosen = pick_device(device)
    opened = open_model(model, weights, size, tuple(overrides), dataset, chosen)
    values = extract_features(
        opened.model, tracklets, opened.recipe, chosen, workers=thread_count(workers), title=f"embed {source}"
    )
    queries = {t.id for t in dataset.query} if dataset is not None and part == "test" else set()
    return Features(values, tuple(tracklets), np.array([t.id in queries for t in tracklets]))


def search(
    model: str,
    weights: Path | str | None,
    source: str | Path,
    tracklet: str,
    *,
    features: Path | str | None = None,
    result: Path | str | None = None,
    results: Path | str = "results",
    top: int = 10,
    size: str | None = None,
    overrides: Sequence[str] = (),
    split: int | None = None,
    data: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Searched:
    """Who else is this? The `top` nearest to a tracklet of a source.

    Args:
        weights, features: weights to embed the gallery with, or the .npz that `reidkit embed` made of the source.
        result: a stored result, whose thresholds say whether a match is likely the same person.
        results: the store in which one of these weights is looked for where none is given.
        split: of a bench that has several; None: the one that the weights were trained on.

    Raises:
        UsageError: neither or both of weights and features, no such source, tracklet or file, nothing to rank, or a
            result that doesn't fit.
    """
    if (weights is None) == (features is None):
        raise UsageError("Give either --weights, to embed the gallery, or --features, where that is done already.")
    if split is None:
        split = split_of_run(str(source), data, None if weights is None else Path(weights))
    gallery = open_gallery(str(source), tracklet, data, split)
    origin, names = None, ()
    if weights is None:
        recipe = zoo.recipe(model, size or "full", tuple(overrides))
        values = stored_features(Path(cast(str, features)), gallery)
    else:
        chosen = pick_device(device)
        opened = open_model(model, Path(weights), size, tuple(overrides), gallery.dataset, chosen)
        recipe = opened.recipe
        origin = origin_of(Path(weights))
        mark = opened.trained_on or Path(weights).stem
        names = (opened.title, evaluation_title(opened.title, mark))
        values = extract_features(
            opened.model, gallery.tracklets, recipe, chosen, workers=thread_count(workers), title=f"search {source}"
        )
    measured = None
    if result is not None:
        sha256 = origin.sha256 if origin else ""
        measured = measured_by(read_result(result), Path(result), recipe.metric, sha256, split)
    elif origin is not None:
        fingerprint = gallery.dataset.fingerprint if gallery.dataset else ""
        measured = find_measured(Path(results), names, origin.sha256, recipe.metric, recipe.test_sampling, fingerprint)
    return Searched(gallery, rank(gallery, values, recipe.metric, top), recipe, measured)
