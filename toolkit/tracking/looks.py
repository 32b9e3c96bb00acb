"""Appearance embeddings of the boxes that tracking needs: `looks_of(take, detections, embedder, 30.0, home)`.

Where somebody stands near, looks tell who is who, and a box of every frame is embedded. Who is alone is known by place,
and is embedded now and then. Work is done in segments, each a durable piece.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl

from ...datasets.prefetch import prefetch
from ...datasets.progress import progress
from ..crops import cut
from ..embed import Embedder
from ..track import BOX
from ..video import FrameReader, Segment, Take, segments
from ..work import Count, read_piece, write_piece
from .geometry import expanded_overlap

NEAR = 0.3  # share of their sides by which boxes are made larger that touch where somebody is near
EVERY = 0.2  # seconds between two embeddings of somebody who is alone
BATCH = 64  # crops embedded at once
LOOKS_COLUMNS = {"row": pl.Int64, "looks": pl.Binary}  # row of the segment's detections; float32, as bytes


class LooksFacts(TypedDict):
    """Of one segment: the boxes that needed an embedding, and those that have one."""

    wanted: Count
    embedded: Count


def looks_of(
    take: Take, detections: pl.DataFrame, embedder: Embedder, segment_seconds: float, folder: Path
) -> tuple[np.ndarray, int]:
    """Embeddings [rows of `detections`, D], zeros for a box that has none, and how many there are.

    Args:
        detections: DETECTION_COLUMNS of the take, by frame.
        folder: for the durable pieces; named by the caller after all that they depend on.
    """
    needed = need_looks(detections)
    rows, parts = [], []
    with progress(f"{take.source.key}: looks", total=int(needed.sum()), unit="boxes") as advance:
        for piece in segments(take, segment_seconds):
            inside = detections["time"].to_numpy() >= piece.start
            if piece.stop is not None:
                inside &= detections["time"].to_numpy() < piece.stop
            own = np.flatnonzero(inside)
            table, done = _look_at(take, piece, detections[own], np.flatnonzero(needed[own]), embedder, folder)
            rows.append(own[table["row"].to_numpy()])
            parts += [np.frombuffer(one, np.float32) for one in table["looks"].to_list()]
            advance(done["wanted"])
    looks = np.zeros((len(detections), len(parts[0]) if parts else 0), np.float32)
    if parts:
        looks[np.concatenate(rows)] = np.stack(parts)
    return looks, len(parts)


def need_looks(detections: pl.DataFrame) -> np.ndarray:
    """[rows] whether a box needs an embedding: others are near, or the last one of who is alone is too old."""
    needed = np.zeros(len(detections), bool)
    if not len(detections):
        return needed
    frame, time = detections["frame"].to_numpy(), detections["time"].to_numpy()
    box = detections.select(pl.col(BOX).fill_null(0.0).cast(pl.Float64)).to_numpy()
    there = detections["x1"].is_not_null().to_numpy()
    turn = np.floor((time + 1e-6) / EVERY)
    last = -1.0
    for rows in np.split(np.arange(len(frame)), np.flatnonzero(np.diff(frame)) + 1):
        near = expanded_overlap(box[rows], box[rows], NEAR)
        np.fill_diagonal(near, 0.0)
        needed[rows] = there[rows] & ((near.max(1) > 0) | (turn[rows[0]] > last))
        last = turn[rows[0]]
    return needed


def _look_at(
    take: Take, piece: Segment, detections: pl.DataFrame, rows: np.ndarray, embedder: Embedder, folder: Path
) -> tuple[pl.DataFrame, LooksFacts]:
    """LOOKS_COLUMNS of one segment; read back from `folder` if they are there."""
    kept = read_piece(folder, piece, LOOKS_COLUMNS, LooksFacts)
    if kept:
        return kept
    found: list[tuple[int, bytes]] = []
    for batch in prefetch(_batches(take, piece, detections, rows)):
        features = np.ascontiguousarray(embedder.embed([image for _, image in batch]), np.float32)
        found += [(row, feature.tobytes()) for (row, _), feature in zip(batch, features, strict=True)]
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
