"""The build's own scores, where ground truth is there: detection, final identities, raw tracklets, and links.

    scored = score_build(works, tracklets, annotated, 0.4, shared_ids=True)
    scored.total["midf1"], scored.by_source["final/east"]["idf1"], scored.truth["final--east--00001"]

The figures that count are those of the dataset: every box of the kept tracks under its tracklet's *final* identity.
Those of the raw tracklets, before they were cut and linked, are named `raw_`: there, every fragment is an id of its
own. How boxes and people are matched: `matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ..datasets.mot import read_people
from .footage import Extracted
from .matching import SLACK, Matched, identity_counts, match_boxes, people_kept
from .pieces import SourceWork
from .track import BOX

MAJORITY = 0.5  # share of a tracklet's boxes that must lie on people at all, or it shows nobody

Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class SourceScore:
    """Scores of one source.

    Attributes:
        truth: tracklet id -> the identity that most of its boxes lie on; None where most lie on nobody.
        pure: tracklet id -> (boxes on that identity, boxes on anybody).
        detection: true, false and missed boxes.
        raw: the raw tracklets' boxes, each track an id.
        final: the boxes under the final identities.
    """

    truth: dict[str, int | None]
    pure: dict[str, tuple[int, int]]
    detection: dict[str, int]
    raw: Matched
    final: Matched


@dataclass(frozen=True)
class BuildScores:
    """Scores of a whole build.

    Attributes:
        total: for the manifest; None where nothing is annotated.
        by_source: key of an annotated source -> its own final identities' figures.
        truth: tracklet id -> annotated identity, None where a tracklet shows nobody.
    """

    total: Figures | None
    by_source: dict[str, Figures]
    truth: dict[str, int | None]


def truth_boxes(path: Path) -> pl.DataFrame:
    """The people of a MOTChallenge annotation: frame (from 0), id, x1, y1, x2, y2 (pixels), visibility (0..1).

    Raises:
        UsageError: the file can't be read, or a line of it is no such line.
    """
    rows = [(p.frame - 1, p.id, p.x, p.y, p.x + p.width, p.y + p.height, p.visibility) for p in read_people(path)]
    schema = {"frame": pl.Int64, "id": pl.Int64, **dict.fromkeys(BOX, pl.Float64), "visibility": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def score_source(
    truth: pl.DataFrame,
    extracted: Extracted,
    spans: list[tuple[str, int, float, float]],
    identity: Sequence[int],
    confidence: float,
    tracks: pl.DataFrame | None = None,
) -> SourceScore:
    """Compares one source's detections, tracks and final identities with its annotation.

    Args:
        truth: `truth_boxes` of the source.
        spans: of each tracklet after cutting: id, track, first and last second.
        identity: of each tracklet; below 0 for junk.
        confidence: detections below are not counted.
        tracks: TRACK_COLUMNS that the spans' tracks are numbers of; None: those that were extracted.
    """
    looked = dict(extracted.detections.select("frame", "time").unique().sort("frame").iter_rows())
    found = extracted.detections.drop_nulls("x1").filter(pl.col("confidence") >= confidence)
    seen = match_boxes(truth, found.with_columns(id=pl.lit(0)), looked)
    hits = int(seen.pairs["visible"].sum())
    boxes = sum(map(len, seen.ids))
    raw = match_boxes(truth, extracted.tracks.with_columns(id=pl.col("track")), looked)
    tracks = extracted.tracks if tracks is None else tracks
    lie = match_boxes(truth, tracks.with_columns(id=pl.col("track")), looked).pairs
    on = {int(track): part for (track,), part in lie.group_by("id")}
    named, pure = _whom_they_show(
        tracks, {k: list(part.select("time", "person").iter_rows()) for k, part in on.items()}, spans
    )
    return SourceScore(
        named,
        pure,
        {"true": hits, "false": boxes - hits, "missed": sum(map(len, seen.people)) - hits},
        raw,
        match_boxes(truth, final_boxes(tracks, spans, identity), looked),
    )


def final_boxes(
    tracks: pl.DataFrame, spans: Sequence[tuple[str, int, float, float]], identity: Sequence[int]
) -> pl.DataFrame:
    """The boxes that carry an identity: frame, box, and id, which is the identity.

    A camera sees nobody twice at once: of an identity's boxes in one frame the most confident one carries it, and each
    further one has an id below 0, so that it counts as a box on nobody.

    Args:
        tracks: TRACK_COLUMNS of one source.
        spans: of each tracklet: id, track, first and last second. A box at the border of two lies in the later one.
        identity: of each tracklet; below 0 for junk, whose boxes are left out.
    """
    rows = [(track, start, end, int(name)) for (_, track, start, end), name in zip(spans, identity, strict=True)]
    schema = {"track": pl.Int64, "start": pl.Float64, "end": pl.Float64, "identity": pl.Int64}
    parts = pl.DataFrame(rows, schema=schema, orient="row").sort("start", maintain_order=True)
    at = tracks.with_columns(at=pl.col("time") + SLACK).sort("at", maintain_order=True)
    held = (
        at.join_asof(parts, left_on="at", right_on="start", by="track", check_sortedness=False)
        .filter(pl.col("identity") >= 0, pl.col("time") <= pl.col("end") + SLACK)
        .sort("frame", "identity", "confidence", "track", descending=[False, False, True, False])
        .with_columns(rank=pl.int_range(pl.len()).over("frame", "identity"))
    )
    most = pl.col("rank").max() + 1
    further = -(pl.col("identity") * most + pl.col("rank"))
    return held.select("frame", *BOX, id=pl.when(pl.col("rank") == 0).then(pl.col("identity")).otherwise(further))


def _whom_they_show(
    tracks: pl.DataFrame, on: dict[int, list[tuple[float, int]]], spans: list[tuple[str, int, float, float]]
) -> tuple[dict[str, int | None], dict[str, tuple[int, int]]]:
    """`SourceScore.truth` and `SourceScore.pure`.

    Args:
        tracks: TRACK_COLUMNS.
        on: track -> (second, annotated identity) of its boxes that lie on somebody.
        spans: of each tracklet: id, track, first and last second.
    """
    slack = 1e-6
    times = {int(track): part["time"].sort().to_numpy() for (track,), part in tracks.group_by("track")}
    named: dict[str, int | None] = {}
    pure: dict[str, tuple[int, int]] = {}
    for name, track, start, end in spans:
        inside = [identity for time, identity in on.get(track, []) if start - slack <= time <= end + slack]
        first, last = np.searchsorted(times[track], (start - slack, np.nextafter(end + slack, np.inf)))
        if not inside or len(inside) < MAJORITY * (last - first):
            named[name] = None
            continue
        values, counts = np.unique(inside, return_counts=True)
        named[name] = int(values[counts.argmax()])
        pure[name] = int(counts.max()), len(inside)
    return named, pure


def summarise(events: Mapping[str, Sequence[SourceScore]]) -> Figures:
    """Figures of all annotated sources: shares in 0..1, None where there was nothing to get right; purity is per box.

    Args:
        events: event -> scores of its sources, which share their identities.
    """
    scores = [score for group in events.values() for score in group]
    counts = {name: sum(s.detection[name] for s in scores) for name in ("true", "false", "missed")}
    pure = [pair for s in scores for pair in s.pure.values()]
    return {
        "sources": len(scores),
        "detection_recall": _share(counts["true"], counts["true"] + counts["missed"]),
        "detection_precision": _share(counts["true"], counts["true"] + counts["false"]),
        **event_figures([[s.final for s in group] for group in events.values()]),
        "raw_idf1": mean_idf1([[s.raw] for s in scores]),
        "raw_hota": mean_hota([s.raw for s in scores]),
        "tracklet_purity": _share(sum(a for a, _ in pure), sum(b for _, b in pure)),
        "tracklets_on_nobody": sum(value is None for s in scores for value in s.truth.values()),
    }


def event_figures(events: Sequence[Sequence[Matched]]) -> Figures:
    """Figures of boxes that carry identities, over all events.

    `midf1`: all cameras of an event as one sequence. `idf1`, `hota`: each camera a sequence of its own.
    `people_kept`: of the people visible in a frame, those on whom a box of the right identity lies (`matching.Kept`);
    `people_kept_precision`: of the boxes under an identity, those that are right. `seconds_kept`: share of the seconds
    in which a person is visible to a camera that hold such a box, as the mean over people.

    Args:
        events: the cameras of each event.
    """
    alone = [camera for cameras in events for camera in cameras]
    kept = [people_kept(cameras) for cameras in events]
    right, visible, boxes = (sum(getattr(k, name) for k in kept) for name in ("right", "visible", "boxes"))
    shares = [held / seen for k in kept for held, seen in k.seconds.values()]
    return {
        "midf1": mean_idf1(events),
        "idf1": mean_idf1([[camera] for camera in alone]),
        "hota": mean_hota(alone),
        "people_kept": _share(right, visible),
        "people_kept_precision": _share(right, boxes),
        "seconds_kept": _share(sum(shares), len(shares)),
    }


def mean_idf1(sequences: Sequence[Sequence[Matched]]) -> float:
    """IDF1 over all boxes of all sequences; each is a list of cameras that share their ids."""
    from trackers.eval import aggregate_identity_metrics

    return round(float(aggregate_identity_metrics([identity_counts(cameras) for cameras in sequences])["IDF1"]), 4)


def mean_hota(cameras: Sequence[Matched]) -> float:
    """HOTA over all cameras, each a sequence of its own."""
    from trackers.eval import aggregate_hota_metrics

    return round(float(aggregate_hota_metrics([one.hota for one in cameras])["HOTA"]), 4)


def score_links(
    identity: np.ndarray, truth: np.ndarray, camera: np.ndarray, event: np.ndarray
) -> dict[str, float | int | None]:
    """Pairs of tracklets of one event, and B-cubed (Bagga and Baldwin 1998), over tracklets that show somebody.

    Precision and recall are shares in 0..1, None where no pair was linked (precision) or is true (recall).

    Args:
        identity: [N] as linked; below 0 for junk, each of which counts as a person of its own.
        truth: [N] as annotated.
        camera, event: [N].
    """
    n = len(identity)
    event, camera = (np.unique(values, return_inverse=True)[1] for values in (event, camera))
    person = np.where(identity < 0, identity.max(initial=0) + 1 + np.arange(n), identity)
    linked, true, both = (event, person), (event, truth), (event, person, truth)
    out: dict[str, float | int | None] = {}
    for name, apart in (("link", True), ("pair", False)):
        pairs = [_pairs_alike(*key) - (_pairs_alike(*key, camera) if apart else 0) for key in (both, linked, true)]
        out[f"{name}_precision"] = _share(pairs[0], pairs[1])
        out[f"{name}_recall"] = _share(pairs[0], pairs[2])
    for name, whole in (("precision", linked), ("recall", true)):
        out[f"bcubed_{name}"] = _share(float((_group_sizes(*both) / _group_sizes(*whole)).sum()), n)
    out["identities"] = len(np.unique(identity[identity >= 0]))
    out["true_identities"] = len(set(zip(event.tolist(), truth.tolist(), strict=True)))
    return out


def _group_sizes(*keys: np.ndarray) -> np.ndarray:
    """[N] how many rows are equal to each row in all keys ([N] each)."""
    _, group, size = np.unique(np.stack(keys, 1), axis=0, return_inverse=True, return_counts=True)
    return size[group.reshape(-1)]


def _pairs_alike(*keys: np.ndarray) -> int:
    """Number of pairs of rows that are equal in all keys."""
    return int((_group_sizes(*keys) - 1).sum()) // 2


def score_build(
    works: Sequence[SourceWork],
    tracklets: pl.DataFrame,
    tracks: Mapping[str, pl.DataFrame],
    annotated: Mapping[str, pl.DataFrame],
    confidence: float,
    shared_ids: bool,
) -> BuildScores:
    """Scores of a whole build.

    Args:
        tracklets: columns id, source, local, start, end, identity, camera, event; after cutting and linking.
        tracks: key of a source -> TRACK_COLUMNS that `local` is a number of.
        annotated: key of a source -> its true boxes (`truth_boxes`), of the sources that have any.
        confidence: detections below are not counted.
        shared_ids: an annotated id means one person in all sources, as where a file beside the footage says who the
            ids are; elsewhere it holds for its own source only, and says nothing about links.
    """
    events: dict[str, list[SourceScore]] = {}
    by_source: dict[str, Figures] = {}
    who: dict[str, int | None] = {}
    people: set[tuple[str, int]] = set()
    for work in works:
        source = work.take.source
        mine = tracklets.filter(source=source.key)
        if shared_ids:  # annotated tracklets are right in themselves: only their links can be wrong
            ids = dict(work.extracted.tracklets.drop_nulls("truth").select("tracklet", "truth").iter_rows())
            who |= {name: ids[local] for name, local in mine.select("id", "local").iter_rows() if local in ids}
        if source.key not in annotated:
            continue
        spans = [(r["id"], int(r["local"]), r["start"], r["end"]) for r in mine.iter_rows(named=True)]
        identity = mine["identity"].to_list()
        score = score_source(annotated[source.key], work.extracted, spans, identity, confidence, tracks[source.key])
        events.setdefault(source.event, []).append(score)
        by_source[source.key] = event_figures([[score.final]])
        del by_source[source.key]["midf1"]
        people |= {(source.event, int(person)) for here in score.final.people for person in here}
        who |= score.truth
    if not who:
        return BuildScores(None, by_source, who)
    known = tracklets.filter(pl.col("id").is_in([name for name, value in who.items() if value is not None]))
    truth = [who[name] for name in known["id"].to_list()]
    links = score_links(
        known["identity"].to_numpy(), np.array(truth, np.int64), known["camera"].to_numpy(), known["event"].to_numpy()
    )
    # All that the build took for a person, with those who show nobody; all who were to be seen, with those not found.
    taken = tracklets.filter(pl.col("id").is_in(list(who)), pl.col("identity") >= 0)
    people |= set(zip(known["event"].to_list(), truth, strict=True))
    links |= {"identities": taken["identity"].n_unique(), "true_identities": len(people)}
    return BuildScores((summarise(events) if events else {}) | links, by_source, who)


def _share(part: float, whole: float) -> float | None:
    """None where there was nothing to get right."""
    return round(part / whole, 4) if whole else None
