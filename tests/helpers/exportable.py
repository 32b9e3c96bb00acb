"""Crops of conftest's `write` with frames, times and boxes, as exports and corrections need them."""

from pathlib import Path

import polars as pl

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
