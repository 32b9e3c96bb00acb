"""One cell of the grid: a model, a bench, a seed; from a recipe to a result file.

    result = run_cell(Cell(resnet50, "resnet50", "tiny", recipe, "demo/sports"), Places(), start("auto"))

A cell that was stopped goes on at its last epoch; one that has its result is not run again.
"""

import dataclasses
import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from ..datasets import ReidDataset, ReidkitError, UsageError
from ..datasets.benches import BENCHES, VARIANTS, bench_splits, load_bench
from ..datasets.errors import choices
from ..datasets.files import write_json
from ..leaderboard import ranking, results
from ..leaderboard.protocols import PROTOCOLS
from . import checkpoint, loop
from .extraction import extract_features, frame_extractor
from .model import prepare
from .parallel import Parallel
from .recipe import Recipe, from_dict, to_dict

RUN = "run.json"
# sizes that nothing else in a model has
CLASSES_MARK, CAMERAS_MARK = 1009, 1013


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


@dataclass(frozen=True)
class Trained:
    """A model read from a run's folder, and what it was trained with."""

    model: nn.Module
    recipe: Recipe
    facts: dict


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


def make_result(cell, datasets, scores, *, seconds, command):
    """The record of one cell; metrics are means over the splits, whose own figures are kept beside them."""
    first = datasets[0]
    splits = [_metrics(s) for s in scores]
    return results.Result(
        model=cell.name,
        size=cell.size,
        bench=bench_name(cell, first),
        protocol=first.protocol,
        protocol_version=PROTOCOLS[first.protocol].version,
        sampling=cell.recipe.test_sampling,
        metric=cell.recipe.metric,
        rerank=False,
        metrics={name: float(np.mean([split[name] for split in splits])) for name in splits[0]},
        splits=splits if len(splits) > 1 else [],
        queries=sum(s.queries for s in scores),
        skipped=sum(s.skipped for s in scores),
        per_query=[],
        dataset=_dataset_facts(datasets),
        recipe=to_dict(cell.recipe),
        seed=cell.recipe.seed,
        environment=results.environment(),
        command=command,
        seconds=round(seconds, 2),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _metrics(scores):
    figures = {"mAP": scores.mAP, **{f"R{k}": scores.cmc[k] for k in sorted(scores.cmc)}, "mINP": scores.mINP}
    return {name: float(value) for name, value in figures.items()}


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
    )


def open_run(module: ModuleType, path: Path, device: torch.device | str = "cpu") -> Trained:
    """The model of a run's folder (or of its weights file), in test mode.

    Raises:
        UsageError: no run's folder, an unfinished one without a checkpoint, or one of another model.
    """
    folder = path if path.is_dir() else path.parent
    facts, found = read_facts(path), checkpoint.manifest(folder)
    if facts is None or found is None:
        raise UsageError(f"'{folder}' is no run of reidkit with a checkpoint. Give a folder that `reidkit run` wrote.")
    base = module.RECIPES.get(facts["size"])
    if base is None:
        raise UsageError(choices(facts["size"], module.RECIPES, "size of the model"))
    recipe = from_dict(base, facts["recipe"])
    model = module.build(dataclasses.replace(recipe, pretrained=""), facts["classes"], facts["cameras"])
    weights = folder / found["weights"] if path.is_dir() else path
    checkpoint.load_into(model, checkpoint.read_weights(weights), source=str(weights))
    return Trained(model.to(device).eval(), recipe, facts)


def open_foreign(
    module: ModuleType, recipe: Recipe, path: Path, classes: int, cameras: int, device: torch.device | str = "cpu"
) -> tuple[nn.Module, checkpoint.LoadReport]:
    """A model filled from a file that reidkit did not train, its names converted by the model's `convert`.

    The numbers of training identities and cameras are read off the tensors' shapes; `classes` and `cameras` (the
    bench's) hold where no shape tells. Names without a partner are in the report.

    Raises:
        UsageError: unreadable, or of another model; the tensor and both shapes are named.
    """
    weights = getattr(module, "convert", dict)(checkpoint.read_weights(path))
    recipe = dataclasses.replace(recipe, pretrained="")
    found = {CLASSES_MARK: classes, CAMERAS_MARK: cameras}
    shapes = marked_shapes(module, recipe)
    for name, tensor in weights.items():
        if len(shapes.get(name, ())) == tensor.dim():
            found.update({o: t for o, t in zip(shapes.get(name, ()), tensor.shape, strict=True) if o in found})
    model = module.build(recipe, found[CLASSES_MARK], found[CAMERAS_MARK])
    report = checkpoint.load_into(model, weights, source=str(path), strict=False)
    return model.to(device).eval(), report


def marked_shapes(module: ModuleType, recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of the model, with the two marks where a dimension counts identities or cameras."""
    with torch.device("meta"):
        model = module.build(dataclasses.replace(recipe, pretrained=""), CLASSES_MARK, CAMERAS_MARK)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def knows_cameras(module: ModuleType, recipe: Recipe) -> bool:
    """Whether the model has something of its own for each camera."""
    return any(CAMERAS_MARK in shape for shape in marked_shapes(module, recipe).values())


def is_run(path: Path) -> bool:
    """Whether `path` is a run's folder or a file in one."""
    return ((path if path.is_dir() else path.parent) / RUN).is_file()


def _key(cell: Cell, dataset: ReidDataset) -> str:
    facts = [cell.name, cell.size, to_dict(cell.recipe), dataset.fingerprint, captions_digest(dataset)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _dataset_facts(datasets: list[ReidDataset]) -> dict[str, object]:
    first = datasets[0]
    facts = {"name": first.name, "fingerprint": fingerprint(datasets), "path": str(first.root)}
    captions = captions_digest(first)
    return facts | ({"captions": captions} if captions else {})


def read_facts(path: Path) -> dict | None:
    """What `run.json` in a run's folder (or beside its weights file) says; None where there is none.

    Raises:
        ReidkitError: it is damaged.
    """
    path = (path if path.is_dir() else path.parent) / RUN
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text())
        return {k: facts[k] for k in ("key", "model", "size", "recipe", "classes", "cameras", "dataset")}
    except (ValueError, KeyError, TypeError):
        raise ReidkitError(f"'{path}' is damaged. Delete its folder to train that run again.") from None


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
