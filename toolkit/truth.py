"""The build's own scores, where ground truth is there: detection, tracking, purity and completeness of the links.

    source = score_source(truth_boxes(path), extracted, spans)     # one source
    links = score_links(identity, truth, camera, event)            # all

Boxes are matched at an intersection over union of 0.5. Annotated people of whom less than `VISIBLE` is seen need not be
found, and a box on them is no mistake. IDF1 (arXiv 1609.01775) and HOTA (arXiv 2009.07736) come from `trackers`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment
from supervision import box_iou_batch

from ..datasets.mot import read_people
from .footage import Extracted
from .pieces import SourceWork
from .track import BOX

IOU = 0.5
VISIBLE = 0.3
MAJORITY = 0.5  # share of a tracklet's boxes that must lie on people at all, or it shows nobody


@dataclass(frozen=True)
class SourceScore:
    """Scores of one source.

    Attributes:
        truth: tracklet id -> the identity that most of its boxes lie on; None where most lie on nobody.
        pure: tracklet id -> (boxes on that identity, boxes on anybody).
        detection: true, false and missed boxes. identity, hota: what `trackers` returns, for adding up sources.
    """

    truth: dict[str, int | None]
    pure: dict[str, tuple[int, int]]
    detection: dict[str, int]
    identity: dict
    hota: dict


def truth_boxes(path: Path) -> pl.DataFrame:
    """The people of a MOTChallenge annotation: frame (from 0), id, x1, y1, x2, y2 (pixels), visibility (0..1).

    Raises:
        UsageError: the file can't be read, or a line of it is no such line.
    """
    rows = [(p.frame - 1, p.id, p.x, p.y, p.x + p.width, p.y + p.height, p.visibility) for p in read_people(path)]
    schema = {"frame": pl.Int64, "id": pl.Int64, **dict.fromkeys(BOX, pl.Float64), "visibility": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def score_source(
    truth: pl.DataFrame, extracted: Extracted, spans: list[tuple[str, int, float, float]], confidence: float
) -> SourceScore:
    """Compares one source's detections and tracks with its annotation.

    Args:
        truth: `truth_boxes` of the source.
        spans: of each tracklet after cutting: id, track, first and last second.
        confidence: detections below are not counted.
    """
    from trackers.eval import compute_hota_metrics, compute_identity_metrics

    people = _by_frame(truth, ["id", "visibility"])
    # A frame that was not read can't be held against the detector.
    looked = extracted.detections["frame"].unique().sort().to_list() or sorted(people)
    found = _by_frame(extracted.detections.drop_nulls("x1").filter(pl.col("confidence") >= confidence), [])
    tracks = _by_frame(extracted.tracks.with_columns(pl.col("track").cast(pl.Int64)), ["track", "time"])
    nothing = np.zeros((0, 6))
    detection = {"true": 0, "false": 0, "missed": 0}
    truth_ids, track_ids, similarity = [], [], []
    on: dict[int, list[tuple[float, int]]] = {}
    for frame in looked:
        here = people.get(frame, nothing)
        boxes, visible = here[:, :4], here[:, 5] >= VISIBLE if len(here) else np.zeros(0, bool)
        seen = found.get(frame, nothing)[:, :4]
        pairs = match(boxes, seen, visible)
        hits = sum(visible[i] for i, _ in pairs)
        detection["true"] += int(hits)
        detection["missed"] += int(visible.sum() - hits)
        detection["false"] += len(seen) - len(pairs)
        rows = tracks.get(frame, nothing)
        pairs = match(boxes, rows[:, :4], visible)
        for i, j in pairs:
            on.setdefault(int(rows[j, 4]), []).append((float(rows[j, 5]), int(here[i, 4])))
        excused = {j for i, j in pairs if not visible[i]}
        keep = [j for j in range(len(rows)) if j not in excused]
        truth_ids.append(here[visible, 4].astype(int) if len(here) else np.zeros(0, int))
        track_ids.append(rows[keep, 4].astype(int))
        similarity.append(box_iou_batch(boxes[visible], rows[keep, :4]).astype(np.float64))
    named, pure = _whom_they_show(extracted.tracks, on, spans)
    return SourceScore(
        named,
        pure,
        detection,
        compute_identity_metrics(truth_ids, track_ids, similarity, threshold=IOU),
        compute_hota_metrics(truth_ids, track_ids, similarity),
    )


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


def _by_frame(table: pl.DataFrame, extra: list[str]) -> dict[int, np.ndarray]:
    """frame -> rows [n, 4 + len(extra)] of box and extra columns; padded to six columns."""
    columns = [pl.col(name).cast(pl.Float64) for name in (*BOX, *extra)]
    found = {}
    for (frame,), group in table.sort("frame", maintain_order=True).group_by("frame", maintain_order=True):
        values = group.select(columns).to_numpy()
        found[int(frame)] = np.pad(values, ((0, 0), (0, 6 - values.shape[1])))
    return found


def match(truth: np.ndarray, found: np.ndarray, visible: np.ndarray) -> list[tuple[int, int]]:
    """One-to-one pairs (truth, found) at IoU >= 0.5 with the greatest sum; the well visible people choose first."""
    if not len(truth) or not len(found):
        return []
    overlap = box_iou_batch(truth, found).astype(np.float64)
    # + 1 for an admissible pair: as many as can be; + 1 for a visible person.
    worth = np.where(overlap >= IOU, overlap + 1 + visible[:, None], 0.0)
    rows, columns = linear_sum_assignment(-worth)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if worth[i, j] > 0]


def summarise(scores: list[SourceScore]) -> dict[str, float | int | None]:
    """Shares in 0..1 over all annotated sources, None where there was nothing to get right; purity is per box."""
    from trackers.eval import aggregate_hota_metrics, aggregate_identity_metrics

    counts = {name: sum(s.detection[name] for s in scores) for name in ("true", "false", "missed")}
    pure = [pair for s in scores for pair in s.pure.values()]
    return {
        "sources": len(scores),
        "detection_recall": _share(counts["true"], counts["true"] + counts["missed"]),
        "detection_precision": _share(counts["true"], counts["true"] + counts["false"]),
        "idf1": round(float(aggregate_identity_metrics([s.identity for s in scores])["IDF1"]), 4),
        "hota": round(float(aggregate_hota_metrics([s.hota for s in scores])["HOTA"]), 4),
        "tracklet_purity": _share(sum(a for a, _ in pure), sum(b for _, b in pure)),
        "tracklets_on_nobody": sum(value is None for s in scores for value in s.truth.values()),
    }


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
    annotated: Mapping[str, pl.DataFrame],
    confidence: float,
    shared_ids: bool,
) -> tuple[dict[str, float | int | None] | None, dict[str, int | None]]:
    """Scores of a whole build, and the annotated identity of each tracklet.

    Args:
        tracklets: columns id, source, local, start, end, identity, camera, event; after cutting and linking.
        annotated: key of a source -> its true boxes (`truth_boxes`), of the sources that have any.
        confidence: detections below are not counted.
        shared_ids: an annotated id means one person in all sources, as where a file beside the footage says who the
            ids are; elsewhere it holds for its own source only, and says nothing about links.

    Returns:
        `summarise` and `score_links` in one, None where nothing is annotated; and tracklet id -> identity, None where
        a tracklet shows nobody.
    """
    scores: list[SourceScore] = []
    who: dict[str, int | None] = {}
    for work in works:
        source = work.take.source
        mine = tracklets.filter(source=source.key)
        if shared_ids:  # annotated tracklets are right in themselves: only their links can be wrong
            ids = dict(work.extracted.tracklets.drop_nulls("truth").select("tracklet", "truth").iter_rows())
            who |= {name: ids[local] for name, local in mine.select("id", "local").iter_rows() if local in ids}
        if source.key not in annotated:
            continue
        spans = [(r["id"], int(r["local"]), r["start"], r["end"]) for r in mine.iter_rows(named=True)]
        scores.append(score_source(annotated[source.key], work.extracted, spans, confidence))
        who |= scores[-1].truth
    if not who:
        return None, who
    known = tracklets.filter(pl.col("id").is_in([name for name, value in who.items() if value is not None]))
    links = score_links(
        known["identity"].to_numpy(),
        np.array([who[name] for name in known["id"].to_list()], np.int64),
        known["camera"].to_numpy(),
        known["event"].to_numpy(),
    )
    return (summarise(scores) if scores else {}) | links, who


def _share(part: float, whole: float) -> float | None:
    """None where there was nothing to get right."""
    return round(part / whole, 4) if whole else None
