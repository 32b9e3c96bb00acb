"""Where a person's head is by proportion, and how it is made unrecognisable.

    region = head_region((x1, y1, x2, y2), truncation=0.1)      # of a person's box, in its coordinates
    picture = cover(picture, [region])

A head takes the upper fifth of an upright person's box. The region is larger, for raised arms and trembling boxes, and
in a wide box (somebody bent, cut off below the waist, or lying) it goes by the width as well. How much of simulated
people's heads it covers: `benchmarks/results/faces.md`.
"""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from .images import decode

Region = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels

DOWN = 0.30  # share of the box's height
ACROSS = 0.45  # share of its width, where that is more
AROUND = 0.06  # share of the box's height that is added above, and of its width on both sides
QUALITY = 92  # of JPEGs that are encoded anew


def head_region(box: Region, truncation: float = 0.0) -> Region:
    """The region of `box` that the person's head most likely lies in.

    Args:
        truncation: share of the box outside the picture; a person who is cut off is mostly cut off below, so that the
            head takes a larger part of what is seen.

    >>> [round(side, 1) for side in head_region((0, 0, 40, 100))]
    [-2.4, -6.0, 42.4, 30.0]
    """
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    down = min(height, max(DOWN * height / max(1.0 - truncation, 0.5), ACROSS * width))
    return x1 - AROUND * width, y1 - AROUND * height, x2 + AROUND * width, y1 + down


def cover(picture: np.ndarray, regions: Iterable[Region]) -> np.ndarray:
    """A copy of the picture (uint8 [H, W, 3]) whose regions each have one colour, the mean of what was there.

    Three numbers are all that is left of a region: nothing in it can be brought back.
    """
    out = picture.copy()
    height, width = picture.shape[:2]
    for x1, y1, x2, y2 in regions:
        left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
        right, bottom = min(width, int(np.ceil(x2))), min(height, int(np.ceil(y2)))
        if right > left and bottom > top:
            part = out[top:bottom, left:right]
            part[:] = np.rint(part.reshape(-1, 3).mean(0)).astype(np.uint8)
    return out


def cover_by_proportion(picture: np.ndarray) -> np.ndarray:
    """A crop of one person (uint8 [H, W, 3]) with the head's region covered, the crop taken for the person's box."""
    height, width = picture.shape[:2]
    return cover(picture, [head_region((0, 0, width, height))])


def cover_jpeg(data: bytes, regions: Iterable[Region]) -> bytes | None:
    """The JPEG with its regions covered, encoded once more; None where it can't be decoded."""
    picture = decode(data)
    if picture is None:
        return None
    out = io.BytesIO()
    Image.fromarray(cover(picture, regions)).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
