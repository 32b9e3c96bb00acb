"""From cells to results: each is trained, tested and stored.

    done, failed = run_cells(cells, Places(), start("auto"))
    result = run_cell(cells[0], Places(), start("auto"))

A cell that was stopped goes on at its last epoch; one that has its result is not run again.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

from ..datasets import ReidDataset, ReidkitError
from ..datasets.files import sha256_file
from ..datasets.locks import exclusive
from ..datasets.progress import say
from ..leaderboard import ranking
from ..leaderboard.origin import WeightsFile
from ..leaderboard.results import Result, open_store, save_result
from . import checkpoint, loop, run_folder, validation
from .arithmetic import arithmetic, forget_peak_memory
from .cell import Cell, Places, check_cell, check_testable, load_datasets, run_facts
from .cell import run_folder as place_of
from .extraction import extract_features, frame_extractor
from .model import build, prepare
from .parallel import Parallel
from .recipe import Recipe
from .record import finished, make_result, origin_of
from .user_model import user_faults


def run_cells(
    cells: Sequence[Cell], places: Places, here: Parallel, *, again: bool = False, workers: int = 0, command: str = ""
) -> tuple[list[Result], list[tuple[Cell, str]]]:
    """The results of the cells, in order, and the cells that failed with the reason; the others go on.

    Raises:
        ReidkitError: what failed was the only cell, or several processes wait for each other, so that none can go on.
    """
    done, failed = [], []
    for cell in cells:
        try:
            done.append(run_cell(cell, places, here, again=again, workers=workers, command=command))
        except Exception as error:
            if len(cells) == 1 or here.world > 1:
                raise
            known = isinstance(error, ReidkitError)
            failed.append((cell, str(error) if known else f"unexpected {type(error).__name__}: {error}"))
            say(f"{cell.title}: failed, going on with the next")
    return done, failed


@user_faults()
def run_cell(
    cell: Cell, places: Places, here: Parallel, *, again: bool = False, workers: int = 0, command: str = ""
) -> Result:
    """Builds, prepares, trains, extracts, scores, and writes the result; a finished cell's result is read instead.

    Args:
        again: train anew what is finished.
        workers: decoding threads; 0 decodes in the caller's thread.
        command: what the result says that it was made by.

    Raises:
        ReidkitError: the bench is absent or can't be tested on, the weights can't be had, training diverged, the user's
            model file is at fault, …; one sentence.
    """
    by_split = load_datasets(cell.bench, places.data, cell.split)
    datasets = list(by_split.values())
    check_cell(cell, datasets)
    if not again and (found := finished(cell, datasets, open_store(places.results))):
        return found
    scores, origins, seconds = [], [], 0.0
    for split, dataset in by_split.items():
        several = len(datasets) > 1 or cell.split is not None
        title = cell.title + (f", split {split}" if several else "")
        folder = place_of(cell, dataset, places.runs, split if several else None)
        model = train_cell(cell, dataset, folder, here, again=again, workers=workers, title=title)
        seconds += sum(line["seconds"] for line in loop.read_log(folder / run_folder.LOG))
        started = time.monotonic()
        scores.append(score_model(model, dataset, cell.recipe, here, workers=workers, title=f"{title}: test"))
        seconds += time.monotonic() - started
        origins.append(origin_of(folder, len(origins)))
    result = make_result(cell, datasets, scores, origins, seconds=seconds, command=command)
    if here.first:
        save_result(places.results, result)
    here.barrier()
    return result


def train_cell(
    cell: Cell, dataset: ReidDataset, folder: Path, here: Parallel, *, again: bool, workers: int, title: str
) -> nn.Module:
    """The trained model on the device. A finished folder's weights are loaded, an unfinished one's training goes on."""
    recipe, cameras = cell.recipe, dataset.num_cameras
    held = validation.hold_out(dataset, recipe)
    training = held.training if held else dataset
    facts = run_facts(cell, dataset, here.world, held)
    forget_peak_memory(here.device)
    with _alone(folder, here):
        if here.first:
            run_folder.clean(folder)
            if again:
                for name in (run_folder.MANIFEST, run_folder.LOG):
                    (folder / name).unlink(missing_ok=True)
        here.barrier()
        before, done = run_folder.read_facts(folder), run_folder.manifest(folder)
        loop.seed_everything(recipe.seed, 0, 0)
        # with weights of its own in the folder, a run needs no pretrained ones
        source = dataclasses.replace(recipe, pretrained="") if done else recipe
        with checkpoint.files_read() as files:
            model = build(cell.module, source, len(training.identities), cameras)
        if here.first:
            if done and before and before.key == facts.key:
                start = before.start
            else:
                start = tuple(WeightsFile(file.name, sha256_file(file)) for file in files)
            run_folder.write_facts(folder, dataclasses.replace(facts, start=start))
        with user_faults(model):
            model.to(here.device)
            if done is None:
                with arithmetic(here.device):
                    prepare(model, training, frame_extractor(recipe, here.device, workers=workers))
                model.to(here.device)  # what it computed, too
            elif done.finished:
                run_folder.resume(folder, model, None)
                return model
            judge = held and functools.partial(
                _judge, held=held, recipe=recipe, here=here, workers=workers, title=title
            )
            loop.train(model, training, recipe, folder, here, workers=workers, title=title, judge=judge)
    return model


def _judge(
    model: nn.Module, held: validation.HeldOut, recipe: Recipe, here: Parallel, workers: int, title: str
) -> dict[str, float]:
    """The model's figures on the identities held out, as `loop.train` asks for them."""
    title = f"{title}: validation"
    found = score_model(model, held.validation, recipe, here, pairs=False, workers=workers, title=title)
    return {name: found.metrics[name] for name in validation.METRICS}


@user_faults()
def score_model(
    model: nn.Module,
    dataset: ReidDataset,
    recipe: Recipe,
    here: Parallel,
    *,
    protocol: str | None = None,
    pairs: bool = True,
    workers: int = 0,
    title: str = "test",
) -> ranking.Scores:
    """Features of the test tracklets, ranked under the dataset's protocol. The processes share the extraction.

    Args:
        protocol: another one than the dataset's own.
        pairs: whether to judge pairs of cameras, and all pairs as an open set, too.

    Raises:
        UsageError: an unknown protocol, or a dataset without queries.
    """
    check_testable(dataset, protocol)
    tracklets = dataset.test
    if here.world > 1 and len(tracklets) >= here.world:
        mine = extract_features(
            model, tracklets[here.rank :: here.world], recipe, here.device, workers=workers, title=title
        )
        features = np.empty((len(tracklets), mine.shape[1]), np.float32)
        for rank, part in enumerate(here.gather(mine)):
            features[rank :: here.world] = part
    else:
        features = extract_features(model, tracklets, recipe, here.device, workers=workers, title=title)
    queries = {t.id for t in dataset.query}
    return ranking.score(
        features,
        np.array([t.identity for t in tracklets]),
        np.array([t.camera for t in tracklets]),
        np.array([t.id in queries for t in tracklets]),
        protocol or dataset.protocol,
        metric=recipe.metric,
        kinds=np.array([t.kind for t in tracklets]),
        outfits=np.array([t.outfit for t in tracklets]),
        device=str(here.device),
        camera_pairs=pairs,
        pairs=pairs,
    )


@contextmanager
def _alone(folder: Path, here: Parallel) -> Iterator[None]:
    """Holds the folder's lock in the first of the processes, so that two commands never train into one folder."""
    if not here.first:
        yield
        return
    busy = f"Another process trains in '{folder}'. Wait for it, or give another --runs folder."
    with exclusive(folder / ".lock", busy):
        yield
