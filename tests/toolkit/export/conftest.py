"""A small dataset with all that an export may have to hold: junk, distractors, captions, boxes, an event with times."""

import json
from pathlib import Path

import polars as pl
import pytest

from reidkit.toolkit.export.content import Content, read_content, read_crops

SOURCES = [
    {"event": event, "camera": camera, "sha256": f"{n:064d}", "seconds": 12.0, "width": 640, "height": 360, "fps": 25.0}
    for n, (event, camera) in enumerate((e, c) for e in ("final", "heat") for c in ("east", "north", "west"))
]
MANIFEST = {"format": 1, "name": "small", "protocol": "video-reid", "sources": SOURCES}


def place(root: Path) -> Path:
    """Gives the crops of `write_own` frames, times and boxes: tracklet n stands n widths from the left."""
    number = {id_: n for n, id_ in enumerate(pl.read_parquet(root / "tracklets.parquet")["id"].to_list())}
    path = root / "frames.parquet"
    n, step = pl.col("tracklet").replace_strict(number, return_dtype=pl.Int64), pl.col("frame")
    frames = pl.read_parquet(path).with_columns(n=n, frame=step * 3 + 25, time=(step * 3 + 25) / 25)
    frames = frames.with_columns(
        x1=(20.5 + 40 * pl.col("n") + pl.col("frame") / 7).cast(pl.Float32),
        y1=pl.lit(30.25, pl.Float32),
        y2=pl.lit(110.75, pl.Float32),
        occlusion=((pl.col("frame") % 5) / 10).cast(pl.Float32),
        sharpness=(pl.col("frame") % 11).cast(pl.Float32),
    ).with_columns(x2=pl.col("x1") + 30)
    frames.drop("n").write_parquet(path)
    return root


@pytest.fixture
def small(write_own, own_rows, tmp_path) -> Path:
    root = place(write_own(tmp_path / "small", rows=own_rows, manifest=MANIFEST))
    lines = [{"tracklet": "a", "text": "red <shoes> & a hat"}, {"tracklet": "d", "text": "tall"}]
    (root / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def crops_of(content: Content) -> dict[str, list[bytes]]:
    """Tracklet id -> the bytes of its crops."""
    return {item.id: [data for _, data in read_crops(content, item)] for item in content.items}


@pytest.fixture
def content(small) -> Content:
    return read_content(small)


@pytest.fixture
def crops(content) -> dict[str, list[bytes]]:
    return crops_of(content)


@pytest.fixture
def remake(write_own, tmp_path):
    """`remake(rows, frames=5)`: a dataset of other rows."""

    def make(rows, **more) -> Path:
        return place(write_own(tmp_path / "other", rows=rows, manifest=MANIFEST, **more))

    return make
