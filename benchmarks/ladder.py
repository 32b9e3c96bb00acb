"""Where a build loses people: its figures when a stage is given the truth in place of what the stage before it made.

    python benchmarks/builder.py --ladder            # sports and dance; writes the ladder into benchmarks/results

Each rung is scored alike (`toolkit.truth.event_figures`). The last one is the build. What lies between two rungs is
what the stage that the lower one has and the upper one hasn't costs.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from reidkit.toolkit.boxes import DETECTION_COLUMNS, Detected, Followed
from reidkit.toolkit.camera_path import IDENTITY
from reidkit.toolkit.detect import Detector, load_detector
from reidkit.toolkit.discover import discover
from reidkit.toolkit.embed import Embedder, embed_source, load_embedder
from reidkit.toolkit.events import propose
from reidkit.toolkit.footage import extract_take
from reidkit.toolkit.looks import Looks
from reidkit.toolkit.matching import VISIBLE, Matched, match_boxes
from reidkit.toolkit.pieces import SourceWork
from reidkit.toolkit.settings import EventSettings, FootageSettings
from reidkit.toolkit.track import BOX, TRACK_COLUMNS, renumber
from reidkit.toolkit.truth import event_figures, score_build, truth_boxes
from reidkit.toolkit.video import DecodeCount, Take, probe
from reidkit.toolkit.work import source_slug

SHOWN = {
    "idf1": "IDF1",
    "hota": "HOTA",
    "midf1": "mIDF1",
    "people_kept": "people kept",
    "people_kept_precision": "precision",
    "seconds_kept": "seconds kept",
    "link_precision": "link precision",
    "link_recall": "link recall",
}
HEADER = ("set", "rung", *SHOWN.values(), "identities / true", "seconds")
TEXT = """## Where people are lost

`python benchmarks/builder.py --ladder`: the build's figures, in percent, when a stage is given the truth in place of
what the stage before it made. *True tracks, our linking*: the annotated people of whom 30 % can be seen, a track each,
cut by gaps and linked by us. *True boxes, our tracking*: their boxes without ids, through tracker, cuts and linking.
*Our detections, true ids*: the detector's boxes, each with the id of the person it lies on: the most that can be made
of them. *Our tracks, true ids*: the same of the boxes that tracking and cutting kept. *The build*: all of it.

"""


class TrueBoxes(Detected):
    """A detector that finds exactly the visible people of the annotation, and the tracker behind it."""

    def __init__(
        self, load: Callable[[], Detector], embed: Callable[[], Embedder], truth: pl.DataFrame, basis: str
    ) -> None:
        super().__init__(load, embed)
        self._truth, self._basis = truth, basis

    def _detect(
        self, take: Take, settings: FootageSettings, folder: Path
    ) -> tuple[pl.DataFrame, np.ndarray, dict[str, int], DecodeCount]:
        frames = pl.DataFrame({"frame": range(take.frame_count)})
        found = frames.join(self._truth.select("frame", *BOX), on="frame", how="left", maintain_order="left")
        table = found.with_columns(
            time=pl.col("frame") / take.fps, confidence=pl.when(pl.col("x1").is_not_null()).then(1.0)
        ).select(pl.col(name).cast(kind) for name, kind in DETECTION_COLUMNS.items())
        standing = np.tile(IDENTITY, (take.frame_count, 1, 1))
        number = {"boxes": len(self._truth), "boxes_duplicate": 0}
        return table, standing, number, DecodeCount(take.frame_count, take.frame_count, 0)

    def follow(self, take: Take, settings: FootageSettings, home: Path) -> Followed:
        followed = super().follow(take, settings, home)
        return replace(followed, basis=self._basis)


class TrueTracks(TrueBoxes):
    """The visible people of the annotation, a track each; nothing tells the linking who they are."""

    def follow(self, take: Take, settings: FootageSettings, home: Path) -> Followed:
        detections, _, number, decoded = self._detect(take, settings, home)
        columns = {"time": pl.col("frame") / take.fps, "track": pl.col("id"), "confidence": 1.0, "truth": None}
        tracks = self._truth.with_columns(**{k: v if isinstance(v, pl.Expr) else pl.lit(v) for k, v in columns.items()})
        tracks = renumber(tracks.select(pl.col(name).cast(kind) for name, kind in TRACK_COLUMNS.items()))
        return Followed(tracks, detections, number | decoded.named(), decoded, self._basis, Looks.nothing(0))


def ladder(title: str, raw: Path, detector: str, embedder: str) -> list[tuple[str, ...]]:
    """The rows of one set of simulated footage, from the truth down to the build; nothing of an earlier run is used."""
    load, embed = cache(lambda: load_detector(detector)), load_embedder(embedder)
    takes = [probe(source) for source in discover(raw).sources]
    truth = {take.source.key: truth_boxes(take.source.truth) for take in takes if take.source.truth}
    visible = {key: table.filter(pl.col("visibility") >= VISIBLE) for key, table in truth.items()}
    ways = {
        "true tracks, our linking": lambda key: TrueTracks(load, lambda: embed, visible[key], "true-tracks"),
        "true boxes, our tracking": lambda key: TrueBoxes(load, lambda: embed, visible[key], "true-boxes"),
        "the build": lambda key: Detected(load, lambda: embed),
    }
    confidence = Detected(load).settle(FootageSettings()).confidence
    rows, works = {}, []
    for rung, boxes in ways.items():
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            works = [extract(take, boxes(take.source.key), embed, Path(out)) for take in takes]
            rows[rung] = _row(title, rung, linked(works, truth, confidence), time.monotonic() - started)
    found = {w.take.source.key: w.extracted.detections.drop_nulls("x1") for w in works}
    found = {key: table.filter(pl.col("confidence") >= confidence) for key, table in found.items()}
    rows["our detections, true ids"] = _row(title, "our detections, true ids", _known(works, truth, found))
    kept = {w.take.source.key: w.extracted.tracks for w in works}
    rows["our tracks, true ids"] = _row(title, "our tracks, true ids", _known(works, truth, kept))
    order = (*list(ways)[:2], "our detections, true ids", "our tracks, true ids", "the build")
    return [rows[rung] for rung in order]


def extract(take: Take, boxes: Detected, embedder: Embedder, out: Path) -> SourceWork:
    """A take's people, from its footage to the embeddings; the work lies under `out`."""
    extracted = extract_take(take, boxes, FootageSettings(), out / "work", out / "crops")
    stored = out / "embed" / f"{source_slug(take.source)}.npz"
    stored.parent.mkdir(parents=True, exist_ok=True)
    return SourceWork(
        take, extracted, embed_source(extracted.frames, extracted.looks, embedder, out, stored, take.source.key)
    )


def linked(
    works: list[SourceWork],
    truth: Mapping[str, pl.DataFrame],
    confidence: float,
    settings: EventSettings | None = None,
) -> dict:
    """The build's scores."""
    tables, tracks, most = [], {}, 0
    for event in dict.fromkeys(work.take.source.event for work in works):
        proposals = propose([work for work in works if work.take.source.event == event], settings or EventSettings())
        table = proposals.tracklets
        tracks |= proposals.tracks
        numbered = pl.when(pl.col("cluster") >= 0).then(pl.col("cluster") + most).otherwise(pl.col("cluster"))
        tables.append(table.with_columns(identity=numbered))
        most += int(table["cluster"].max() or 0) + 1
    return score_build(works, pl.concat(tables), tracks, truth, confidence, shared_ids=True).total


def _known(works: list[SourceWork], truth: Mapping[str, pl.DataFrame], boxes: Mapping[str, pl.DataFrame]) -> dict:
    """Figures of boxes that carry the id of whomever they lie on; those on nobody carry ids of their own."""
    events: dict[str, list[Matched]] = {}
    for work in works:
        key = work.take.source.key
        times = dict(work.extracted.detections.select("frame", "time").unique().sort("frame").iter_rows())
        table = boxes[key].with_columns(id=-1 - pl.int_range(pl.len(), dtype=pl.Int64)).with_row_index("row")
        on = match_boxes(truth[key], table.drop("row"), times).pairs.select(pl.col("row").cast(pl.UInt32), "person")
        named = table.join(on, on="row", how="left", maintain_order="left")
        named = named.with_columns(id=pl.coalesce("person", "id")).drop("row", "person")
        events.setdefault(work.take.source.event, []).append(match_boxes(truth[key], named, times))
    return event_figures(list(events.values()))


def _row(title: str, rung: str, figures: Mapping, seconds: float | None = None) -> tuple[str, ...]:
    values = ["-" if figures.get(key) is None else f"{100 * figures[key]:.1f}" for key in SHOWN]
    found = f"{figures['identities']} / {figures['true_identities']}" if "identities" in figures else "-"
    return (title, rung, *values, found, "-" if seconds is None else f"{seconds:.0f}")
