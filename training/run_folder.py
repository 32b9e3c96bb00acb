"""A run's folder: what is in it, and how it is read again.

    run.json                        what is trained: `write_facts(folder, facts)`, `read_facts(folder)`
    log.jsonl                       a line an epoch
    epoch-0007.safetensors          the state after epoch 7: `save_checkpoint(folder, model, optimiser, 7)`
    epoch-0007.optimiser.pt
    epoch-0006.…                    the one before, for a folder whose newest files are damaged
    checkpoint.json                 names them; written last. `resume(folder, model, optimiser)`
    epoch-0004.safetensors          also the best epoch by its validation, where training identities are held out
    model.safetensors               the weights of a finished run, of the best epoch then; the epochs' files are gone

A kill at any moment leaves a folder that can be resumed.
"""

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from msgspec import Meta
from torch import nn

from ..datasets import UsageError
from ..datasets.files import atomic_path, write_json
from ..datasets.progress import say
from ..datasets.schema import read_json
from ..leaderboard.origin import Percent, WeightsFile
from ..leaderboard.results import Setting
from .checkpoint import load_into, read_weights, save_weights

RUN, MANIFEST, LOG = "run.json", "checkpoint.json", "log.jsonl"
FORMAT = 1
FIX = "Delete its folder to train that run again."

Weights = Annotated[str, Meta(pattern=r"^(model|epoch-\d{4,9})\.safetensors$")]
OptimiserFile = Annotated[str, Meta(pattern=r"^epoch-\d{4,9}\.optimiser\.pt$")]


@dataclass(frozen=True)
class TrainedOn:
    """The dataset of a run. `captions` is a digest of the training captions, "" without any."""

    name: str
    fingerprint: str
    path: str = ""
    captions: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What run.json holds.

    Attributes:
        key: sha256 over all that decides the run.
        model, size: as results carry them: "cgclip/no-cmr", "tiny".
        classes, cameras: numbers of training identities and of cameras, which shape the model.
        source: what identifies the model's code (`user_model.Source.mark`); "" in runs from before that was recorded.
        file: absolute path of a user's own model file; "" for a model of ours.
        processes: that trained it together.
        held_out: training identities that no class is trained for, because the epoch is chosen by them.
        held_out_by: what drew them: "seed", or "dataset" whose manifest says so; "" where nobody is held out.
        start: the files of weights that it started from.
    """

    key: str
    model: str
    size: str
    recipe: dict[str, Setting]
    classes: Annotated[int, Meta(ge=1, le=1_000_000)]
    cameras: Annotated[int, Meta(ge=1, le=100_000)]
    dataset: TrainedOn
    source: str = ""
    file: str = ""
    processes: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    held_out: tuple[int, ...] = ()
    held_out_by: str = ""
    start: tuple[WeightsFile, ...] = ()


@dataclass(frozen=True)
class Best:
    """The epoch, from 1, that was best on the identities held out, its weights and its figures in percent."""

    epoch: Annotated[int, Meta(ge=1, le=100_000)]
    weights: Weights
    metrics: dict[str, Percent]


@dataclass(frozen=True)
class Checkpoint:
    """The state after `epoch` epochs, in two files of the folder; a finished run has no optimiser any more.

    `best` is the best of these epochs, where identities are held out to tell.
    """

    epoch: Annotated[int, Meta(ge=0, le=100_000)]
    finished: bool
    weights: Weights
    optimiser: OptimiserFile | None = None
    best: Best | None = None

    @property
    def files(self) -> set[str]:
        """Their names in the folder."""
        return {self.weights, *filter(None, [self.optimiser, self.best and self.best.weights])}


@dataclass(frozen=True, kw_only=True)
class Manifest(Checkpoint):
    """checkpoint.json: the newest checkpoint, and the one before where its files are kept."""

    format: Annotated[int, Meta(ge=1)]
    previous: Checkpoint | None = None


def folder_of(path: Path) -> Path:
    """The run's folder that `path` is, or that it lies in."""
    return path if path.is_dir() else path.parent


def is_run(path: Path) -> bool:
    """Whether `path` is a run's folder or a file in one."""
    return (folder_of(path) / RUN).is_file()


def read_facts(path: Path) -> RunFacts | None:
    """What run.json in a run's folder (or beside its weights file) says; None where there is none.

    Raises:
        UsageError: it is damaged, or a number in it is out of range.
    """
    return read_json(folder_of(path) / RUN, RunFacts, FIX) if is_run(path) else None


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Writes run.json."""
    write_json(folder / RUN, dataclasses.asdict(facts))


def clean(folder: Path) -> None:
    """Removes what a killed run left half-written. For whoever holds the folder's lock."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def manifest(folder: Path) -> Manifest | None:
    """What checkpoint.json says; None where the folder holds no checkpoint.

    Raises:
        UsageError: it is damaged or of a newer format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    found = read_json(path, Manifest, FIX)
    if found.format > FORMAT:
        raise UsageError(f"'{path}' was written by a newer reidkit. Update it, or give another --runs folder.")
    return found


def save_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer | None, epoch: int, best: Best | None = None
) -> None:
    """The state after `epoch` epochs. Without an optimiser the run is finished and only its weights are kept.

    Args:
        best: of these epochs; where it is this one, its weights are those that are written now.

    The manifest is written after the files that it names and before any older one goes, so a kill at any moment leaves
    the previous checkpoint or this one.
    """
    before = manifest(folder)
    if optimiser is None:
        best = dataclasses.replace(best, weights="model.safetensors") if best else None
        made = Manifest(epoch, True, "model.safetensors", best=best, format=FORMAT)
    else:
        weights, state = f"epoch-{epoch:04d}.safetensors", f"epoch-{epoch:04d}.optimiser.pt"
        old = before if before is None or before.epoch < epoch else before.previous
        previous = Checkpoint(old.epoch, old.finished, old.weights, old.optimiser, old.best) if old else None
        made = Manifest(epoch, False, weights, state, best, format=FORMAT, previous=previous)
        with atomic_path(folder / state) as temporary:
            torch.save(optimiser.state_dict(), temporary)
    save_weights(folder / made.weights, model)
    write_json(folder / MANIFEST, dataclasses.asdict(made))
    kept = made.files | (made.previous.files if made.previous else set())
    for old in [*folder.glob("epoch-*.safetensors"), *folder.glob("epoch-*.optimiser.pt")]:
        if old.name not in kept:
            old.unlink()


def best_until(folder: Path, epoch: int) -> Best | None:
    """The best of the first `epoch` epochs, whose checkpoint was resumed; None where nobody judged them."""
    found = manifest(folder)
    if found is None:
        return None
    return found.best if found.epoch == epoch or found.previous is None else found.previous.best


def resume(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer | None) -> int:
    """Loads the folder's newest whole checkpoint and returns how many epochs are done; 0 where there is none.

    Where the newest one's files are damaged, those of the epoch before are taken, and a line says so.

    Raises:
        UsageError: the files of both are damaged, or of another model; the file is named.
    """
    found = manifest(folder)
    if found is None:
        return 0
    try:
        _load(folder, found, model, optimiser)
        return found.epoch
    except UsageError as error:
        if found.previous is None:
            raise UsageError(f"{error} To train this run anew, add --again.") from None
        say(f"{error} Going on after epoch {found.previous.epoch}, the last whole one.")
    try:
        _load(folder, found.previous, model, optimiser)
    except UsageError as error:
        raise UsageError(f"{error} To train this run anew, add --again.") from None
    return found.previous.epoch


def _load(folder: Path, saved: Checkpoint, model: nn.Module, optimiser: torch.optim.Optimizer | None) -> None:
    load_into(model, read_weights(folder / saved.weights), source=str(folder / saved.weights))
    if optimiser is None or saved.optimiser is None:
        return
    path = folder / saved.optimiser
    try:
        optimiser.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise UsageError(f"'{path}', the state of the optimiser, is not there.") from None
    except (EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"'{path}' is no whole state of the optimiser ({_reason(error)}).") from None
    except pickle.UnpicklingError:
        raise UsageError(f"'{path}' is no state of an optimiser.") from None
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            values = [v for v in optimiser.state[parameter].values() if isinstance(v, torch.Tensor) and v.dim()]
            if any(v.shape != parameter.shape for v in values):
                raise UsageError(f"'{path}' is the state of another model's optimiser.")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
