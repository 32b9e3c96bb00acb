"""The one loop that trains every model.

    train(model, dataset, recipe, Path("runs/mars/resnet50/seed0"), start("auto"), workers=4)

After each epoch the folder holds a whole checkpoint and a line more in `log.jsonl`. The same call resumes there, and
ends in the same bits as a run that was never stopped (on the CPU; a GPU's kernels add in their own order). With a judge
the model that it liked best is the one that is kept, otherwise the last. Under
torchrun every process takes batches of its own and gradients are averaged: the batch is as many times larger as there
are processes.
"""

import contextlib
import functools
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from ..datasets import ReidDataset, ReidkitError, UsageError
from ..datasets.files import write_atomic
from ..datasets.loader import TrainLoader
from ..datasets.progress import progress, say
from ..datasets.schema import decode_json, read_bytes
from ..datasets.transforms import augment
from . import checkpoint, run_folder, validation
from .arithmetic import arithmetic, autocast, peak_memory
from .losses import combine
from .model import check_output
from .optimiser import make_optimiser, rate_factor, set_rate
from .parallel import Parallel
from .recipe import Recipe

NOTE_STEPS = 10  # a loss is read from the device this often


def seed_everything(seed: int, epoch: int, rank: int) -> torch.Generator:
    """Seeds every generator from (seed, epoch, rank) alone, so that an epoch is the same after a resume.

    Returns:
        A CPU generator for the augmentation.
    """
    state = np.random.SeedSequence([seed, epoch, rank]).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(int(state[0]))  # noqa: NPY002 (for models that draw from the global generator)
    torch.manual_seed(int(state[1]))
    return torch.Generator().manual_seed(int(state[2]))


def train(
    model: nn.Module,
    dataset: ReidDataset,
    recipe: Recipe,
    folder: Path,
    here: Parallel,
    *,
    workers: int = 0,
    title: str = "train",
    judge: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> None:
    """Trains `model`, already prepared and on the device, from where `folder` left off to `recipe.epochs`.

    Args:
        judge: the model's figures in percent, mAP and R1 among them, on identities that `dataset` doesn't train on. It
            is asked every few epochs (`validation.due`), in all processes; `model` is left as it was at its best.

    Raises:
        UsageError: there are fewer than two identities to train on.
        ReidkitError: the loss is no longer finite; the last good checkpoint stays.
    """
    if len(dataset.identities) < 2:
        raise UsageError(
            f"'{dataset.name}' has {len(dataset.identities)} training identities; training needs at least 2."
        )
    optimiser = make_optimiser(model, recipe)
    done = run_folder.resume(folder, model, optimiser)
    found = run_folder.manifest(folder)
    if found and found.finished:
        return
    if done and here.first:
        say(f"{title}: going on after epoch {done} of {recipe.epochs}")
    best = run_folder.best_until(folder, done)
    forward = _wrap(model, recipe, here)
    loader = TrainLoader(
        dataset,
        recipe.clip,
        identities=recipe.identities,
        tracklets=recipe.tracklets,
        seed=recipe.seed,
        workers=workers,
        epoch_of=recipe.epoch_of,
        composition=recipe.composition,
        stride=recipe.train_stride,
        chunks=recipe.train_chunks,
        rank=here.rank,
        world=here.world,
    )
    if here.first:
        _cut_log(folder / run_folder.LOG, done)
        if found is None:  # what `prepare` computed may have taken an hour
            run_folder.save_checkpoint(folder, model, optimiser, 0)
    model.train()
    check = functools.partial(check_output, model=type(model).__name__, num_classes=len(dataset.identities))
    total = sum(loader.steps(epoch) for epoch in range(done, recipe.epochs)) if here.first else None
    with progress(title, total, "steps") as advance, arithmetic(here.device):
        for epoch in range(done, recipe.epochs):
            line = _epoch(forward, optimiser, loader, recipe, here, epoch, advance, check)
            if judge and validation.due(epoch + 1, recipe):
                here.spread(model.buffers())  # batch norm's statistics, as the first process saves them
                started = time.monotonic()
                line["validation"] = dict(judge(model))
                line["seconds"] = round(line["seconds"] + time.monotonic() - started, 3)
                best = validation.better(best, epoch + 1, line["validation"])
            if here.first:
                with open(folder / run_folder.LOG, "a") as log:
                    log.write(json.dumps(line) + "\n")
                run_folder.save_checkpoint(folder, model, optimiser, epoch + 1, best)
                if best and "validation" in line:
                    say(f"{title}: {_judged(line, best)}")
            here.barrier()
    if here.first:
        if best:
            weights = folder / best.weights
            checkpoint.load_into(model, checkpoint.read_weights(weights), source=str(weights))
        run_folder.save_checkpoint(folder, model, None, recipe.epochs, best)
    here.barrier()
    if not here.first:
        run_folder.resume(folder, model, None)  # batch norm's statistics of the first process, which were saved


def _judged(line: Mapping[str, Any], best: run_folder.Best) -> str:
    figures = ", ".join(f"{name} {line['validation'][name]:.1f}" for name in validation.METRICS)
    so_far = "the best so far" if best.epoch == line["epoch"] else f"the best is epoch {best.epoch}"
    return f"epoch {line['epoch']} on the identities held out: {figures}; {so_far}"


def _wrap(model: nn.Module, recipe: Recipe, here: Parallel) -> nn.Module:
    if here.world > 1:
        ids = [here.device.index] if here.device.type == "cuda" else None
        # a model may leave a head unused in some batches (captions absent), so the search for it is on
        model = nn.parallel.DistributedDataParallel(model, device_ids=ids, find_unused_parameters=True)
    return cast(nn.Module, torch.compile(model)) if recipe.compile else model


def _epoch(forward, optimiser, loader, recipe, here, epoch, advance, check) -> dict:
    generator = seed_everything(recipe.seed, epoch, here.rank)
    device, steps = here.device, loader.steps(epoch)
    started, clips_seen = time.monotonic(), 0
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
    factor = rate_factor(recipe, epoch * steps, steps)
    for step, (clips, labels, cameras) in enumerate(loader.epoch(epoch)):
        factor = rate_factor(recipe, epoch * steps + step, steps)
        set_rate(optimiser, factor, recipe.lr)
        pixels = augment(
            clips.to(device, non_blocking=True),
            recipe.clip,
            flip=recipe.flip,
            pad=recipe.pad,
            erasing=recipe.erasing,
            generator=generator,
        )
        labels, cameras = labels.to(device, non_blocking=True), cameras.to(device, non_blocking=True)
        with autocast(recipe, device):
            output = forward(pixels, cameras, labels)
            check(output, batch=len(labels))
            loss, parts = combine(output, labels, recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        sums["loss"] += loss.detach()
        for name, part in parts.items():
            sums[name] += part
        clips_seen += len(clips) * here.world
        note = ""
        if step % NOTE_STEPS == 0 or step == steps - 1:
            value = loss.item()
            if not np.isfinite(value):
                raise ReidkitError(
                    f"The loss is {value} in epoch {epoch + 1} at a rate of {recipe.lr * factor:.2g}. Train again with "
                    f"a lower rate, for example --set lr={recipe.lr / 3:.1e}."
                )
            note = f"epoch {epoch + 1}/{recipe.epochs} loss {value:.3f}"
        advance(1, note)
    seconds = time.monotonic() - started
    means = {name: float(value) / steps for name, value in sums.items()}
    return {
        "epoch": epoch + 1,
        "loss": means.pop("loss"),
        "losses": means,
        "lr": recipe.lr * factor,
        "steps": steps,
        "processes": here.world,
        "clips_per_second": round(clips_seen / max(seconds, 1e-9), 2),
        "seconds": round(seconds, 3),
        "gpu_memory_bytes": peak_memory(device),
    }


@dataclass(frozen=True)
class _Line:
    """What every line of the log has; the others of its figures are for whoever looks at it."""

    epoch: Annotated[int, Meta(ge=1)]
    seconds: Annotated[float, Meta(ge=0)]


def read_log(path: Path) -> list[dict]:
    """The log's lines, one an epoch; what is none (a kill cut it, a person wrote it) is left out."""
    lines = []
    for text in read_bytes(path, "Move it away.").split(b"\n") if path.is_file() else ():
        with contextlib.suppress(UsageError):
            decode_json(text, _Line, "A line", "")
            lines.append(decode_json(text, dict, "A line", ""))
    return lines


def _cut_log(path: Path, epochs: int) -> None:
    """Keeps the lines of the first `epochs` epochs: one written after the last checkpoint will be written again."""
    kept = [json.dumps(line) for line in read_log(path) if line["epoch"] <= epochs]
    write_atomic(path, "".join(line + "\n" for line in kept))
