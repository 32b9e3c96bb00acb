"""What a tested cell leaves in the result store, and whether it has left it already.

    found = finished(cell, datasets, open_store("results"))
    result = make_result(cell, datasets, scores, [origin_of(folder)], seconds=81.5, command="reidkit run …")

A test of weights that are there already is recorded beside it, under a name of its own: `make_evaluation`.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets import ReidDataset, ReidkitError
from ..datasets.files import sha256_file
from ..datasets.progress import say
from ..leaderboard import protocols
from ..leaderboard.environment import environment
from ..leaderboard.origin import ChosenEpoch, Origin
from ..leaderboard.ranking import Scores
from ..leaderboard.results import Result, ResultStore, Summary, open_set_row, pair_rows, query_rows, read_result
from .cell import FIRST_SOURCE, Cell, bench_name, captions_digest, fingerprint
from .recipe import agrees, to_dict
from .run_folder import folder_of, is_run, manifest, read_facts


def finished(cell: Cell, datasets: Sequence[ReidDataset], store: ResultStore) -> Result | None:
    """The newest stored result of a cell; None where there is none.

    It is of the same model, size and recipe, the same source of the model, the same bench, data and captions, under the
    same version of the protocol.
    """
    entries, _ = store.find(bench_name(cell, datasets[0]), cell.name)
    for entry in reversed(entries):
        if is_of(entry.summary, cell, datasets):
            try:
                return read_result(entry.path)
            except ReidkitError as error:
                say(f"{error} Left out.")
    return None


def is_of(stored: Summary, cell: Cell, datasets: Sequence[ReidDataset]) -> bool:
    """Whether a stored result is a cell's, leaving the model's name and the bench's aside.

    A result from before sources were recorded has none: it counts for a model of ours that is still at version 1, and
    never for a user's file. A recipe that lacks a younger field counts as having its default (`recipe.agrees`).
    """
    rule = protocols.protocol(datasets[0].protocol)
    return (
        stored.size == cell.size
        and stored.fingerprint == fingerprint(datasets)
        and stored.dataset.get("captions", "") == captions_digest(datasets[0])
        and (stored.protocol, stored.protocol_version) == (rule.name, rule.version)
        and (stored.source or FIRST_SOURCE) == cell.source.mark
        and agrees(stored.recipe, cell.recipe)
    )


def origin_of(weights: Path, split: int = 0) -> Origin:
    """Where weights are from: a run's folder or a file in it; or a file from elsewhere, known by its bytes alone.

    Raises:
        UsageError: a damaged run.
    """
    facts, found = read_facts(weights), manifest(folder_of(weights)) if is_run(weights) else None
    file = folder_of(weights) / found.weights if found and weights.is_dir() else weights
    digest = sha256_file(file)
    if facts is None or found is None:
        return Origin(digest, split=split)
    chosen = None
    if found.best and facts.held_out:
        chosen = ChosenEpoch(
            epoch=found.best.epoch,
            of=found.epoch,
            share=len(facts.held_out) / (len(facts.held_out) + facts.classes),
            identities=list(facts.held_out),
            drawn_by=facts.held_out_by,
            metrics=found.best.metrics,
        )
    return Origin(digest, list(facts.start), facts.dataset.name, facts.dataset.fingerprint, chosen, split)


def make_result(
    cell: Cell,
    datasets: Sequence[ReidDataset],
    scores: Sequence[Scores],
    origins: Sequence[Origin],
    *,
    seconds: float,
    command: str,
) -> Result:
    """The record of one cell; metrics are means over the splits, whose own figures are kept beside them.

    Args:
        scores: of each dataset, all under one protocol.
        origins: of the weights that were tested on each.
        seconds: that training and test took.
    """
    splits = [s.metrics for s in scores]
    rule = protocols.protocol(scores[0].protocol)
    captions = captions_digest(datasets[0])
    dataset = {"name": datasets[0].name, "fingerprint": fingerprint(datasets), "path": str(datasets[0].root)}
    return Result(
        model=cell.name,
        source=cell.source.mark,
        size=cell.size,
        bench=bench_name(cell, datasets[0]),
        protocol=rule.name,
        protocol_version=rule.version,
        sampling=cell.recipe.test_sampling,
        metric=cell.recipe.metric,
        rerank=False,
        metrics={name: float(np.mean([split[name] for split in splits])) for name in splits[0]},
        splits=splits if len(splits) > 1 else [],
        queries=sum(s.queries for s in scores),
        skipped=sum(s.skipped for s in scores),
        per_query=[row for k, s in enumerate(scores) for row in query_rows(s, datasets[k].test, k)],
        camera_pairs=[row for k, s in enumerate(scores) for row in pair_rows(s, k)],
        dataset=dataset | ({"captions": captions} if captions else {}),
        recipe=to_dict(cell.recipe),
        seed=cell.recipe.seed,
        environment=environment(),
        command=command,
        seconds=round(seconds, 2),
        weights=list(origins),
        open_set=[open_set_row(s.pairs, k) for k, s in enumerate(scores) if s.pairs],
    )


def evaluation_title(model: str, mark: str) -> str:
    """`cgclip/no-cmr@mars`: a model and what tells of its weights."""
    return f"{model}@{re.sub(r'[^A-Za-z0-9._-]+', '-', mark)}"


def make_evaluation(
    cell: Cell, dataset: ReidDataset, scores: Scores, weights: Path, mark: str, *, seconds: float, command: str
) -> Result:
    """The record of a test of weights that are there already. Its model is `NAME@mark`, its recipe has their sha256.

    That name keeps it apart from what `run` trains: tables show it in a row of its own, and no run finds its cell
    finished by it.

    Args:
        weights: the run's folder, or the file.
        mark: what the name tells of the weights: the dataset that they were trained on, or their file's name.
    """
    origin = origin_of(weights)
    made = make_result(cell, [dataset], [scores], [origin], seconds=seconds, command=command)
    return dataclasses.replace(
        made,
        model=evaluation_title(cell.name, mark),
        recipe=made.recipe | {"weights": weights.name, "weights_sha256": origin.sha256},
    )
