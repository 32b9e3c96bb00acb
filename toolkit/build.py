"""From raw footage to a dataset: `reidkit build-dataset RAW -o OUT`, stage by stage.

    outcome = build(Path("raw"), Path("out"), BuildSettings(), detector, embedder)

Decoding, detecting, cropping and embedding leave their results under OUT/.work, each in a file named after all that its
content depends on. The same command after a kill takes up what is finished, a command with other settings what it has
in common; linking and dividing take seconds and are always done anew. OUT/dataset.json comes last. It holds no time and
no path of the machine: a build that was killed and run again ends in the same bytes as one that wasn't.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from ..datasets import JUNK, LossError, ReidkitError, UsageError
from ..datasets.files import write_json
from ..datasets.format import CROPS, DECISIONS, FRAMES, MANIFEST, TRACKLETS
from ..datasets.progress import say
from ..training import weights
from . import truth as scoring
from .boxes import box_source, settled
from .detect import Detector
from .embed import Embedder, embed_source
from .events import EventSettings, Proposals, SourceWork, propose
from .footage import Extracted, extract_take
from .manifest import counts, write_attributes, write_manifest, write_tables
from .settings import FootageSettings
from .sheets import write_sheets
from .sources import Discovery, discover
from .split import SplitSettings, assign
from .video import Take, probe
from .work import source_slug, work_key

WORK = ".work"
MARK = "build.json"
SHEET = "contact-sheet.jpg"
SINGLE, MULTI = "single-camera-views", "video-reid"
# Raised when the same footage and settings give another dataset than before.
REVISION = 1
# An only camera's take is divided into views of about so many seconds.
VIEW_SECONDS, FEWEST_VIEWS, MOST_VIEWS = 10.0, 2, 6


@dataclass(frozen=True)
class BuildSettings:
    """Everything that decides a build beside the footage and the two models."""

    name: str = ""  # "": the output folder's
    protocol: Literal["auto", "video-reid", "single-camera-views"] = "auto"
    footage: FootageSettings = field(default_factory=FootageSettings)
    event: EventSettings = field(default_factory=EventSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    max_loss: float = 0.05  # share of the frames that may fail to decode

    def __post_init__(self) -> None:
        if not 0 <= self.max_loss <= 1:
            raise UsageError(f"--max-loss {self.max_loss} is out of range: give a share between 0 and 1.")


@dataclass(frozen=True)
class Outcome:
    """manifest: as written. lost: share of the frames that did not decode. sheets: the contact sheet's pages."""

    manifest: dict
    lost: float
    sheets: list[Path]

    def raise_for_loss(self, allowed: float) -> None:
        """Raises LossError where more was lost than allowed; the dataset is there nevertheless."""
        if self.lost > allowed:
            raise LossError(
                f"The dataset is built, but {self.lost:.1%} of the frames could not be decoded and --max-loss allows "
                f"{allowed:.1%}. Mend the footage, or allow more."
            )


def build(
    raw: Path,
    out: Path,
    settings: BuildSettings,
    load_detector: Callable[[int | None], Detector],
    load_embedder: Callable[[int | None], Embedder],
    workers: int = 1,
) -> Outcome:
    """Builds the dataset, or finishes it.

    Args:
        load_detector, load_embedder: called with a number of threads (None: all); picklable where `workers` > 1.
        workers: processes, each with a source at a time.

    Raises:
        MissingWeights: the detector's or the embedder's weights are not on this machine; both are named at once.
        UsageError: no footage, an output folder that holds something else, or review decisions on another build.
        ReidkitError: nobody was found, or the output can't be written.
    """
    found = discover(raw)
    if out.resolve() == raw.resolve() or raw.resolve() in out.resolve().parents:
        raise UsageError(f"The output '{out}' lies in the footage's folder '{raw}'. Choose a folder beside it.")
    _refuse_other(out)
    # What can go wrong for want of a file goes wrong before anything is written.
    load_once = cache(partial(load_detector, None))
    boxes = [box_source(source, load_once) for source in found.sources]
    detector, embedder = weights.together(
        lambda: next((one.detector for one in boxes if one.detector), None), lambda: load_embedder(None)
    )
    settings = replace(settings, footage=settled(settings.footage, detector))
    takes = [probe(source) for source in found.sources]
    for note in found.notes:
        say(note)
    with _claim(out):
        facts = [_identity_of(take) for take in takes]
        key = work_key(REVISION, _settings_facts(settings, detector, embedder), facts)
        _invalidate(out, key)
        if workers > 1 and len(takes) > 1:
            _extract_in_pool(takes, settings, load_detector, out, workers)
        works = []
        for take, its_boxes in zip(takes, boxes, strict=True):
            extracted = extract_take(take, its_boxes, settings.footage, out / WORK, out / CROPS)
            works.append(_embed(take, extracted, embedder, out))
        return _finish(found, works, settings, detector, embedder, key, out)


def _finish(
    found: Discovery,
    works: list[SourceWork],
    settings: BuildSettings,
    detector: Detector | None,
    embedder: Embedder,
    key: str,
    out: Path,
) -> Outcome:
    """Everything after the sources' own stages: linking, dividing, scores, tables, manifest."""
    notes = list(found.notes)
    people = sum(len(work.extracted.tracklets) for work in works)
    if not people:
        boxes = sum(work.extracted.counts.get("boxes", 0) for work in works)
        raise ReidkitError(
            f"Nobody could be followed in the footage ({len(works)} videos, {boxes} boxes of people). "
            f"People must be {settings.footage.min_height:.0f} pixels tall and be seen for "
            f"{settings.footage.min_length:g} s; or try another --detector."
        )
    notes += [f"Nobody was followed in '{w.take.source.key}'." for w in works if not len(w.extracted.tracklets)]
    by_event: dict[str, list[SourceWork]] = {}
    for work in works:
        by_event.setdefault(work.take.source.event, []).append(work)
    alone = all(len(group) == 1 for group in by_event.values())
    single = found.single_camera or alone if settings.protocol == "auto" else settings.protocol == SINGLE
    proposals: dict[str, Proposals] = {}
    for event, group in by_event.items():
        views = 1
        if single and len(group) == 1:
            views = int(np.clip(round(group[0].take.duration / VIEW_SECONDS), FEWEST_VIEWS, MOST_VIEWS))
        proposals[event] = propose(group, settings.event, views)
        say(f"{event}: {_linked(proposals[event])}")
    table = _number(pl.concat([p.tracklets for p in proposals.values()]))
    frames = pl.concat([p.frames for p in proposals.values()])
    scores, who = _score(works, table, settings, found.identities is not None)
    table = table.with_columns(truth=pl.Series([who.get(name) for name in table["id"].to_list()], dtype=pl.Int64))
    table, by = assign(table, settings.split)
    notes += _split_notes(table, by, single)
    attributes = _attributes(found.identities, table)

    write_tables(out, table, frames)
    write_attributes(out, attributes)
    sheets = write_sheets(out, out / SHEET, pl.read_parquet(out / TRACKLETS), pl.read_parquet(out / FRAMES))
    total = _totals(works)
    lost = total.get("frames_lost", 0) / max(total.get("frames_expected", 0), 1)
    manifest = write_manifest(
        out,
        {
            "name": settings.name or out.resolve().name,
            "protocol": SINGLE if single else MULTI,
            "counts": counts(table),
            "losses": total | _sum([p.counts for p in proposals.values()]),
            "split": {"by": by, "test_share": settings.split.test_share, "seed": settings.split.seed},
            "scores": scores,
            "linking": {event: _rounded(asdict(p.calibration)) for event, p in proposals.items()},
            "settings": _settings_facts(settings, detector, embedder),
            "sources": [_source_facts(work) for work in works],
            "notes": notes,
            "build": key,
        },
    )
    return Outcome(manifest, lost, sheets)


def _refuse_other(out: Path) -> None:
    """Raises UsageError where the output is a file, or a folder that holds something else than a build."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file; give a folder as output, new, empty, or of an earlier build.")
    mark = out / WORK / MARK
    if out.is_dir() and not mark.is_file() and not (out / MANIFEST).is_file():
        here = sorted(path.name for path in out.iterdir() if path.name != WORK)
        if here:
            raise UsageError(
                f"'{out}' holds something else ('{here[0]}'). Give a new or empty folder, or that of an earlier build."
            )


@contextmanager
def _claim(out: Path) -> Iterator[None]:
    """Makes the output folder ours while it lasts: marked as a build, and locked against a second one.

    Raises:
        UsageError: another build is at work in it.
        ReidkitError: it can't be written.
    """
    mark = out / WORK / MARK
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        lock = open(mark.with_name("lock"), "a")  # noqa: SIM115 - held open for as long as the build lasts
    except OSError as error:
        raise ReidkitError(
            f"Cannot write '{out}': {error.strerror or error}. Choose a folder you may write to, with free space."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"Another build is at work in '{out}'. Wait for it, or choose another folder.") from None
        if not mark.is_file():
            write_json(mark, {"tool": "reidkit build-dataset"})
        for left in sorted(out.rglob(".*.tmp")):  # half-written by a build that was killed
            left.unlink()
        yield


def _invalidate(out: Path, key: str) -> None:
    """Takes away the manifest of a build with other settings, before anything it speaks of changes.

    Raises:
        UsageError: a person has reviewed that build.
    """
    path = out / MANIFEST
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8")).get("build")
    except (OSError, ValueError):
        before = None
    if before == key:
        return
    decisions = out / DECISIONS
    if decisions.is_file() and decisions.stat().st_size:
        raise UsageError(
            f"'{out}' holds review decisions on a build with other settings or footage. Build into another folder."
        )
    path.unlink()


def _extract_in_pool(
    takes: list[Take],
    settings: BuildSettings,
    load_detector: Callable[[int | None], Detector],
    out: Path,
    workers: int,
) -> None:
    """Runs the sources' own stages in processes; what they leave on the disk is then read back in order."""
    workers = min(workers, len(takes))
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_plain_progress) as pool:
        jobs = [pool.submit(_extract_alone, take, settings.footage, load_detector, threads, out) for take in takes]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _plain_progress() -> None:
    """Several bars of several processes would overwrite each other."""
    from rich.console import Console

    from ..datasets import progress

    progress.console = Console(stderr=True, highlight=False, force_terminal=False)


def _extract_alone(
    take: Take,
    settings: FootageSettings,
    load_detector: Callable[[int | None], Detector],
    threads: int,
    out: Path,
) -> None:
    boxes = box_source(take.source, partial(load_detector, threads))
    extract_take(take, boxes, settings, out / WORK, out / CROPS)


def _embed(take: Take, extracted: Extracted, embedder: Embedder, out: Path) -> SourceWork:
    """The take's work with its crops embedded; a cache of other crops or another embedder is replaced."""
    rows = extracted.frames.write_csv(float_precision=4)
    key = work_key(REVISION, take.sha256, hashlib.sha256(rows.encode()).hexdigest(), embedder.sha256)
    folder = out / WORK / "embed"
    slug = source_slug(take.source)
    stored = folder / f"{slug}-{key}.npz"
    crops = embed_source(extracted.frames, embedder, out, stored, take.source.key)
    for old in sorted(folder.glob(f"{slug}-????????????.npz")):
        if old != stored:
            old.unlink()
    return SourceWork(take, extracted, crops)


def _number(table: pl.DataFrame) -> pl.DataFrame:
    """Clusters to identities: 1, 2, ... by event and cluster; adds `identity` and `kind`, orders by event and id."""
    people = table.filter(pl.col("cluster") >= 0).select("event", "cluster").unique().sort("event", "cluster")
    people = people.with_columns(identity=pl.int_range(1, len(people) + 1, dtype=pl.Int64))
    joined = table.join(people, on=["event", "cluster"], how="left", maintain_order="left")
    return joined.with_columns(
        pl.col("identity").fill_null(JUNK),
        kind=pl.when(pl.col("cluster") >= 0).then(pl.lit("person")).otherwise(pl.lit("junk")),
    ).sort("event", "camera", "id")


def _score(
    works: list[SourceWork], table: pl.DataFrame, settings: BuildSettings, shared_ids: bool
) -> tuple[dict | None, dict[str, int | None]]:
    """Scores against ground truth (None where there is none), and tracklet -> true identity.

    Args:
        shared_ids: an annotated id means one person in all sequences, as in the simulator's; elsewhere it holds for its
            own sequence only, and says nothing about links.
    """
    scores: dict[str, scoring.SourceScore] = {}
    who: dict[str, int | None] = {}
    for work in works:
        source = work.take.source
        mine = table.filter(source=source.key)
        if shared_ids:  # annotated tracklets are right in themselves: only their links can be wrong
            ids = dict(work.extracted.tracklets.drop_nulls("truth").select("tracklet", "truth").iter_rows())
            who |= {name: ids[local] for name, local in mine.select("id", "local").iter_rows() if local in ids}
        if source.truth is None:
            continue
        spans = [(r["id"], int(r["local"]), r["start"], r["end"]) for r in mine.iter_rows(named=True)]
        annotated = scoring.truth_boxes(source.truth)
        score = scoring.score_source(annotated, work.extracted, spans, settings.footage.confidence)
        scores[source.key] = score
        who |= score.truth
    if not who:
        return None, who
    known = table.filter(pl.col("id").is_in([name for name, value in who.items() if value is not None]))
    links = scoring.score_links(
        known["identity"].to_numpy(),
        np.array([who[name] for name in known["id"].to_list()], np.int64),
        known["camera"].to_numpy(),
        known["event"].to_numpy(),
    )
    return (scoring.summarise(list(scores.values())) if scores else {}) | links, who


def _attributes(identities: Path | None, table: pl.DataFrame) -> dict[int, dict[str, object]]:
    """Identity -> the attributes of the person whom most of its crops show."""
    if identities is None:
        return {}
    try:
        known = json.loads(identities.read_text(encoding="utf-8"))["identities"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"'{identities}' can't be read as the simulator's truth ({error!r}). Mend or remove it."
        ) from None
    shown = (
        table.filter((pl.col("kind") == "person") & pl.col("truth").is_not_null())
        .group_by("identity", "truth")
        .agg(pl.col("frames").sum())
        .sort(["identity", "frames", "truth"], descending=[False, True, False])
        .unique("identity", keep="first", maintain_order=True)
    )
    pairs = shown.select("identity", "truth").iter_rows()
    return {identity: known[str(person)] for identity, person in pairs if str(person) in known}


def _split_notes(table: pl.DataFrame, by: str, single: bool) -> list[str]:
    notes = []
    if by == "test":
        notes.append(
            "Test set only: one event can't be divided without sharing its videos. "
            "Add another event, or divide the identities with --split identity."
        )
    if by == "identity":
        notes.append("Train and test share source videos: identities were divided, not events.")
    if single:
        notes.append("Views are parts of one camera's footage: scores don't compare with those across cameras.")
    if not len(table.filter(role="query")):
        notes.append("No queries: no test identity was seen by two cameras.")
    return notes


def _linked(proposal: Proposals) -> str:
    people = proposal.tracklets.filter(pl.col("cluster") >= 0)
    junk = len(proposal.tracklets) - len(people)
    found = people["cluster"].n_unique() if len(people) else 0
    return f"{len(people)} tracklets of {found} people, {junk} junk"


def _settings_facts(settings: BuildSettings, detector: Detector | None, embedder: Embedder) -> dict:
    """For the manifest: all settings, and the models by name and sha256."""
    return {
        **asdict(replace(settings, name="")),
        "detector": {"name": detector.name, "sha256": detector.sha256} if detector else None,
        "embedder": {"name": embedder.name, "sha256": embedder.sha256},
    }


def _source_facts(work: SourceWork) -> dict:
    take, source = work.take, work.take.source
    return {
        "event": source.event,
        "camera": source.camera,
        "kind": source.layout,
        "file": source.path.name,
        "sha256": take.sha256,
        "width": take.width,
        "height": take.height,
        "fps": round(take.fps, 4),
        "seconds": round(take.duration, 3),
        "offset": source.offset,
        **work.extracted.counts,
    }


def _identity_of(take: Take) -> list:
    """What of a take decides the dataset."""
    source = take.source
    lines = source.annotation or source.truth
    digest = hashlib.sha256(lines.read_bytes()).hexdigest() if lines else None
    return [source.event, source.camera, source.layout, take.sha256, source.offset, source.fps, digest, source.ignore]


def _totals(works: list[SourceWork]) -> dict[str, int]:
    return _sum([work.extracted.counts for work in works])


def _sum(tables: list[dict[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: sum(table.get(name, 0) for table in tables) for name in names}


def _rounded(values: dict) -> dict:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
