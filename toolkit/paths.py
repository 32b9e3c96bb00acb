"""Where a tracklet's box was at any time, from its crops: `at, known = between(times, boxes, wanted)`."""

import numpy as np

GAP = 1.0  # seconds between two crops, between which a box is taken to move evenly


def between(times: np.ndarray, boxes: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes [n, 4] of a path at the times `at` [n], and whether the path says where it was then [n].

    Args:
        times: [m] seconds, rising, of the path's boxes [m, 4].
    """
    place = np.searchsorted(times, at, side="right")
    low, high = np.clip(place - 1, 0, len(times) - 1), np.clip(place, 0, len(times) - 1)
    span = times[high] - times[low]
    share = np.clip((at - times[low]) / np.where(span > 0, span, 1.0), 0.0, 1.0)
    inside = (at >= times[0] - GAP / 4) & (at <= times[-1] + GAP / 4) & (span <= GAP)
    return boxes[low] + share[:, None] * (boxes[high] - boxes[low]), inside
