"""Crops cut out of one segment of a take into a tar shard: `cut_segment(take.source, piece, chosen, ...)`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl

from ..datasets.files import sha256_file
from ..datasets.format import FRAME_COLUMNS
from ..datasets.prefetch import prefetch
from .crops import cut, difference, encode, sharpness, thumbnail, write_shard
from .settings import FootageSettings
from .sources import Source
from .track import BOX
from .video import DecodeCount, Frame, FrameReader, Segment
from .work import Count, read_piece, source_slug, write_piece


class CropFacts(TypedDict):
    """Of one segment: the frames expected, read and damaged, the crops lost and left out, and its shard's sha256."""

    expected: Count
    read: Count
    damaged: Count
    crops_lost: Count
    crops_duplicate: Count
    shard: str | None


def cut_segment(
    source: Source,
    piece: Segment,
    chosen: pl.DataFrame,
    settings: FootageSettings,
    folder: Path,
    crops: Path,
    *,
    read_all: bool,
    advance: Callable[[int], None] | None = None,
) -> tuple[pl.DataFrame, CropFacts]:
    """Cuts the chosen boxes of one segment into a shard in `crops`.

    Args:
        chosen: boxes of the whole take (`crops.choose`).
        folder: for the durable piece of work.
        crops: for the shard.
        read_all: whether a segment without a chosen box is read too, for the count of its frames.

    Returns:
        FRAME_COLUMNS ordered by tracklet and frame, and counts; read back from `folder` if the shard is as it was left.
    """
    shard = crops / f"{source_slug(source)}--{piece.id}.tar"
    kept = read_piece(folder, piece, FRAME_COLUMNS, CropFacts)
    if kept:
        # Other settings write shards of the same name: only bytes tell that this one belongs to the table.
        digest = kept[1]["shard"]
        if digest is None or (shard.is_file() and sha256_file(shard) == digest):
            if advance:
                advance(kept[1]["expected"])
            return kept
    inside = pl.col("time") >= piece.start
    if piece.stop is not None:
        inside &= pl.col("time") < piece.stop
    rows, jpegs, decoded, lost, duplicates = _cut_frames(source, piece, chosen.filter(inside), settings, read_all)
    if advance:
        advance(decoded.expected)
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
    done = CropFacts(
        expected=decoded.expected,
        read=decoded.read,
        damaged=decoded.damaged,
        crops_lost=lost,
        crops_duplicate=duplicates,
        shard=digest,
    )
    write_piece(folder, piece, table, done)
    return table, done


def _cut_frames(
    source: Source, piece: Segment, wanted: pl.DataFrame, settings: FootageSettings, read_all: bool
) -> tuple[list[dict], list[bytes], DecodeCount, int, int]:
    """Rows of FRAME_COLUMNS without their place, the JPEG of each, the frames that were read, and how many crops were
    lost or left out as repetitions."""
    by_frame: dict[int, list[dict]] = {}
    for row in wanted.iter_rows(named=True):
        by_frame.setdefault(row["frame"], []).append(row)
    reader = FrameReader(source, piece.start, piece.stop, wanted=frozenset(by_frame))
    rows: list[dict] = []
    jpegs: list[bytes] = []
    last: dict[int, tuple[float, np.ndarray]] = {}
    duplicates = made = 0
    frames: Iterable[Frame] = reader if by_frame or read_all else ()
    for frame in prefetch(frames):
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
    return rows, jpegs, reader.count, len(wanted) - made, duplicates


def tracklet_name(track: int) -> str:
    """The local id of a tracklet: its track's number."""
    return f"{track:05d}"
