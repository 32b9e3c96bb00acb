"""Our tracker against those of `trackers` on annotated boxes of real sports; writes benchmarks/results/tracking.md.

    python benchmarks/tracking.py ../shared/mot/sportsmot-train            # every third clip was tuned on, not reported
    python benchmarks/tracking.py FOLDER --clips 6 --json

Boxes are given, so that only tracking can be wrong; no pixels are read, so that it's motion alone. Twice: the annotated
boxes, and degraded ones, as a detector would find them: 10 % are missing, 20 % of those that another one overlaps by
more than half, and their edges are off by 2 pixels (standard deviation), the same ones for every tracker. HOTA and IDF1
at an intersection over union of 0.5, summed over the clips by `trackers.eval`.
"""

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import supervision as sv
from machine import describe

from reidkit.datasets.mot import read_people, read_seqinfo
from reidkit.toolkit.looks import Looks
from reidkit.toolkit.track import BOX, track_boxes
from reidkit.toolkit.tracking import FollowSettings, by_frame, track_people

RESULTS = Path(__file__).resolve().parent / "results" / "tracking.md"
TUNED = 3  # every so many-th clip
MISSING, MISSING_CROWDED, CROWDED, JITTER = 0.1, 0.2, 0.5, 2.0
GAP = 1.0
TEXT = """# Tracking by motion alone

`python benchmarks/tracking.py sportsmot-train`: annotated boxes of SportsMOT (moving camera, 25 frames/s), and the same
degraded: 10 % missing, 20 % of those that another overlaps by more than half, 2 pixels of jitter. HOTA / IDF1. A person
unseen for more than {gap:g} s is somebody new. What was tuned was tuned on every third clip; these are the other
{clips}.

"""


def boxes_of(folder: Path) -> tuple[pl.DataFrame, float]:
    """A clip's annotated boxes (frame, time, id, box, confidence 1), and its frames a second."""
    info = read_seqinfo(folder / "seqinfo.ini")
    rows = [
        (p.frame - 1, (p.frame - 1) / info.fps, p.id, p.x, p.y, p.x + p.width, p.y + p.height)
        for p in read_people(folder / "gt" / "gt.txt")
    ]
    schema = {"frame": pl.Int64, "time": pl.Float64, "id": pl.Int64, **dict.fromkeys(BOX, pl.Float64)}
    table = pl.DataFrame(rows, schema=schema, orient="row").sort("frame", "id")
    return table.with_columns(confidence=pl.lit(0.9)), info.fps


def degraded(boxes: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The boxes as a detector would find them; a frame that loses all keeps a row of nulls."""
    random = np.random.default_rng(seed)
    box = boxes.select(BOX).to_numpy()
    frame = boxes["frame"].to_numpy()
    chance = np.full(len(box), MISSING)
    for rows in np.split(np.arange(len(box)), np.flatnonzero(np.diff(frame)) + 1):
        overlap = sv.box_iou_batch(box[rows], box[rows])
        np.fill_diagonal(overlap, 0)
        chance[rows[overlap.max(1) > CROWDED]] = MISSING_CROWDED
    lost = random.random(len(box)) < chance
    box = box + random.normal(0, JITTER, box.shape)
    box[:, 2:] = np.maximum(box[:, 2:], box[:, :2] + 2)
    moved = boxes.with_columns([pl.Series(name, box[:, i]) for i, name in enumerate(BOX)])
    empty = moved.with_columns(
        [pl.when(pl.Series(lost)).then(None).otherwise(pl.col(c)).alias(c) for c in (*BOX, "confidence")]
    )
    alone = ~pl.col("x1").is_not_null().any().over("frame") & pl.col("frame").is_first_distinct()
    return empty.filter(pl.col("x1").is_not_null() | alone)


def of_library(name: str) -> Callable[[pl.DataFrame, float], pl.DataFrame]:
    """A tracker of `trackers` as the builder sets it."""
    return lambda boxes, fps: track_boxes(boxes, fps=fps, tracker=name, confidence=0.5, max_gap=GAP)


def ours(boxes: pl.DataFrame, fps: float) -> pl.DataFrame:
    """Our tracker without looks."""
    return track_people(
        boxes, by_frame(boxes), Looks.nothing(len(boxes)), FollowSettings(fps=fps, confidence=0.5, max_gap=GAP)
    )[0]


TRACKERS = {
    "ByteTrack": of_library("bytetrack"),
    "OC-SORT": of_library("ocsort"),
    "BoT-SORT": of_library("botsort"),
    "C-BIoU": of_library("cbiou"),
    "ours": ours,
}


def score(truth: pl.DataFrame, tracks: pl.DataFrame) -> tuple[dict, dict]:
    """What `trackers` says of one clip: identity and HOTA metrics."""
    from trackers.eval import compute_hota_metrics, compute_identity_metrics

    frames = truth["frame"].unique().sort().to_list()
    sides = []
    for table, name in ((truth, "id"), (tracks, "track")):
        groups = {int(f): g for (f,), g in table.group_by("frame")}
        sides.append([groups.get(f, table.head(0)) for f in frames])
        sides.append([g[name].to_numpy().astype(int) for g in sides[-1]])
    truth_boxes, truth_ids, boxes, ids = sides
    alike = [
        sv.box_iou_batch(a.select(BOX).to_numpy(), b.select(BOX).to_numpy()).astype(np.float64)
        if len(a) and len(b)
        else np.zeros((len(a), len(b)))
        for a, b in zip(truth_boxes, boxes, strict=True)
    ]
    return compute_identity_metrics(truth_ids, ids, alike, threshold=0.5), compute_hota_metrics(truth_ids, ids, alike)


def measure(clips: list[Path], names: list[str]) -> dict[str, dict[str, float]]:
    """Tracker -> HOTA and IDF1 in percent, of true and of degraded boxes."""
    from trackers.eval import aggregate_hota_metrics, aggregate_identity_metrics

    got: dict[tuple[str, str], list] = {}
    for clip in clips:
        truth, fps = boxes_of(clip)
        worse = degraded(truth, zlib.crc32(clip.name.encode()))
        for kind, boxes in (("true", truth), ("degraded", worse)):
            for name in names:
                tracks = TRACKERS[name](boxes.drop("id"), fps)
                got.setdefault((name, kind), []).append(score(truth, tracks))
    out: dict[str, dict[str, float]] = {name: {} for name in names}
    for (name, kind), scores in got.items():
        out[name][f"{kind}_hota"] = 100 * float(aggregate_hota_metrics([s[1] for s in scores])["HOTA"])
        out[name][f"{kind}_idf1"] = 100 * float(aggregate_identity_metrics([s[0] for s in scores])["IDF1"])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of MOTChallenge sequences")
    parser.add_argument("--clips", type=int, help="only so many, evenly spread")
    parser.add_argument("--tuned", action="store_true", help="the clips that were tuned on, in place of the others")
    parser.add_argument("--trackers", nargs="*", default=list(TRACKERS), choices=list(TRACKERS))
    parser.add_argument("--json", action="store_true", help="print one object and leave the file as it is")
    options = parser.parse_args()
    clips = sorted(path.parent for path in options.folder.glob("*/seqinfo.ini"))
    clips = [clip for i, clip in enumerate(clips) if (i % TUNED == 0) == options.tuned]
    if options.clips:
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, options.clips).round().astype(int)]
    found = measure(clips, options.trackers)
    lines = ["| tracker | true boxes | degraded boxes |", "|---|---|---|"]
    for name, value in found.items():
        cells = [f"{value[f'{kind}_hota']:.1f} / {value[f'{kind}_idf1']:.1f}" for kind in ("true", "degraded")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    if options.json:
        print(json.dumps(found))
        return
    print("\n".join(lines))
    if not options.tuned and not options.clips:
        text = TEXT.format(gap=GAP, clips=len(clips))
        RESULTS.write_text(text + "\n".join(lines) + f"\n\nMachine of the last run: {describe()}.\n")


if __name__ == "__main__":
    main()
