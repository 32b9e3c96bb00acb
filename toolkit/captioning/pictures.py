"""The crops of a tracklet that a captioner is shown: sharp, unoccluded, and unlike each other in time and pose."""

import io

import numpy as np
import polars as pl
from PIL import Image, ImageOps

from ...datasets import Tracklet
from ...datasets.images import crop

CANDIDATES = 24  # crops decoded to compare poses
SHEET_HEIGHT, SHEET_GAP = 336, 8  # pixels; 336 is a tile of the common vision towers


def clarity(frames: pl.DataFrame) -> np.ndarray:
    """[n] how clearly each crop shows its person, in (0, 1], from the columns of frames.parquet."""
    sharpness = frames["sharpness"].to_numpy().astype(np.float64)
    height = (frames["y2"] - frames["y1"]).to_numpy().astype(np.float64)
    clear = (1 - frames["occlusion"].to_numpy()) * (1 - frames["truncation"].to_numpy())
    return _ranks(sharpness) * _ranks(height) * np.clip(clear, 0.05, 1) ** 2


def _ranks(values: np.ndarray) -> np.ndarray:
    """Values to (0, 1] by rank: sharpness has no scale that holds across cameras."""
    order = values.argsort(kind="stable").argsort(kind="stable")
    return (order + 1) / len(values)


def choose(scores: np.ndarray, times: np.ndarray, looks: np.ndarray, count: int) -> list[int]:
    """The indices of up to `count` crops, in time order: the best first, then each the farthest from those chosen.

    Args:
        scores: [n]; times: [n] seconds; looks: [n, d] thumbnails, any scale.
    """
    span = max(float(np.ptp(times)), 1e-9)
    looks = (looks - looks.mean(0)) / max(float(looks.std()), 1e-9) / np.sqrt(looks.shape[1])
    points = np.concatenate([looks, 2 * (times[:, None] - times.min()) / span], axis=1)
    chosen = [int(np.argmax(scores))]
    while len(chosen) < min(count, len(scores)):
        distance = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
        distance[chosen] = -1
        chosen.append(int(np.argmax(distance * (0.5 + scores))))
    return sorted(chosen)


def best_images(tracklet: Tracklet, frames: pl.DataFrame, count: int) -> list[Image.Image]:
    """Up to `count` crops of a tracklet, RGB, in time order.

    Args:
        frames: the tracklet's rows of frames.parquet, in the order of `tracklet.frames`.
    """
    scores = clarity(frames)
    good = np.sort(np.argsort(-scores, kind="stable")[: max(CANDIDATES, count)])
    images = [Image.fromarray(crop(tracklet.frames, int(i))) for i in good]
    looks = np.stack([np.asarray(ImageOps.grayscale(image).resize((8, 16)), np.float32).ravel() for image in images])
    times = frames["time"].to_numpy()[good]
    return [images[i] for i in choose(scores[good], times, looks, count)]


def side_by_side(images: list[Image.Image]) -> Image.Image:
    """One contact sheet, every crop at the same height."""
    scaled = [
        image.resize((max(1, round(image.width * SHEET_HEIGHT / image.height)), SHEET_HEIGHT)) for image in images
    ]
    width = sum(image.width for image in scaled) + SHEET_GAP * (len(scaled) - 1)
    sheet, x = Image.new("RGB", (width, SHEET_HEIGHT), (127, 127, 127)), 0
    for image in scaled:
        sheet.paste(image, (x, 0))
        x += image.width + SHEET_GAP
    return sheet


def jpeg(image: Image.Image) -> bytes:
    """The JPEG bytes of a picture, for sending."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
