"""One source from footage to tracklets of crops: decode, detect, track, crop and judge.

    extracted = extract_source(source, probe(source), detector, FootageSettings(), work=work, crops=out / "crops")
    extracted.tracklets, extracted.frames, extracted.counts

The video is read twice: once shrunk to the detector's input, once at full size, where only frames that a crop is cut
from are converted. Work is done in segments of time. Each leaves files under `work`, in a folder named after
everything that its content depends on, its `.json` last; a run that was killed goes on after the last one, and ends in
the same bytes. Segments don't depend on each other: `detect_segment` and `crop_segment` may run in any order, and in
several processes.
"""

import hashlib
import json
import queue
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from ..datasets.files import atomic_path, sha256_file, write_json
from ..datasets.format import FRAME_COLUMNS
from ..datasets.progress import progress
from .crops import choose, crop_quality, cut, difference, encode, judge, sharpness, thumbnail, write_shard
from .detect import TRACK_CONFIDENCE, Detector
from .sources import Source
from .track import BOX, cut_ambiguous, cut_tracks, drop_short, track_boxes, truth_tracks
from .video import DecodeCount, Frame, Segment, VideoInfo, read_frames, segments

BATCH = 8  # frames given to the detector at once
# Raised when the same input and settings give other files than before: work of older versions is then not taken up.
REVISION = 2

DETECTION_COLUMNS = {
    "frame": pl.Int64,
    "time": pl.Float64,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "x2": pl.Float32,
    "y2": pl.Float32,
    "confidence": pl.Float32,
}


@dataclass(frozen=True)
class FootageSettings:
    """What decides which crops come out of a source.

    Attributes:
        tracker: bytetrack, ocsort or botsort.
        confidence: of the boxes that a track may start from. None: the detector's own (`Detector.track_confidence`).
        min_height: pixels; smaller boxes give no crop.
        min_length: seconds; shorter tracks are dropped.
        max_gap: seconds; a track ends where its person was unseen for longer.
        max_length: seconds; longer tracks are cut into equal parts. None: never. For sources where one person is
            tracked through a whole sequence by a single camera, parts are what a query can be matched with.
        stride: seconds between two crops of a track; 0 takes every frame.
        duplicate: mean difference in grey levels (0-255) under which a crop repeats the one before and is left out.
        duplicate_seconds: but one crop in so many seconds stays, even of a person who doesn't move.
        segment_seconds: length of a durable piece of work.
        jpeg_quality: of crops.
    """

    tracker: str = "bytetrack"
    confidence: float | None = None
    min_height: float = 48.0
    min_length: float = 0.5
    max_gap: float = 1.0
    max_length: float | None = None
    stride: float = 0.2
    duplicate: float = 2.0
    duplicate_seconds: float = 1.0
    segment_seconds: float = 30.0
    jpeg_quality: int = 92


@dataclass(frozen=True)
class Extracted:
    """What came out of a source. Times are the source's own; `Source.offset` is not added.

    Attributes:
        frames: FRAME_COLUMNS, a row a crop; `tracklet` is local to the source ("00001"), `shard` is `crops/NAME.tar`
            where `crops` is the name of the folder given.
        tracklets: a row for each tracklet with a crop: tracklet, start, end (seconds, of all its boxes), frames
            (crops), quality 0..1, truth (annotated id; null without annotation).
        tracks: TRACK_COLUMNS, every box of the kept tracks, `track` being the tracklet's number.
        detections: frame, time, box, confidence of every detection; a frame without any has a row with nulls.
        counts: frames_expected, frames_read, frames_damaged, frames_lost; boxes (detections or annotated boxes),
            boxes_ignored (in a region to ignore), cuts_ambiguous, tracks, tracks_short, boxes_small, crops_chosen,
            crops_lost (their frame didn't decode, or nothing of the box lies inside it), crops_duplicate, crops,
            tracklets, tracklets_empty.
    """

    frames: pl.DataFrame
    tracklets: pl.DataFrame
    tracks: pl.DataFrame
    detections: pl.DataFrame
    counts: dict[str, int]


def settled(settings: FootageSettings, detector: Detector | None) -> FootageSettings:
    """The settings with the detector's confidence where they leave it open."""
    if settings.confidence is not None:
        return settings
    return replace(settings, confidence=getattr(detector, "track_confidence", TRACK_CONFIDENCE))


def extract_source(
    source: Source, info: VideoInfo, detector: Detector | None, settings: FootageSettings, work: Path, crops: Path
) -> Extracted:
    """Everything from the source's frames to its crops.

    Args:
        source: what to read; of kind "mot", boxes and ids come from its annotation and `detector` may be None.
        info: `probe(source)`.
        detector: `load_detector(…)`.
        settings: what decides the outcome.
        work: folder for the durable pieces of work of any number of sources.
        crops: folder for the tar shards of any number of sources.
    """
    settings = settled(settings, detector)
    pieces = segments(info, settings.segment_seconds)
    home = Path(work) / source_slug(source)
    if source.kind == "mot":
        detections = pl.DataFrame(schema=DETECTION_COLUMNS)
        found = truth_tracks(source.truth, source.fps)
        kept = _outside(found, source.ignore)
        counts = {"boxes": len(found), "boxes_ignored": len(found) - len(kept)}
        tracks = kept
        basis = work_key(info.sha256, sha256_file(source.truth), source.ignore)
    else:
        if detector is None:
            raise ValueError("only annotated sequences need no detector")
        basis = detection_key(source, info, detector, settings)
        detections, counts = _detect(source, info, detector, pieces, home / f"detect-{basis}")
        tracks = track_boxes(
            detections,
            fps=info.fps,
            tracker=settings.tracker,
            confidence=settings.confidence,
            max_gap=settings.max_gap,
        )
        tracks, counts["cuts_ambiguous"] = cut_ambiguous(tracks, detections)
    tracks = cut_tracks(tracks, max_gap=settings.max_gap, max_length=settings.max_length)
    counts["tracks"] = tracks["track"].n_unique()
    # Whoever is dropped as too short still stands in front of others.
    judged = judge(tracks, info.width, info.height)
    kept, counts["tracks_short"] = drop_short(tracks, settings.min_length)
    judged = kept.join(
        judged.select("frame", *BOX, "occlusion", "truncation").unique(["frame", *BOX], maintain_order=True),
        on=["frame", *BOX],
        how="left",
        maintain_order="left",
    )
    chosen, counts["boxes_small"] = choose(judged, min_height=settings.min_height, stride=settings.stride)
    counts["crops_chosen"] = len(chosen)

    folder = home / f"crop-{work_key(basis, REVISION, asdict(settings))}"
    tables, decoded = [], DecodeCount()
    with progress(f"{source.key}: crop", total=info.frames, unit="frames") as advance:
        for piece in pieces:
            table, done = crop_segment(source, piece, chosen, settings, folder, Path(crops), advance=advance)
            tables.append(table)
            decoded += DecodeCount(done["expected"], done["read"], done["damaged"])
            for name in ("crops_lost", "crops_duplicate"):
                counts[name] = counts.get(name, 0) + done[name]
    if source.kind == "mot":
        counts |= _decode_counts(decoded)
    frames = pl.concat(tables)
    tracklets = _tracklets(frames, kept)
    counts |= {
        "crops": len(frames),
        "tracklets": len(tracklets),
        "tracklets_empty": kept["track"].n_unique() - len(tracklets),
    }
    return Extracted(frames, tracklets, kept, detections, counts)


def detection_key(source: Source, info: VideoInfo, detector: Detector, settings: FootageSettings) -> str:
    """Names the folder of a source's detections: all that they depend on."""
    return work_key(
        REVISION,
        info.sha256,
        source.fps,
        source.ignore,
        detector.sha256,
        list(detector.input_size),
        getattr(detector, "confidence", None),
        settings.segment_seconds,
    )


def detect_segment(
    source: Source, piece: Segment, detector: Detector, folder: Path, advance: object = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Detections of one segment (DETECTION_COLUMNS) and its counts; read back from `folder` if they are there."""
    table_path, done_path = folder / f"{piece.id}.parquet", folder / f"{piece.id}.json"
    if done_path.is_file() and table_path.is_file():
        done = json.loads(done_path.read_text())
        if advance:
            advance(done["expected"])
        return pl.read_parquet(table_path), done
    reader = read_frames(source, piece.start, piece.stop, size=detector.input_size)
    rows: list[tuple] = []
    for batch in _ahead(_batches(reader)):
        for frame, found in zip(batch, detector.detect([f.image for f in batch]), strict=True):
            scale = np.array([frame.width / frame.image.shape[1], frame.height / frame.image.shape[0]] * 2, np.float32)
            for box, confidence in zip(found.xyxy * scale, found.confidence, strict=True) if len(found) else ():
                rows.append((frame.index, frame.time, *map(float, box), float(confidence)))
            if not len(found):
                rows.append((frame.index, frame.time, None, None, None, None, None))
        if advance:
            advance(len(batch))
    table = pl.DataFrame(rows, schema=DETECTION_COLUMNS, orient="row")
    boxes = int(table["x1"].is_not_null().sum())
    count = reader.count
    done = {"expected": count.expected, "read": count.read, "damaged": count.damaged, "boxes": boxes}
    _write_table(table_path, table)
    write_json(done_path, done)
    return table, done


def crop_segment(
    source: Source,
    piece: Segment,
    chosen: pl.DataFrame,
    settings: FootageSettings,
    folder: Path,
    crops: Path,
    advance: object = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Cuts the chosen boxes of one segment into a shard in `crops`.

    Returns:
        FRAME_COLUMNS ordered by tracklet and frame, and counts; read back from `folder` if the shard is as it was left.
    """
    shard = crops / f"{source_slug(source)}--{piece.id}.tar"
    table_path, done_path = folder / f"{piece.id}.parquet", folder / f"{piece.id}.json"
    if done_path.is_file() and table_path.is_file():
        done = json.loads(done_path.read_text())
        # Other settings write shards of the same name: only bytes tell that this one belongs to the table.
        if done["shard"] is None or (shard.is_file() and sha256_file(shard) == done["shard"]):
            if advance:
                advance(done["expected"])
            return pl.read_parquet(table_path), done
    inside = pl.col("time") >= piece.start
    if piece.stop is not None:
        inside &= pl.col("time") < piece.stop
    wanted = chosen.filter(inside)
    rows, jpegs, counts = _cut_segment(source, piece, wanted, settings, advance)
    # A kill -9 may have left a half-written shard; it is no part of the dataset.
    for left in crops.glob(f".{shard.name}.*.tmp"):
        left.unlink()
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["tracklet"], rows[i]["frame"]))
    members = [(f"{rows[i]['tracklet']}/{rows[i]['frame']:06d}.jpg", jpegs[i]) for i in order]
    digest = None
    if members:
        places = write_shard(shard, members)
        digest = sha256_file(shard)
        for i, (offset, length) in zip(order, places, strict=True):
            rows[i] |= {"shard": f"{crops.name}/{shard.name}", "offset": offset, "length": length}
    else:
        shard.unlink(missing_ok=True)  # left by other settings
    table = pl.DataFrame([rows[i] for i in order], schema=FRAME_COLUMNS)
    done = {**counts, "shard": digest}
    _write_table(table_path, table)
    write_json(done_path, done)
    return table, done


def _cut_segment(
    source: Source, piece: Segment, wanted: pl.DataFrame, settings: FootageSettings, advance: object
) -> tuple[list[dict], list[bytes], dict[str, int]]:
    """Rows of FRAME_COLUMNS without their place, the JPEG of each, and counts."""
    by_frame: dict[int, list[dict]] = {}
    for row in wanted.iter_rows(named=True):
        by_frame.setdefault(row["frame"], []).append(row)
    reader = read_frames(source, piece.start, piece.stop, wanted=frozenset(by_frame))
    rows: list[dict] = []
    jpegs: list[bytes] = []
    last: dict[int, tuple[float, np.ndarray]] = {}
    duplicates = made = 0
    # Annotated sequences are decoded only here, so that an empty segment is still read for its count; others are
    # skipped.
    frames: Iterable[Frame] = reader if by_frame or source.kind == "mot" else ()
    for frame in _ahead(frames):
        for row in by_frame[frame.index]:
            crop = cut(frame.image, [row[side] for side in BOX])
            if crop is None:
                continue
            made += 1
            small = thumbnail(crop)
            before = last.get(row["track"])
            if (
                before is not None
                and frame.time - before[0] < settings.duplicate_seconds - 1e-6
                and difference(small, before[1]) < settings.duplicate
            ):
                duplicates += 1
                continue
            last[row["track"]] = (frame.time, small)
            rows.append(
                {
                    "tracklet": tracklet_name(row["track"]),
                    "frame": frame.index,
                    "time": frame.time,
                    **{name: row[name] for name in (*BOX, "confidence", "occlusion", "truncation")},
                    "sharpness": sharpness(crop),
                }
            )
            jpegs.append(encode(crop, settings.jpeg_quality))
    if advance:
        advance(reader.count.expected)
    counts = {
        "expected": reader.count.expected,
        "read": reader.count.read,
        "damaged": reader.count.damaged,
        "crops_lost": len(wanted) - made,
        "crops_duplicate": duplicates,
    }
    return rows, jpegs, counts


def source_slug(source: Source) -> str:
    """A file name for a source; names that had to be changed carry a digest, so that no two sources share one."""
    return f"{_slug(source.event)}--{_slug(source.camera)}"


def _slug(name: str) -> str:
    clean = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "_", name)).strip("-")
    return clean if clean == name else f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def tracklet_name(track: int) -> str:
    """Local id of a tracklet: its track's number."""
    return f"{track:05d}"


def _detect(
    source: Source, info: VideoInfo, detector: Detector, pieces: Iterable[Segment], folder: Path
) -> tuple[pl.DataFrame, dict[str, int]]:
    """All detections of a source outside its regions to ignore, and counts."""
    tables, decoded, boxes = [], DecodeCount(), 0
    with progress(f"{source.key}: detect", total=info.frames, unit="frames") as advance:
        for piece in pieces:
            table, done = detect_segment(source, piece, detector, folder, advance)
            tables.append(table)
            decoded += DecodeCount(done["expected"], done["read"], done["damaged"])
            boxes += done["boxes"]
    found = pl.concat(tables)
    kept = _outside(found, source.ignore)
    ignored = boxes - int(kept["x1"].is_not_null().sum())
    return kept, {"boxes": boxes, "boxes_ignored": ignored, **_decode_counts(decoded)}


def _decode_counts(decoded: DecodeCount) -> dict[str, int]:
    return {
        "frames_expected": decoded.expected,
        "frames_read": decoded.read,
        "frames_damaged": decoded.damaged,
        "frames_lost": decoded.lost,
    }


def _outside(boxes: pl.DataFrame, ignore: Iterable[tuple[float, float, float, float]]) -> pl.DataFrame:
    """Boxes whose middle of the lower edge, where a person stands, is in no region to ignore.

    A frame all of whose detections go keeps a row with nulls: the tracker must know that it was looked at.
    """
    regions = list(ignore)
    if not regions:
        return boxes
    x, y = (pl.col("x1") + pl.col("x2")) / 2, pl.col("y2")
    inside = pl.any_horizontal(
        *[x.is_between(x1, x2) & y.is_between(y1, y2) for x1, y1, x2, y2 in regions],
    ).fill_null(False)
    if "track" in boxes.columns:
        return boxes.filter(~inside)
    empty = boxes.with_columns(
        [pl.when(inside).then(None).otherwise(pl.col(name)).alias(name) for name in (*BOX, "confidence")]
    )
    alone = ~pl.col("x1").is_not_null().any().over("frame") & pl.col("frame").is_first_distinct()
    return empty.filter(pl.col("x1").is_not_null() | alone)


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


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ahead(items: Iterable, depth: int = 4) -> Iterator:
    """The same items, made by a thread of their own: decoding goes on while the detector or the JPEG coder is busy."""
    line: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(entry: tuple) -> bool:
        while not stop.is_set():
            try:
                line.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = line.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()


def _write_table(path: Path, table: pl.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.write_parquet(temporary, compression="zstd", statistics=False)


def work_key(*parts: object) -> str:
    """Twelve hex digits that stand for `parts`: what a piece of finished work depends on, in its name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
