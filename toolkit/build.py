"""From raw footage to a dataset: `reidkit build-dataset RAW -o OUT`, stage by stage.

    outcome = build(Path("raw"), Path("out"), BuildSettings(), load_detector, load_embedder)

Decoding, detecting, cropping and embedding leave their results under OUT/.work, each in a file named after all that its
content depends on. The same command after a kill takes up what is finished, a command with other settings what it has
in common; linking and dividing take seconds and are always done anew. OUT/dataset.json comes last. It holds no time and
no path of the machine: a build that was killed and run again ends in the same bytes as one that wasn't.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from msgspec import Meta

from ..datasets import JUNK, LossError, ReidkitError, UsageError
from ..datasets.cores import usable_cores
from ..datasets.decisions import open_decisions
from ..datasets.fields import check_fields
from ..datasets.files import sha256_file
from ..datasets.format import CROPS, DECISIONS, FRAMES, MANIFEST, TRACKLETS
from ..datasets.manifest import FIX, SamePerson
from ..datasets.names import check_name
from ..datasets.processes import run_in_processes
from ..datasets.progress import say
from ..datasets.rights import Rights
from ..datasets.schema import read_json
from ..datasets.truth import read_truth
from ..training import weights
from .at_once import one_thread_a_call
from .attributes import of_identities, write_attributes
from .boxes import box_source, settled
from .detect import Detector
from .discover import Discovery, discover
from .embed import Embedder, embed_source
from .events import Proposals, propose
from .floor.picture import write_picture
from .folder import WORK, claim, forget_former, invalidate, is_current, log_digest, refuse_other
from .footage import Extracted, extract_take
from .linking import returning
from .manifest import counts, write_manifest, write_tables
from .mcbyte import require_masks
from .pieces import SourceWork
from .rebuild import earlier, write_carried
from .review.constraints import Reviewed
from .settings import EventSettings, FootageSettings
from .sheets import write_sheets
from .source_settings import CONFIG
from .split import SplitSettings, assign, division_facts, split_notes
from .track import MCBYTE
from .truth import Figures, score_build, truth_boxes
from .video import Take, probe
from .work import source_slug, work_key

SHEET = "contact-sheet.jpg"
FLOOR = "floor.jpg"
SINGLE, MULTI = "single-camera-views", "video-reid"
SINGLE_NOTE = "Views are parts of one camera's footage: scores don't compare with those across cameras."
# Raised when the same footage and settings give another dataset than before.
REVISION = 4
# An only camera's take is divided into views of about so many seconds (`pieces.view_ends`).
VIEW_SECONDS, FEWEST_VIEWS, MOST_VIEWS = 10.0, 2, 6

Protocol = Literal["auto", "video-reid", "single-camera-views"]
# Called with a number of threads, or None for all cores.
LoadDetector = Callable[[int | None], Detector]
LoadEmbedder = Callable[[int | None], Embedder]


@dataclass(frozen=True)
class BuildSettings:
    """Everything that decides a build beside the footage and the two models.

    Attributes:
        name: of the dataset; "" for the output folder's.
        protocol: "auto" is "single-camera-views" where every event was filmed by one camera.
        max_loss: share of the frames that may fail to decode, 0 to 1.
    """

    name: str = ""
    protocol: Protocol = "auto"
    footage: FootageSettings = field(default_factory=FootageSettings)
    event: EventSettings = field(default_factory=EventSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    max_loss: Annotated[float, Meta(ge=0, le=1)] = 0.05

    def __post_init__(self) -> None:
        check_fields(self, "build setting")
        if self.name:
            check_name(self.name, "name of a dataset")


@dataclass(frozen=True)
class Outcome:
    """What a build left.

    Attributes:
        manifest: as written.
        lost: share of the frames that did not decode, 0 to 1.
        sheets: the contact sheet's pages.
        floor: the picture of the floors; None where none is known.
    """

    manifest: dict
    lost: float
    sheets: list[Path]
    floor: Path | None = None

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
    load_detector: LoadDetector,
    load_embedder: LoadEmbedder,
    workers: int = 1,
) -> Outcome:
    """Builds the dataset, or finishes one whose build was stopped.

    Args:
        raw: folder of the footage, as `sources.discover` reads it.
        out: folder of the dataset: new, empty, or of an earlier build.
        load_detector: makes the detector; picklable where `workers` > 1. Not called where all footage is annotated.
        load_embedder: makes the embedder.
        workers: number of processes; each takes one source after another through decoding, detection and cropping.

    Raises:
        MissingWeights: the detector's or the embedder's weights are not on this machine; both are named at once.
        UsageError: no footage, the same footage twice, an output folder that holds something else, one event where
            division by event is asked for, review decisions on another build, or somebody is reviewing it.
        ReidkitError: nobody was found, or the output can't be written.
    """
    if workers < 1:
        raise UsageError(f"{workers} workers are too few: give 1 or more.")
    if settings.footage.tracker == MCBYTE:
        require_masks()
    found = discover(raw)
    _check_place(raw, out)
    settings = replace(settings, name=settings.name or check_name(out.resolve().name, "name of a dataset"))
    settings.split.decided({source.event for source in found.sources})
    known = read_truth(found.identities).identities if found.identities else {}
    annotated = {source.key: truth_boxes(source.truth) for source in found.sources if source.truth}
    load_once = cache(lambda: one_thread_a_call(load_detector(None)))
    embed_once = cache(lambda: one_thread_a_call(load_embedder(None)))
    threads = usable_cores()
    boxes = [box_source(source, load_once, embed_once, threads) for source in found.sources]
    detector, embedder = weights.together(
        lambda: next((one.detector for one in boxes if one.detector), None), embed_once
    )
    settings = replace(settings, footage=settled(settings.footage, detector))
    takes = [probe(source) for source in found.sources]
    _refuse_repeated(takes)
    for note in found.notes:
        say(note)
    # What can go wrong for want of a file has gone wrong by now. From here on something is written, and no review runs.
    with claim(out), open_decisions(out):
        key = _build_key(found, takes, settings, detector, embedder)
        if is_current(out, key) and log_digest(out):
            return _as_it_is(out)
        former = invalidate(out, key)
        if workers > 1 and len(takes) > 1:
            _extract_in_processes(takes, settings.footage, load_detector, load_embedder, out, workers)
        works = []
        for take, its_boxes in zip(takes, boxes, strict=True):
            extracted = extract_take(take, its_boxes, settings.footage, out / WORK, out / CROPS, threads)
            works.append(_embed(take, extracted, embedder, out))
        _require_people(works, settings.footage)

        single = _is_single_camera(found, settings.protocol)
        # Who asks for parts gets them.
        events = settings.event if settings.footage.max_length is None else replace(settings.event, rejoin=0.0)
        before = earlier(former, works, settings.split)
        proposals = _link(works, events, divide=single, reviewed=before.reviewed)
        tracklets = pl.concat([one.tracklets for one in proposals.values()])
        shown = before.shown(proposals.values())
        tracklets = _number(tracklets, before.numbers(tracklets, shown))
        identities = _name(pl.concat([one.identities for one in proposals.values()]), tracklets)
        tracks = {key: table for one in proposals.values() for key, table in one.tracks.items()}
        scored = score_build(
            works, tracklets, tracks, annotated, settings.footage.confidence, shared_ids=found.identities is not None
        )
        same = _same_people(proposals, tracklets, settings.split.same_person)
        activities = {source.event: source.activity for source in found.sources}
        tracklets, kept = _with_truth(tracklets, scored.truth), before.kept(tracklets, shown)
        divided = assign(tracklets, settings.split, same, kept=kept, activities=activities)
        tracklets, frames = divided.table, pl.concat([one.frames for one in proposals.values()])

        write_tables(out, tracklets, frames, identities)
        carried = write_carried(out, former, before.reviewed, tracklets, frames, shown)
        own = write_attributes(out, of_identities(known, tracklets))
        sheets = write_sheets(
            out,
            out / SHEET,
            pl.read_parquet(out / TRACKLETS),
            pl.read_parquet(out / FRAMES),
            identities,
            own_folder=True,
        )
        floor = _write_floor(out / FLOOR, proposals, tracklets)
        losses = _sum(work.extracted.counts for work in works)
        manifest = write_manifest(
            out,
            {
                "name": settings.name,
                "protocol": SINGLE if single else MULTI,
                "counts": counts(tracklets),
                "losses": losses | _sum(one.counts for one in proposals.values()),
                "split": division_facts(divided, settings.split),
                "scores": scored.total,
                "linking": {event: _rounded(asdict(one.calibration)) for event, one in proposals.items()},
                "floor": {event: one.floor for event, one in proposals.items()},
                "settings": _settings_facts(settings, detector, embedder),
                "sources": [_source_facts(work, scored.by_source) for work in works],
                "same_person": [asdict(one) for one in same],
                "rights": asdict(found.rights),
                "notes": [
                    *found.notes,
                    *_empty_notes(works),
                    *split_notes(divided, same),
                    *([SINGLE_NOTE] if single else []),
                    *_own_notes(own),
                    *carried,
                    *_rights_notes(found.rights, tracklets, reviewed=(out / DECISIONS).exists()),
                ],
                "build": key,
                "reviewed": log_digest(out),
            },
        )
        forget_former(out)
    return Outcome(manifest, _share_lost(losses), sheets, floor)


def _as_it_is(out: Path) -> Outcome:
    """What the folder holds: nothing has changed, and nobody decided anything since."""
    say(f"'{out}' is this build, with nothing decided since; there is nothing to do.")
    manifest = read_json(out / MANIFEST, dict, FIX)
    pages = sorted(out.glob(f"{Path(SHEET).stem}*{Path(SHEET).suffix}"), key=lambda path: (len(path.name), path.name))
    floor = out / FLOOR
    return Outcome(manifest, _share_lost(manifest["losses"]), pages, floor if floor.is_file() else None)


def _share_lost(losses: Mapping[str, int]) -> float:
    return losses.get("frames_lost", 0) / max(losses.get("frames_expected", 0), 1)


def _check_place(raw: Path, out: Path) -> None:
    if out.resolve() == raw.resolve() or raw.resolve() in out.resolve().parents:
        raise UsageError(f"The output '{out}' lies in the footage's folder '{raw}'. Choose a folder beside it.")
    refuse_other(out)


def _refuse_repeated(takes: Sequence[Take]) -> None:
    """Raises UsageError where two sources have the same bytes.

    As two cameras or two events, one video would be found again in itself: every identity twice, and on both sides of
    the split perhaps.
    """
    first: dict[str, Take] = {}
    for take in takes:
        twin = first.setdefault(take.sha256, take)
        if twin is not take:
            raise UsageError(
                f"'{twin.source.path}' and '{take.source.path}' are the same footage, to the byte. Take one of them "
                "out of the folder."
            )


def _build_key(
    found: Discovery, takes: Sequence[Take], settings: BuildSettings, detector: Detector | None, embedder: Embedder
) -> str:
    """Stands for everything that decides the dataset but its name."""
    people = sha256_file(found.identities) if found.identities else None
    facts = [_identity_of(take) for take in takes]
    return work_key(REVISION, _settings_facts(settings, detector, embedder), facts, found.single_camera, people)


def _identity_of(take: Take) -> list:
    """What of a take decides the dataset."""
    source = take.source
    lines = source.annotation or source.truth
    digest = sha256_file(lines) if lines else None
    given = [source.offset, source.fps, digest, source.ignore, source.floor, source.activity]
    return [source.event, source.camera, source.layout, take.sha256, *given]


def _settings_facts(settings: BuildSettings, detector: Detector | None, embedder: Embedder) -> dict:
    """For the manifest: all settings, and the models by name and sha256."""
    return {
        **asdict(replace(settings, name="")),
        "detector": {"name": detector.name, "sha256": detector.sha256} if detector else None,
        "embedder": {"name": embedder.name, "sha256": embedder.sha256},
    }


def _extract_in_processes(
    takes: Sequence[Take],
    settings: FootageSettings,
    load_detector: LoadDetector,
    load_embedder: LoadEmbedder,
    out: Path,
    workers: int,
) -> None:
    """Runs the sources' own stages in processes; what they leave on the disk is then read back in order."""
    workers = min(workers, len(takes))
    threads = max(1, usable_cores() // workers)
    jobs = [(take, settings, load_detector, load_embedder, threads, out) for take in takes]
    run_in_processes(_extract_alone, jobs, workers)


def _extract_alone(
    take: Take,
    settings: FootageSettings,
    load_detector: LoadDetector,
    load_embedder: LoadEmbedder,
    threads: int,
    out: Path,
) -> None:
    boxes = box_source(
        take.source,
        lambda: one_thread_a_call(load_detector(threads)),
        lambda: one_thread_a_call(load_embedder(threads)),
        threads,
    )
    extract_take(take, boxes, settings, out / WORK, out / CROPS, threads)


def _embed(take: Take, extracted: Extracted, embedder: Embedder, out: Path) -> SourceWork:
    """The take's work with its crops embedded; a cache of other crops or another embedder is replaced."""
    rows = extracted.frames.write_csv(float_precision=4)
    known = extracted.looks[np.flatnonzero(extracted.looks.known)]
    parts = [hashlib.sha256(part).hexdigest() for part in (rows.encode(), known.tobytes())]
    key = work_key(REVISION, take.sha256, parts, embedder.sha256)
    folder = out / WORK / "embed"
    slug = source_slug(take.source)
    stored = folder / f"{slug}-{key}.npz"
    crops = embed_source(extracted.frames, extracted.looks, embedder, out, stored, take.source.key)
    for old in sorted(folder.glob(f"{slug}-????????????.npz")):
        if old != stored:
            old.unlink()
    return SourceWork(take, extracted, crops)


def _require_people(works: Sequence[SourceWork], settings: FootageSettings) -> None:
    """Raises ReidkitError where nobody was followed in any source."""
    if not any(len(work.extracted.tracklets) for work in works):
        boxes = sum(work.extracted.counts.get("boxes", 0) for work in works)
        raise ReidkitError(
            f"Nobody could be followed in the footage ({len(works)} videos, {boxes} boxes of people). "
            f"People must be {settings.min_height:.0f} pixels tall and be seen for {settings.min_length:g} s; or try "
            "another --detector."
        )


def _is_single_camera(found: Discovery, protocol: Protocol) -> bool:
    """Whether what counts as cameras are views of one camera's footage."""
    if protocol != "auto":
        return protocol == SINGLE
    events = [source.event for source in found.sources]
    return found.single_camera or len(set(events)) == len(events)


def _link(
    works: Sequence[SourceWork], settings: EventSettings, *, divide: bool, reviewed: Reviewed | None
) -> dict[str, Proposals]:
    """Event -> who is who in it. Where `divide`, the take of an event's only camera is divided into views."""
    by_event: dict[str, list[SourceWork]] = {}
    for work in works:
        by_event.setdefault(work.take.source.event, []).append(work)
    proposals = {}
    for event, group in by_event.items():
        views = 1
        if divide and len(group) == 1:
            views = int(np.clip(round(group[0].take.duration / VIEW_SECONDS), FEWEST_VIEWS, MOST_VIEWS))
        proposals[event] = propose(group, settings, views, at_once=not divide, reviewed=reviewed)
        people = proposals[event].tracklets.filter(pl.col("cluster") >= 0)
        junk = len(proposals[event].tracklets) - len(people)
        say(f"{event}: {len(people)} tracklets of {people['cluster'].n_unique()} people, {junk} junk")
    return proposals


def _number(table: pl.DataFrame, numbers: Mapping[tuple[str, int], int]) -> pl.DataFrame:
    """Clusters to identities: 1, 2, ... by event and cluster; adds `identity` and `kind`, orders by event and id.

    Args:
        numbers: (event, cluster) -> the identity that it keeps; the others get the numbers that are free.
    """
    people = table.filter(pl.col("cluster") >= 0).select("event", "cluster").unique().sort("event", "cluster")
    taken = set(numbers.values())
    free = (number for number in itertools.count(1) if number not in taken)
    found = [numbers[place] if place in numbers else next(free) for place in people.iter_rows()]
    people = people.with_columns(identity=pl.Series(found, dtype=pl.Int64))
    joined = table.join(people, on=["event", "cluster"], how="left", maintain_order="left")
    return joined.with_columns(
        pl.col("identity").fill_null(JUNK),
        kind=pl.when(pl.col("cluster") >= 0).then(pl.lit("person")).otherwise(pl.lit("junk")),
    ).sort("event", "camera", "id")


def _name(table: pl.DataFrame, tracklets: pl.DataFrame) -> pl.DataFrame:
    """The table of clusters under the identities that `_number` gave them."""
    numbers = tracklets.filter(pl.col("cluster") >= 0).select("event", "cluster", "identity").unique()
    twins = numbers.rename({"cluster": "twin", "identity": "other"})
    return (
        table.join(numbers, on=["event", "cluster"])
        .join(twins, on=["event", "twin"], how="left")
        .with_columns(twin="other")
        .sort("identity")
    )


def _write_floor(path: Path, proposals: Mapping[str, Proposals], tracklets: pl.DataFrame) -> Path | None:
    """The picture of the events whose floor is known; one of an earlier build goes where none is."""
    number = {(event, cluster): k for event, cluster, k in tracklets.select("event", "cluster", "identity").iter_rows()}
    scenes = []
    for event, one in proposals.items():
        if one.scene is not None:
            identity = [number.get((event, cluster), JUNK) for cluster in one.scene.identity.tolist()]
            scenes.append(replace(one.scene, identity=np.array(identity)))
    return write_picture(path, scenes)


def _with_truth(tracklets: pl.DataFrame, truth: Mapping[str, int | None]) -> pl.DataFrame:
    """Adds `truth`, the annotated identity of each tracklet, null where there is none."""
    return tracklets.with_columns(truth=pl.Series([truth.get(i) for i in tracklets["id"].to_list()], dtype=pl.Int64))


def _empty_notes(works: Sequence[SourceWork]) -> list[str]:
    return [f"Nobody was followed in '{w.take.source.key}'." for w in works if not len(w.extracted.tracklets)]


def _same_people(proposals: Mapping[str, Proposals], tracklets: pl.DataFrame, least: float) -> list[SamePerson]:
    """Who may stand in two events, under the numbers that `_number` gave the clusters; likeliest first."""
    rows = tracklets.filter(pl.col("cluster") >= 0).select("event", "cluster", "identity").unique().iter_rows()
    identity = {(event, cluster): number for event, cluster, number in rows}
    return [
        SamePerson(
            (identity[one.event, one.cluster], identity[one.other_event, one.other_cluster]),
            (one.event, one.other_event),
            round(one.probability, 4),
        )
        for one in returning({event: proposal.portraits for event, proposal in proposals.items()}, least)
    ]


def _own_notes(own: bool) -> list[str]:
    return [] if own else ["attributes.csv is not of this build and was kept: its identities may be those of another."]


def _rights_notes(rights: Rights, tracklets: pl.DataFrame, *, reviewed: bool) -> list[str]:
    """Of a review's identities the build knows nothing; whoever reads the dataset then refuses unknown ones."""
    people = tracklets.filter(pl.col("cluster") >= 0).select("event", "identity").unique().iter_rows()
    unknown = [] if reviewed else rights.unknown(tracklets["event"].unique().to_list(), people)
    return [f"{CONFIG} speaks of {', '.join(unknown)}, and there is no such identity."] if unknown else []


def _source_facts(work: SourceWork, scores: Mapping[str, Figures]) -> dict:
    """For the manifest; `scores` are those of the annotated sources by their keys."""
    take, source = work.take, work.take.source
    return {
        "event": source.event,
        "camera": source.camera,
        "activity": source.activity,
        "kind": source.layout,
        "file": source.path.name,
        "sha256": take.sha256,
        "width": take.width,
        "height": take.height,
        "fps": round(take.fps, 4),
        "seconds": round(take.duration, 3),
        "offset": source.offset,
        **work.extracted.counts,
        **({"scores": scores[source.key]} if source.key in scores else {}),
    }


def _sum(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of each count over all tables, in the order in which the counts first appear."""
    total: dict[str, int] = {}
    for table in tables:
        for name, value in table.items():
            total[name] = total.get(name, 0) + value
    return total


def _rounded(values: dict) -> dict:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
