"""One cell of the grid: a model, a bench, a seed; from a recipe to a result file.

    result = run_cell(Cell(resnet50, "resnet50", "tiny", recipe, "demo/sports"), Places(), start("auto"))

A cell that was stopped goes on at its last epoch; one that has its result is not run again.
"""

import dataclasses
import fcntl
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import nn

from ..datasets import ReidDataset, ReidkitError, UsageError
from ..datasets.benches import BENCHES, VARIANTS, bench_splits, load_bench
from ..datasets.files import sha256_file, write_json
from ..leaderboard import ranking, results
from ..leaderboard.environment import environment
from ..leaderboard.protocols import PROTOCOLS
from . import checkpoint, loop
from .extraction import extract_features, frame_extractor
from .model import prepare
from .parallel import Parallel
from .recipe import Recipe, to_dict
from .trained import RUN, read_facts


@dataclass(frozen=True)
class Places:
    """Where things are read and written. `data` None: $REIDKIT_DATA or data/."""

    results: Path = Path("results")
    runs: Path = Path("runs")
    data: Path | None = None


@dataclass(frozen=True)
class Cell:
    """What is trained and tested.

    Attributes:
        module: the model's file.
        name: as on the command line (`cgclip/no-cmr`).
        bench: a bench's name, or the path of a dataset.
        split: one of a bench's splits; None for all of them.
    """

    module: ModuleType
    name: str
    size: str
    recipe: Recipe
    bench: str
    split: int | None = None

    @property
    def title(self) -> str:
        bench = Path(self.bench).name
        return f"{self.name} {self.size} on {bench}, seed {self.recipe.seed}"


def load_datasets(bench: str, data: Path | None, split: int | None = None) -> dict[int, ReidDataset]:
    """Split -> dataset: ten for iLIDS-VID, one otherwise; only `split` where one is asked for.

    Raises:
        UsageError: the bench is unknown or absent, or has no such split.
    """
    count = bench_splits(bench, data)
    if split is not None and not 0 <= split < count:
        raise UsageError(f"'{bench}' has {count} splits, numbered from 0; --split {split} is none of them.")
    return {k: load_bench(bench, data, split=k) for k in (range(count) if split is None else [split])}


def bench_name(cell: Cell, dataset: ReidDataset) -> str:
    """The bench's own name, or a path's dataset's: `sports-vreid` stays that, whatever its manifest calls it."""
    return cell.bench if cell.bench in BENCHES or cell.bench in VARIANTS else dataset.name


def fingerprint(datasets: list[ReidDataset]) -> str:
    """The dataset's own; of several splits the sha256 over theirs."""
    if len(datasets) == 1:
        return datasets[0].fingerprint
    return hashlib.sha256("\n".join(d.fingerprint for d in datasets).encode()).hexdigest()


def captions_digest(dataset: ReidDataset) -> str:
    """Short sha256 over the training captions; "" where there are none. They change a training, never a test."""
    if not any(t.captions for t in dataset.train):
        return ""
    rows = sorted({(t.identity, t.captions) for t in dataset.train})
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def finished(cell: Cell, datasets: list[ReidDataset], root: Path) -> results.Result | None:
    """The newest result of the same model, size, bench, dataset, recipe and captions."""
    found, _ = results.load_results(root)
    wanted = (
        cell.name,
        cell.size,
        bench_name(cell, datasets[0]),
        fingerprint(datasets),
        _dataset_facts(datasets).get("captions"),
    )
    same = [
        r
        for r in found
        if (r.model, r.size, r.bench, r.dataset["fingerprint"], r.dataset.get("captions")) == wanted
        and r.recipe == to_dict(cell.recipe)
    ]
    return max(same, key=lambda r: r.created, default=None)


def run_cell(
    cell: Cell, places: Places, here: Parallel, *, again: bool = False, workers: int = 0, command: str = ""
) -> results.Result:
    """Builds, prepares, trains, extracts, scores, and writes the result; a finished cell's result is read instead.

    Raises:
        ReidkitError: the bench is absent, the weights can't be had, training diverged, …; one sentence.
    """
    by_split = load_datasets(cell.bench, places.data, cell.split)
    datasets = list(by_split.values())
    if not again and (found := finished(cell, datasets, places.results)):
        return found
    scores, features_seconds = [], 0.0
    trained_seconds = 0.0
    for split, dataset in by_split.items():
        several = len(datasets) > 1 or cell.split is not None
        title = cell.title + (f", split {split}" if several else "")
        folder = run_folder(cell, dataset, places.runs, split if several else None)
        model = train_cell(cell, dataset, folder, here, again=again, workers=workers, title=title)
        trained_seconds += sum(line["seconds"] for line in loop.read_log(folder / loop.LOG))
        started = time.monotonic()
        scores.append(score_model(model, dataset, cell.recipe, here, workers=workers, title=f"{title}: test"))
        features_seconds += time.monotonic() - started
    result = make_result(cell, datasets, scores, seconds=trained_seconds + features_seconds, command=command)
    if here.first:
        results.save_result(places.results, result)
    here.barrier()
    return result


def make_result(
    cell: Cell, datasets: list[ReidDataset], scores: list[ranking.Scores], *, seconds: float, command: str
) -> results.Result:
    """The record of one cell; metrics are means over the splits, whose own figures are kept beside them."""
    splits = [s.metrics for s in scores]
    protocol = PROTOCOLS[datasets[0].protocol]
    several = list(enumerate(zip(scores, datasets, strict=True)))
    return results.Result(
        model=cell.name,
        size=cell.size,
        bench=bench_name(cell, datasets[0]),
        protocol=protocol.name,
        protocol_version=protocol.version,
        sampling=cell.recipe.test_sampling,
        metric=cell.recipe.metric,
        rerank=False,
        metrics={name: float(np.mean([split[name] for split in splits])) for name in splits[0]},
        splits=splits if len(splits) > 1 else [],
        queries=sum(s.queries for s in scores),
        skipped=sum(s.skipped for s in scores),
        per_query=[row for k, (s, d) in several for row in results.query_rows(s, d.test, k)],
        camera_pairs=[row for k, (s, _) in several for row in results.pair_rows(s, k)],
        dataset=_dataset_facts(datasets),
        recipe=to_dict(cell.recipe),
        seed=cell.recipe.seed,
        environment=environment(),
        command=command,
        seconds=round(seconds, 2),
    )


def make_evaluation(
    cell: Cell, dataset: ReidDataset, scores: ranking.Scores, weights: Path, mark: str, *, seconds: float, command: str
) -> results.Result:
    """The record of a test with weights from elsewhere: model `NAME@mark`, the weights' sha256 in the recipe.

    So neither a table nor a later run takes it for a cell that was trained.
    """
    folder = weights if weights.is_dir() else weights.parent
    file = folder / checkpoint.manifest(folder)["weights"] if weights.is_dir() else weights
    made = make_result(cell, [dataset], [scores], seconds=seconds, command=command)
    protocol = PROTOCOLS[scores.protocol]
    return dataclasses.replace(
        made,
        model=f"{cell.name}@{re.sub(r'[^A-Za-z0-9._-]+', '-', mark)}",
        protocol=protocol.name,
        protocol_version=protocol.version,
        recipe=made.recipe | {"weights": weights.name, "weights_sha256": sha256_file(file)},
    )


def run_folder(cell: Cell, dataset: ReidDataset, runs: Path, split: int | None = None) -> Path:
    """`runs/<bench>/<model>/seed<k>[/split<s>]`; where another recipe holds that place, `seed<k>-<digest>`."""
    base = runs / bench_name(cell, dataset) / cell.name
    key = _key(cell, dataset)
    part = "" if split is None else f"split{split}"
    plain = base / f"seed{cell.recipe.seed}" / part
    taken = read_facts(plain)
    return plain if taken is None or taken["key"] == key else base / f"seed{cell.recipe.seed}-{key[:8]}" / part


def train_cell(
    cell: Cell, dataset: ReidDataset, folder: Path, here: Parallel, *, again: bool, workers: int, title: str
) -> nn.Module:
    """The trained model on the device. A finished folder's weights are loaded, an unfinished one's training goes on."""
    recipe = cell.recipe
    facts = {
        "key": _key(cell, dataset),
        "model": cell.name,
        "size": cell.size,
        "recipe": to_dict(recipe),
        "classes": len(dataset.identities),
        "cameras": dataset.num_cameras,
        "dataset": _dataset_facts([dataset]),
        "processes": here.world,
    }
    with _alone(folder, here):
        if here.first:
            if again:
                for name in (checkpoint.MANIFEST, loop.LOG):
                    (folder / name).unlink(missing_ok=True)
            write_json(folder / RUN, facts)
        here.barrier()
        done = checkpoint.manifest(folder)
        loop.seed_everything(recipe.seed, 0, 0)
        # with weights of its own in the folder, a run needs no pretrained ones
        model = cell.module.build(
            dataclasses.replace(recipe, pretrained="") if done else recipe, len(dataset.identities), dataset.num_cameras
        ).to(here.device)
        if done is None:
            prepare(model, dataset, frame_extractor(recipe, here.device, workers=workers))
            model.to(here.device)  # what it computed, too
        elif done["finished"]:
            checkpoint.resume(folder, model, None)
            return model
        loop.train(model, dataset, recipe, folder, here, workers=workers, title=title)
    return model


def score_model(
    model: nn.Module,
    dataset: ReidDataset,
    recipe: Recipe,
    here: Parallel,
    *,
    protocol: str | None = None,
    workers: int = 0,
    title: str = "test",
) -> ranking.Scores:
    """Features of the test tracklets, ranked under the dataset's protocol. The processes share the extraction."""
    tracklets = dataset.test
    if not dataset.query:
        raise UsageError(f"'{dataset.name}' has no queries: no test identity was seen by two cameras. Test on another.")
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
        device=str(here.device),
    )


def _key(cell: Cell, dataset: ReidDataset) -> str:
    facts = [cell.name, cell.size, to_dict(cell.recipe), dataset.fingerprint, captions_digest(dataset)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _dataset_facts(datasets: list[ReidDataset]) -> dict[str, object]:
    first = datasets[0]
    facts = {"name": first.name, "fingerprint": fingerprint(datasets), "path": str(first.root)}
    captions = captions_digest(first)
    return facts | ({"captions": captions} if captions else {})


@contextmanager
def _alone(folder: Path, here: Parallel) -> Iterator[None]:
    """Holds the folder's lock, so that two commands never train into one folder."""
    if not here.first:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ReidkitError(f"Cannot write '{folder}': {error.strerror}. Choose a folder with --runs.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReidkitError(
                f"Another process trains in '{folder}'. Wait for it, or give another --runs folder."
            ) from None
        yield
