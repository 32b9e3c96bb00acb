"""One cell of the grid: a model, a bench, a seed. What decides it, and where its run lies.

    cell = Cell(zoo.module("resnet50"), "resnet50", "tiny", recipe, "demo/sports")
    datasets = load_datasets(cell.bench, data)              # split -> dataset
    folder = run_folder(cell, datasets[0], Path("runs"))    # runs/sports/resnet50/seed0

`experiment.py` trains and tests cells, `record.py` makes their results.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..datasets import ReidDataset, UsageError
from ..datasets.benches import BENCHES, VARIANTS, bench_splits, load_bench
from ..leaderboard import protocols
from ..leaderboard.origin import joint_fingerprint
from ..leaderboard.results import check_names
from .recipe import Recipe, to_dict
from .run_folder import RunFacts, TrainedOn, read_facts
from .user_model import Source, source_of
from .validation import HeldOut, hold_out

FIRST_SOURCE = "version 1"  # of a model of ours, as all were before a version was recorded


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
        name: as results carry it (`cgclip/no-cmr`; `my_model/wide` of a user's file).
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

    @property
    def source(self) -> Source:
        return source_of(self.module)


def load_datasets(bench: str, data: Path | None, split: int | None = None) -> dict[int, ReidDataset]:
    """Split -> dataset: ten for iLIDS-VID, one otherwise; only `split` where one is asked for.

    Raises:
        UsageError: the bench is unknown or absent, or has no such split.
    """
    count = bench_splits(bench, data)
    if split is not None and not 0 <= split < count:
        raise UsageError(f"'{bench}' has {count} splits, numbered from 0; --split {split} is none of them.")
    return {k: load_bench(bench, data, split=k) for k in (range(count) if split is None else [split])}


def check_testable(dataset: ReidDataset, protocol: str | None = None) -> None:
    """Whether a model can be tested on a dataset, under its own protocol or another. Ask before any work.

    Raises:
        UsageError: the protocol is unknown, or the dataset has no queries.
    """
    protocols.protocol(protocol or dataset.protocol)
    if not dataset.query:
        raise UsageError(f"'{dataset.name}' has no queries: no test identity was seen by two cameras. Test on another.")


def check_cell(cell: Cell, datasets: Sequence[ReidDataset]) -> None:
    """Whether a cell's result can be computed and stored. Ask before any work.

    Raises:
        UsageError: a name that can't be a folder's, a bench that can't be tested on, too few identities to hold out.
    """
    for dataset in datasets:
        check_testable(dataset)
        hold_out(dataset, cell.recipe)
        check_names(bench_name(cell, dataset), cell.name)


def bench_name(cell: Cell, dataset: ReidDataset) -> str:
    """The bench's own name, or a path's dataset's: `sports-vreid` stays that, whatever its manifest calls it."""
    return cell.bench if cell.bench in BENCHES or cell.bench in VARIANTS else dataset.name


def fingerprint(datasets: Sequence[ReidDataset]) -> str:
    """The dataset's own; of several splits the sha256 over theirs."""
    return joint_fingerprint([dataset.fingerprint for dataset in datasets])


def captions_digest(dataset: ReidDataset) -> str:
    """A short sha256 over the training captions; "" where there are none. They change a training, never a test."""
    if not any(t.captions for t in dataset.train):
        return ""
    rows = sorted({(t.identity, t.captions) for t in dataset.train})
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def run_facts(cell: Cell, dataset: ReidDataset, processes: int, held: HeldOut | None) -> RunFacts:
    """What run.json says of a cell's run on a dataset (one split of a bench), without what it started from."""
    source = cell.source
    return RunFacts(
        key=cell_key(cell, dataset),
        model=cell.name,
        size=cell.size,
        recipe=to_dict(cell.recipe),
        classes=len((held.training if held else dataset).identities),
        cameras=dataset.num_cameras,
        dataset=TrainedOn(dataset.name, dataset.fingerprint, str(dataset.root), captions_digest(dataset)),
        source=source.mark,
        file=str(source.file or ""),
        processes=processes,
        held_out=held.identities if held else (),
        held_out_by=held.drawn_by if held else "",
    )


def cell_key(cell: Cell, dataset: ReidDataset) -> str:
    """sha256 over all that decides a run: two runs of one key have the same weights.

    Who is held out enters where anybody is, as a dataset's manifest may say it. The source of a model of ours enters
    from version 2 on, so that runs from before it was recorded keep their keys.
    """
    facts = [cell.name, cell.size, to_dict(cell.recipe), dataset.fingerprint, captions_digest(dataset)]
    if cell.source.mark != FIRST_SOURCE:
        facts.append(cell.source.mark)
    if held := hold_out(dataset, cell.recipe):
        facts.append(list(held.identities))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def run_folder(cell: Cell, dataset: ReidDataset, runs: Path, split: int | None = None) -> Path:
    """`runs/<bench>/<model>/seed<k>[/split<s>]`; where another run holds that place, `seed<k>-<digest>`."""
    base = runs / bench_name(cell, dataset) / cell.name
    key = cell_key(cell, dataset)
    part = "" if split is None else f"split{split}"
    plain = base / f"seed{cell.recipe.seed}" / part
    taken = read_facts(plain)
    return plain if taken is None or taken.key == key else base / f"seed{cell.recipe.seed}-{key[:8]}" / part
