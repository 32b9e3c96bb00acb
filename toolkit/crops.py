"""Crops of tracked people: which boxes are worth one, how good each is, and the tar shards they lie in.

    chosen, small = choose(add_occlusion(tracks, take.width, take.height), min_height=48, stride=0.2)
    crop = cut(frame.image, (x1, y1, x2, y2))
    places = write_shard(path, [("00001/000012.jpg", jpeg), ...])       # (offset, length) of each JPEG

Boxes are x1, y1, x2, y2 in pixels of the source.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from ..datasets.errors import ReidkitError
from ..datasets.files import atomic_path
from .track import BOX

SHARPNESS_HEIGHT = 128
THUMBNAIL = (16, 32)  # width, height
# Variance of the Laplacian at which a crop counts as half sharp.
HALF_SHARP = 150.0
FULL_HEIGHT = 128.0


def add_occlusion(tracks: pl.DataFrame, width: int, height: int) -> pl.DataFrame:
    """Adds `occlusion` and `truncation` to a table of tracks (see `datasets.format.FRAME_COLUMNS`); order is kept."""
    boxes = tracks.select(BOX).to_numpy().astype(np.float64).reshape(-1, 4)
    hidden = np.zeros(len(boxes))
    frames = tracks["frame"].to_numpy()
    order = np.argsort(frames, kind="stable")
    bounds = np.flatnonzero(np.diff(frames[order])) + 1
    for rows in np.split(order, bounds) if len(order) else ():
        if len(rows) > 1:
            hidden[rows] = occlusion(boxes[rows])
    return tracks.with_columns(
        occlusion=pl.Series(hidden, dtype=pl.Float32),
        truncation=pl.Series(truncation(boxes, width, height), dtype=pl.Float32),
    )


def occlusion(boxes: np.ndarray) -> np.ndarray:
    """The share [N] of each box of one frame that nearer boxes cover: those whose lower edge is further down.

    Args:
        boxes: [N, 4] corners in pixels.

    >>> occlusion([[0, 0, 10, 10], [5, 0, 15, 20]]).tolist()
    [0.5, 0.0]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    area = sides[..., 0] * sides[..., 1]
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    own = np.clip(boxes[:, 2] - boxes[:, 0], 1e-9, None) * np.clip(boxes[:, 3] - boxes[:, 1], 1e-9, None)
    covers = nearer & (area > 0)
    covered = (area * covers).sum(axis=1)
    # Where several boxes cover one, their parts may overlap and must not count twice.
    for i in np.flatnonzero(covers.sum(axis=1) > 1):
        covered[i] = _union(np.concatenate([low[i, covers[i]], high[i, covers[i]]], axis=1))
    return np.clip(covered / own, 0.0, 1.0)


def _union(boxes: np.ndarray) -> float:
    """The area of the union of boxes [N, 4]: the cells of the grid that their edges span, each counted once."""
    xs, ys = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    inside_x = (boxes[:, None, 0] <= xs[None, :-1]) & (xs[None, 1:] <= boxes[:, None, 2])
    inside_y = (boxes[:, None, 1] <= ys[None, :-1]) & (ys[None, 1:] <= boxes[:, None, 3])
    filled = (inside_y[:, :, None] & inside_x[:, None, :]).any(axis=0)
    return float((filled * np.diff(ys)[:, None] * np.diff(xs)[None, :]).sum())


def truncation(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """The share [N] of each box [N, 4] that lies outside a frame of `width` x `height` pixels.

    >>> truncation([[-5, 0, 5, 10]], width=640, height=360).tolist()
    [0.5]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    whole = np.clip(boxes[:, 2] - boxes[:, 0], 1e-9, None) * np.clip(boxes[:, 3] - boxes[:, 1], 1e-9, None)
    inside_x = np.clip(np.minimum(boxes[:, 2], width) - np.maximum(boxes[:, 0], 0), 0, None)
    inside_y = np.clip(np.minimum(boxes[:, 3], height) - np.maximum(boxes[:, 1], 0), 0, None)
    return np.clip(1.0 - inside_x * inside_y / whole, 0.0, 1.0)


def choose(tracks: pl.DataFrame, *, min_height: float, stride: float) -> tuple[pl.DataFrame, int]:
    """The boxes that crops are cut from, and how many boxes are lower than `min_height` pixels and give no crop.

    A track's time is divided into stretches of `stride` seconds, and one box of each stretch is chosen: the one of
    which least is hidden, by the sum of its occlusion and truncation in steps of 5 %; the earliest of several such.
    """
    tall = tracks.filter(pl.col("y2") - pl.col("y1") >= min_height)
    small = len(tracks) - len(tall)
    slack = 1e-6
    since = pl.col("time") - pl.col("time").min().over("track")
    ranked = tall.with_columns(
        bin=((since + slack) / stride).floor().cast(pl.Int64) if stride > 0 else pl.col("frame"),
        spoilt=((pl.col("occlusion") + pl.col("truncation")) * 20).round().cast(pl.Int64),
        waits=~pl.col("embedded") if "embedded" in tall.columns else pl.lit(True),
    ).sort("track", "bin", "spoilt", "waits", "frame")
    chosen = ranked.unique(["track", "bin"], keep="first", maintain_order=True).drop("bin", "spoilt", "waits")
    return chosen.sort("frame", "track"), small


def cut(image: np.ndarray, box: Sequence[float]) -> np.ndarray | None:
    """The part of `image` [H, W, 3] inside `box` at native size, clipped to the frame; None if nothing is inside.

    >>> cut(np.zeros((360, 640, 3), np.uint8), (-4.0, 10.5, 20.0, 60.0)).shape
    (50, 20, 3)
    """
    height, width = image.shape[:2]
    x1, y1 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x2, y2 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return image[y1:y2, x1:x2] if x2 - x1 >= 2 and y2 - y1 >= 2 else None


def sharpness(crop: np.ndarray) -> float:
    """The variance of the Laplacian of a crop (uint8 RGB) at 128 pixels height (Pech-Pacheco et al., ICPR 2000)."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    size = max(2, round(width * SHARPNESS_HEIGHT / height)), SHARPNESS_HEIGHT
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if height > SHARPNESS_HEIGHT else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def thumbnail(crop: np.ndarray) -> np.ndarray:
    """The grey values, int16 [32, 16], by which near-duplicates are told."""
    small = cv2.resize(crop, THUMBNAIL, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.int16)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean absolute difference of two thumbnails in grey levels, 0 to 255."""
    return float(np.abs(one - other).mean())


def encode(crop: np.ndarray, quality: int) -> bytes:
    """The JPEG bytes of a crop (uint8 RGB)."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ReidkitError(f"OpenCV could not encode a crop of {crop.shape[1]} x {crop.shape[0]} pixels as JPEG.")
    return data.tobytes()


def crop_quality(frames: pl.DataFrame) -> pl.Series:
    """0..1 for each row of FRAME_COLUMNS: geometric mean of sharpness, size, share that is seen, and confidence."""
    sharp = pl.col("sharpness") / (pl.col("sharpness") + HALF_SHARP)
    tall = ((pl.col("y2") - pl.col("y1")) / FULL_HEIGHT).clip(0.0, 1.0)
    seen = (1 - pl.col("occlusion")) * (1 - pl.col("truncation"))
    product = sharp * tall * seen * pl.col("confidence").clip(0.0, 1.0)
    return frames.select(quality=(product.clip(0.0, 1.0) ** 0.25).cast(pl.Float32))["quality"]


def write_shard(path: Path, members: Sequence[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """Writes a plain tar, whole or not at all, and returns (offset, length) of each member's bytes in it.

    Headers carry no time and no user: the same crops make the same bytes.
    """
    places = []
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(data), 0o644
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
            places.append((file.tell(), len(data)))
            file.write(data)
            file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
    return places
