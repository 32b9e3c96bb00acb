"""One take from footage to tracklets of crops: detect and track, or read the annotation; choose boxes, cut crops.

    take = probe(source)
    boxes = box_source(source, load_detector)
    extracted = extract_take(take, boxes, FootageSettings(), work=work, crops=out / "crops")
    extracted.tracklets, extracted.frames, extracted.counts

A video is decoded twice: once shrunk to the detector's input size, once at full size, where only those frames are
converted to RGB from which crops are cut. Work is done in segments of time. Each leaves files under `work`, in a folder
named after everything that its content depends on; a run that was killed goes on after the last finished one, and ends
in the same bytes. Segments don't depend on each other: `boxes.detect_segment` and `cutting.cut_segment` may run in any
order, and in several processes.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from ..datasets.prefetch import prefetch_map
from ..datasets.progress import progress
from .boxes import BoxSource, Followed
from .crops import add_occlusion, choose, crop_quality
from .cutting import CropFacts, cut_segment
from .looks import Looks
from .settings import FootageSettings
from .track import BOX, cut_tracks, drop_short
from .video import DecodeCount, Segment, Take, segments
from .work import REVISION, source_slug, work_key


@dataclass(frozen=True)
class Extracted:
    """What came out of a take. Times are the source's own; `Source.offset` is not added.

    Attributes:
        frames: FRAME_COLUMNS, a row a crop; `tracklet` is local to the source ("00001"), `shard` is `crops/NAME.tar`
            where `crops` is the name of the folder given.
        tracklets: a row for each tracklet with a crop: tracklet, start, end (seconds, of all its boxes), frames
            (crops), quality 0..1, truth (annotated id; null without annotation).
        tracks: TRACK_COLUMNS, every box of the kept tracks, `track` being the tracklet's number.
        detections: frame, time, box, confidence of every detection; a frame without any has a row with nulls.
        counts: frames_expected, frames_read, frames_damaged, frames_lost; boxes (detections or annotated boxes),
            boxes_duplicate (second boxes on a person, not among the detections), boxes_ignored (in a region to ignore),
            cuts_ambiguous, tracks, tracks_short, boxes_small, crops_chosen,
            crops_lost (their frame didn't decode, or nothing of the box lies inside it), crops_duplicate, crops,
            tracklets, tracklets_empty.
        looks: of the rows of `frames`, as tracking embedded them.
    """

    frames: pl.DataFrame
    tracklets: pl.DataFrame
    tracks: pl.DataFrame
    detections: pl.DataFrame
    counts: dict[str, int]
    looks: Looks


def extract_take(
    take: Take, boxes: BoxSource, settings: FootageSettings, work: Path, crops: Path, threads: int = 1
) -> Extracted:
    """Everything from the take's frames to its crops.

    Args:
        take: `probe(source)`.
        boxes: `box_source(source, load_detector)`.
        settings: what decides the outcome.
        work: folder for the durable pieces of work of any number of takes.
        crops: folder for the tar shards of any number of takes.
        threads: that cut crops of several segments at once; they decide nothing.
    """
    settings = boxes.settle(settings)
    home = Path(work) / source_slug(take.source)
    followed = boxes.follow(take, settings, home)
    tracks, chosen, choosing = _choose(take, followed, settings)
    folder = home / f"crop-{work_key(followed.basis, REVISION, asdict(settings))}"
    frames, cutting = _cut(take, chosen, settings, folder, Path(crops), threads, read_all=followed.decoded is None)
    tracklets = _tracklets(frames, tracks)
    counts = {
        **followed.counts,
        **choosing,
        **cutting,
        "crops": len(frames),
        "tracklets": len(tracklets),
        "tracklets_empty": tracks["track"].n_unique() - len(tracklets),
    }
    return Extracted(frames, tracklets, tracks, followed.detections, counts, _looks(frames, followed))


def _looks(boxes: pl.DataFrame, followed: Followed) -> Looks:
    """Of some boxes (frame, BOX) what tracking embedded of them."""
    if not followed.looks:
        return Looks.nothing(len(boxes))
    keys = ["frame", *BOX]
    found = followed.detections.select(keys).with_row_index("row").unique(keys, keep="first", maintain_order=True)
    rows = boxes.select(keys).join(found, on=keys, how="left", maintain_order="left")["row"]
    return followed.looks.rows(rows.cast(pl.Int64).fill_null(-1).to_numpy())


def _choose(
    take: Take, followed: Followed, settings: FootageSettings
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """The tracks that are long enough, the boxes of them that crops are to be cut from, and counts."""
    tracks = cut_tracks(followed.tracks, max_gap=settings.max_gap, max_length=settings.max_length)
    # Occlusion is measured before short tracks are dropped: people whose track is too short hide others all the same.
    everybody = add_occlusion(tracks, take.width, take.height)
    kept, short = drop_short(tracks, settings.min_length)
    measured = kept.join(
        everybody.select("frame", *BOX, "occlusion", "truncation").unique(["frame", *BOX], maintain_order=True),
        on=["frame", *BOX],
        how="left",
        maintain_order="left",
    )
    # What fills a gap was seen by nobody: most likely somebody else stands before the person, so it gives no crop.
    measured = measured.filter(pl.col("confidence").is_not_null())
    measured = measured.with_columns(embedded=pl.Series(_looks(measured, followed).known))
    chosen, small = choose(measured, min_height=settings.min_height, stride=settings.stride)
    counts = {
        "tracks": tracks["track"].n_unique(),
        "tracks_short": short,
        "boxes_short": int(tracks["confidence"].is_not_null().sum()) - len(measured),
        "boxes_small": small,
        "crops_chosen": len(chosen),
    }
    return kept, chosen, counts


def _cut(
    take: Take,
    chosen: pl.DataFrame,
    settings: FootageSettings,
    folder: Path,
    crops: Path,
    threads: int,
    *,
    read_all: bool,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """FRAME_COLUMNS of all segments, and counts: with those of the frames where `read_all`."""
    tables, decoded, counts = [], DecodeCount(), {"crops_lost": 0, "crops_duplicate": 0}
    with progress(f"{take.source.key}: crop", total=take.frame_count, unit="frames") as advance:

        def cut(piece: Segment) -> tuple[pl.DataFrame, CropFacts]:
            return cut_segment(take.source, piece, chosen, settings, folder, crops, read_all=read_all, advance=advance)

        for table, done in prefetch_map(cut, segments(take, settings.segment_seconds), threads):
            tables.append(table)
            decoded += DecodeCount(done["expected"], done["read"], done["damaged"])
            for name in counts:
                counts[name] += done[name]
    return pl.concat(tables), counts | (decoded.named() if read_all else {})


def _tracklets(frames: pl.DataFrame, tracks: pl.DataFrame) -> pl.DataFrame:
    """A row for each tracklet that has a crop."""
    crops = (
        frames.with_columns(quality=crop_quality(frames))
        .group_by("tracklet")
        .agg(frames=pl.len().cast(pl.Int64), quality=pl.col("quality").mean().cast(pl.Float32))
    )
    spans = (
        tracks.group_by("track")
        .agg(start=pl.col("time").min(), end=pl.col("time").max(), truth=pl.col("truth").first())
        .with_columns(tracklet=pl.col("track").cast(pl.String).str.zfill(5))
    )
    return (
        spans.join(crops, on="tracklet")
        .sort("track")
        .select("tracklet", "start", "end", "frames", "quality", pl.col("truth").cast(pl.Int64))
    )
