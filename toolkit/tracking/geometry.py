"""Boxes [N, 4] (x1, y1, x2, y2 in pixels) against each other: `expanded_overlap(a, b, 0.3)`, `nested(a, b)`."""

import numpy as np


def expanded_overlap(one: np.ndarray, other: np.ndarray, by: float) -> np.ndarray:
    """[N, M] intersection over union of boxes that are each made wider and higher by the share `by` on every side.

    Boxes of people who move fast, or are seen after a gap, need not touch; expanded ones do (arXiv 2306.13074).

    >>> expanded_overlap(np.array([[0, 0, 10, 10.0]]), np.array([[10, 0, 20, 10.0]]), 0.5).round(3).tolist()
    [[0.333]]
    """
    return _shares(expand(one, by), expand(other, by))[0]


def expand(boxes: np.ndarray, by: float) -> np.ndarray:
    """[N, 4] the boxes, wider by the share `by` of their width on either side, and higher alike."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] - by * sides, boxes[:, 2:] + by * sides], 1)


def nested(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N, M] share of each box `one` that lies inside each box `other`."""
    _, common, area = _shares(one, other)
    return common / np.maximum(area[:, None], 1e-9)


def crowding(boxes: np.ndarray) -> np.ndarray:
    """[N] highest intersection over union of each box with another of them; 0 for one that is alone."""
    if len(boxes) < 2:
        return np.zeros(len(boxes))
    overlap = expanded_overlap(boxes, boxes, 0.0)
    np.fill_diagonal(overlap, 0.0)
    return overlap.max(1)


def _shares(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - common
    return common / np.maximum(union, 1e-9), common, areas[0]
