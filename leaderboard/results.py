"""The result store: one JSON file a result, `results/<bench>/<model>/<run id>.json`, only ever added to.

    save_result("results", result)
    results, problems = load_results("results")             # all of them, whole
    entries, problems = open_store("results").find("mars", "cgclip/no-cmr")      # one cell's, without their rows

A file that doesn't fit the schema (cut, of a newer format, with a rank of 0 or an AP of 1e300) is named in `problems`
and left out.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from ..datasets import ReidkitError, Tracklet, UsageError
from ..datasets.files import sync_folder
from ..datasets.names import RESERVED, check_name
from ..datasets.schema import decode_json, read_bytes
from ..datasets.text import printable
from .environment import Environment
from .openset import OpenSet
from .origin import Count, Origin, Percent
from .ranking import Scores

FORMAT = 1
FIX = "Delete it and run that cell again."

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Label = Annotated[str, Meta(min_length=1, max_length=500)]
Scalar = bool | Integer | float | str | None
Flat = Scalar | list[Scalar] | dict[str, Scalar]
Setting = Scalar | list[Flat] | dict[str, Flat]  # no deeper: whoever prints a recipe need not fear its nesting


@dataclass(frozen=True, slots=True)
class QueryRow:
    """What one query found.

    Attributes:
        query: the tracklet's id.
        ap: average precision in percent.
        rank: of the first true match, from 1.
        top: ids of the nearest tracklets, the nearest first, removed ones left out.
        split: of a protocol with several.
    """

    query: str
    identity: Integer
    ap: Percent
    rank: Annotated[int, Meta(ge=1, le=2**62)]
    top: list[str]
    split: Count = 0


@dataclass(frozen=True, slots=True)
class PairRow:
    """Queries of one camera against the entries of another alone; figures in percent."""

    query_camera: Integer
    gallery_camera: Integer
    mAP: Percent
    R1: Percent
    queries: Annotated[int, Meta(ge=1, le=2**62)]
    split: Count = 0


@dataclass(frozen=True, slots=True)
class PointRow:
    """`openset.OperatingPoint` of one bound on the false-positive rate; the reason is "" where nothing is missing."""

    fpr: Annotated[float, Meta(gt=0, lt=1)]
    tpr: Percent | None
    threshold: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenSetRow:
    """All ranked pairs of one split as an open set."""

    positives: Count
    negatives: Count
    points: list[PointRow]
    split: Count = 0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A result without its rows. Figures in percent; means over `splits` where a protocol has several.

    Attributes:
        model: with its variant, `cgclip/no-cmr`.
        source: of the model's code: "version 1" of a model of ours, "sha256:…" of a user's file; "" in results from
            before it was recorded.
        bench: the bench's name, or the dataset's where it was given as a path.
        sampling: how clips were taken from a tracklet at test time.
        splits: the metrics of each split; empty where there is one only.
        queries, skipped: averaged, and without a match; summed over splits.
        dataset: name, fingerprint, path, and a digest of the captions where it has some.
        seconds: of training and test.
        weights: those that were tested, one a split; empty in results from before it was recorded.
        open_set: figures over all pairs, one a split; empty in results from before they were taken.
        created: UTC, ISO 8601.
    """

    model: Label
    size: Label
    bench: Label
    protocol: Label
    protocol_version: Annotated[int, Meta(ge=1, le=2**31)]
    sampling: Label
    metric: Label
    rerank: bool
    metrics: Annotated[dict[str, Percent], Meta(min_length=1)]
    splits: list[dict[str, Percent]]
    queries: Count
    skipped: Count
    dataset: dict[str, str]
    recipe: dict[str, Setting]
    seed: Integer
    environment: Environment
    command: str
    seconds: Annotated[float, Meta(ge=0)]
    created: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")] = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    source: str = ""
    weights: list[Origin] = field(default_factory=list)
    open_set: list[OpenSetRow] = field(default_factory=list)
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """The dataset's; of several splits the sha256 over theirs."""
        return self.dataset["fingerprint"]


@dataclass(frozen=True, kw_only=True)
class Result(Summary):
    """One model, tested on one bench; `per_query` and `camera_pairs` may be empty."""

    per_query: list[QueryRow]
    camera_pairs: list[PairRow] = field(default_factory=list)


@dataclass(frozen=True)
class Problem:
    """A file that was left out; `reason` is a sentence that names it."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Entry:
    """A stored result without its rows; `read_result(entry.path)` has them."""

    path: Path
    summary: Summary


class ResultStore:
    """The results below a folder. Each file's summary is read once, however often `find` is called.

    Files that others add in the meantime are found, and a file that was replaced is read again.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        self._read: dict[Path, tuple[tuple[int, int], Entry | Problem]] = {}

    def find(self, bench: str, model: str) -> tuple[list[Entry], list[Problem]]:
        """The results of a model (`cgclip/no-cmr`) on a bench, the oldest first, and the files that are none."""
        found = [self._entry(path) for path in sorted((self.root / bench / model).glob("*.json")) if _visible(path)]
        entries = [e for e in found if isinstance(e, Entry) and (e.summary.bench, e.summary.model) == (bench, model)]
        entries.sort(key=lambda e: e.summary.created)
        return entries, [e for e in found if isinstance(e, Problem)]

    def load(self) -> tuple[list[Result], list[Problem]]:
        """All results, whole, the oldest first, and the files that are none. An absent folder holds nothing."""
        results, problems = [], []
        for path in sorted(self.root.rglob("*.json")):
            parts = path.relative_to(self.root).parts
            if len(parts) < 3 or parts[0] in RESERVED or not all(_visible(Path(part)) for part in parts):
                continue
            try:
                results.append(read_result(path))
            except ReidkitError as error:
                problems.append(Problem(path, str(error)))
        results.sort(key=lambda r: (r.created, r.model, r.seed))
        return results, problems

    def _entry(self, path: Path) -> Entry | Problem:
        try:
            about = path.stat()
            state = about.st_mtime_ns, about.st_size
        except OSError as error:
            return Problem(path, f"'{path}' can't be read ({error.strerror}). {FIX}")
        known = self._read.get(path)
        if known is None or known[0] != state:
            try:
                made: Entry | Problem = Entry(path, _decoded(read_bytes(path, FIX), Summary, f"'{path}'"))
            except ReidkitError as error:
                made = Problem(path, str(error))
            known = self._read[path] = state, made
        return known[1]


def open_store(root: Path | str) -> ResultStore:
    """The store at `root`: the same object whenever this process asks, so that no file's summary is read twice."""
    return _store(Path(root).absolute())


@functools.cache
def _store(root: Path) -> ResultStore:
    return ResultStore(root)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def load_results(root: Path | str) -> tuple[list[Result], list[Problem]]:
    """All results below `root`, oldest first, and the files that are none. A folder that isn't there holds nothing."""
    return ResultStore(root).load()


def read_result(path: Path | str) -> Result:
    """One result file.

    Raises:
        UsageError: it can't be read, or doesn't fit the schema: a sentence that names the file and the place in it.
    """
    return _decoded(read_bytes(path, FIX), Result, f"'{path}'")


R = TypeVar("R", bound=Summary)


@dataclass(frozen=True)
class _Format:
    format: Annotated[int, Meta(ge=1)]


def _decoded(data: bytes, kind: type[R], what: str, fix: str = FIX) -> R:
    found = decode_json(data, _Format, what, "It is no result of reidkit, or was cut: delete it.")
    if found.format > FORMAT:
        raise UsageError(f"{what} has format {found.format}; this reidkit reads up to {FORMAT}. Update reidkit.")
    made = decode_json(data, kind, what, fix)
    if "fingerprint" not in made.dataset:
        raise UsageError(f"{what} can't be used: it has no dataset.fingerprint. {fix}")
    for name, value in (("model", made.model), ("bench", made.bench)):
        if value.startswith("/") or ".." in value.split("/"):
            raise UsageError(f"{what} can't be used: {name} '{printable(value)}' names no folder. {fix}")
    return made


def run_id(result: Result) -> str:
    """`20261123T101500-s0-1f2e3d4c`: when, which seed, and the start of the sha256 over the record."""
    when = re.sub(r"[^0-9T]", "", result.created[:19])
    digest = hashlib.sha256(json.dumps(_plain(result), sort_keys=True).encode()).hexdigest()[:8]
    return f"{when}-s{result.seed}-{digest}"


def _plain(result: Result) -> dict[str, object]:
    """The result as JSON's own types.

    Raises:
        TypeError: a value of another type.
    """

    def number(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} is no type that JSON has")

    return msgspec.to_builtins(result, enc_hook=number)


def check_names(bench: str, model: str) -> None:
    """Whether a result of that model (`cgclip/no-cmr`) on that bench has a place in the store. Ask before any work.

    Raises:
        UsageError: a name that can't be a folder's, or that no table would read (`datasets.names`).
    """
    check_name(bench, "name of a bench in the result store")
    for part in model.split("/"):
        check_name(part, "name of a model in the result store")


def save_result(root: Path | str, result: Result) -> Path:
    """Writes the result under a name that is not taken, whole or not at all; returns the path.

    Raises:
        ReidkitError: the record would not be read back (a NaN, a missing figure, a name of no folder), or the folder
            can't be written.
    """
    check_names(result.bench, result.model)
    what = f"The result of '{result.model}' on '{result.bench}'"
    try:
        text = json.dumps(_plain(result), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        data = text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ReidkitError(f"{what} can't be stored: {printable(str(error))}.") from None
    _decoded(data, Result, what, "It was not stored.")
    folder = Path(root) / result.bench / result.model
    name = run_id(result)
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _add(temporary, data, folder, name)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ReidkitError(
            f"Cannot write a result to '{folder}': {error.strerror or error}. Choose a folder you may write to."
        ) from error


def _add(temporary: Path, data: bytes, folder: Path, name: str) -> Path:
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    for attempt in range(1000):
        path = folder / (f"{name}.json" if not attempt else f"{name}-{attempt + 1}.json")
        try:
            os.link(temporary, path)  # unlike a rename, a link never takes the place of a file
        except FileExistsError:
            continue
        sync_folder(folder)
        return path
    raise ReidkitError(f"'{folder / name}' is there a thousand times. Clear the folder of copies.")


def query_rows(scores: Scores, tracklets: Sequence[Tracklet], split: int = 0) -> list[QueryRow]:
    """`scores.per_query` as a result holds it; row i of the scored features is `tracklets[i]`."""
    return [
        QueryRow(
            tracklets[q.index].id,
            tracklets[q.index].identity,
            round(q.ap, 4),
            q.rank,
            [tracklets[i].id for i in q.top],
            split,
        )
        for q in scores.per_query
    ]


def pair_rows(scores: Scores, split: int = 0) -> list[PairRow]:
    """`scores.camera_pairs` as a result holds it."""
    return [PairRow(p.query_camera, p.gallery_camera, p.mAP, p.R1, p.queries, split) for p in scores.camera_pairs]


def open_set_row(found: OpenSet, split: int = 0) -> OpenSetRow:
    """`scores.pairs` as a result holds it."""
    points = [PointRow(p.fpr, p.tpr, p.threshold, p.reason) for p in found.points]
    return OpenSetRow(found.positives, found.negatives, points, split)
