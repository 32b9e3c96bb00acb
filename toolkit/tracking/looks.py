"""Appearance embeddings of the boxes that tracking and linking need: `looks_of(take, detections, ...)`.

Where place alone tells who goes on as whom, one box in a while is embedded (`chains`). Work is done in segments, each a
durable piece.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl

from ...datasets.prefetch import prefetch
from ...datasets.progress import progress
from ..at_once import in_order
from ..crops import cut
from ..embed import Embedder
from ..looks import Looks
from ..track import BOX
from ..video import FrameReader, Segment, Take, segments
from ..work import Count, read_piece, write_piece
from .by_frame import TakenBoxes
from .chains import chains, need_looks

BATCH = 32  # crops embedded at once
LOOKS_COLUMNS = {"row": pl.Int64, "looks": pl.Binary}  # row of the segment's detections; float16, as bytes


class LooksFacts(TypedDict):
    """Of one segment: the boxes that needed an embedding, and those that have one."""

    wanted: Count
    embedded: Count


def looks_of(
    take: Take,
    detections: pl.DataFrame,
    boxes: TakenBoxes,
    embedder: Embedder,
    segment_seconds: float,
    folder: Path,
    threads: int = 1,
) -> Looks:
    """The looks of the rows of `detections`.

    Args:
        detections: DETECTION_COLUMNS of the take, by frame. boxes: `by_frame` of them.
        folder: for the durable pieces; named by the caller after all that they depend on.
        threads: that embed at once.
    """
    needed = np.zeros(len(detections), bool)
    needed[boxes.rows] = need_looks(boxes, chains(boxes))
    time = detections["time"].to_numpy()
    rows, parts = [], []
    with progress(f"{take.source.key}: looks", total=int(needed.sum()), unit="boxes") as advance:
        for piece in segments(take, segment_seconds):
            inside = time >= piece.start
            if piece.stop is not None:
                inside &= time < piece.stop
            own = np.flatnonzero(inside)
            wanted = np.flatnonzero(needed[own])
            table, done = _look_at(take, piece, detections[own], wanted, embedder, folder, threads)
            rows.append(own[table["row"].to_numpy()])
            if len(table):
                parts.append(np.frombuffer(b"".join(table["looks"].to_list()), np.float16).reshape(len(table), -1))
            advance(done["wanted"])
    place = np.full(len(detections), -1)
    if not parts:
        return Looks.nothing(len(detections))
    features = np.concatenate(parts)
    place[np.concatenate(rows)] = np.arange(len(features))
    return Looks(place, features)


def _look_at(
    take: Take,
    piece: Segment,
    detections: pl.DataFrame,
    rows: np.ndarray,
    embedder: Embedder,
    folder: Path,
    threads: int,
) -> tuple[pl.DataFrame, LooksFacts]:
    """LOOKS_COLUMNS of one segment; read back from `folder` if they are there."""
    kept = read_piece(folder, piece, LOOKS_COLUMNS, LooksFacts)
    if kept:
        return kept
    found: list[tuple[int, bytes]] = []

    def embed(batch: list[tuple[int, np.ndarray]]) -> list[tuple[int, bytes]]:
        features = np.ascontiguousarray(embedder.embed([image for _, image in batch]), np.float16)
        return [(row, feature.tobytes()) for (row, _), feature in zip(batch, features, strict=True)]

    for part in in_order(embedder, embed, prefetch(_batches(take, piece, detections, rows)), threads):
        found += part
    table = pl.DataFrame(found, schema=LOOKS_COLUMNS, orient="row")
    done = LooksFacts(wanted=len(rows), embedded=len(found))
    write_piece(folder, piece, table, done)
    return table, done


def _batches(
    take: Take, piece: Segment, detections: pl.DataFrame, rows: np.ndarray
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """(row, crop) of the boxes, in batches; those whose frame doesn't decode, or that lie outside it, are missing."""
    wanted: dict[int, list[int]] = {}
    for row, frame in zip(rows.tolist(), detections["frame"].to_numpy()[rows].tolist(), strict=True):
        wanted.setdefault(frame, []).append(row)
    box = detections.select(BOX).to_numpy()
    batch: list[tuple[int, np.ndarray]] = []
    for frame in FrameReader(take.source, piece.start, piece.stop, wanted=frozenset(wanted)) if wanted else ():
        for row in wanted[frame.index]:
            crop = cut(frame.image, box[row])
            if crop is not None:
                batch.append((row, crop))
        while len(batch) >= BATCH:
            yield batch[:BATCH]
            batch = batch[BATCH:]
    if batch:
        yield batch
