"""How far a moving camera shifts the picture, told by the people's boxes alone: `pan(boxes)` -> [F, 2, 3] steps.

For boxes without pictures (`camera_motion` looks at those). What all boxes do from one frame to the next is the
camera's doing, or might as well be: a motion that all have in common tells nobody from anybody.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..camera_path import IDENTITY
from .geometry import expanded_overlap

FEWEST = 4  # pairs of boxes from which a shift is read
EXPANDED = 0.3
LEAST_OVERLAP = 0.3


def pan(frames: list[np.ndarray]) -> np.ndarray:
    """[F, 2, 3] maps a point of the frame before to each frame, by a shift; the identity where the camera stands.

    Args:
        frames: boxes [n, 4] of each frame that was looked at.
    """
    steps = np.zeros((len(frames), 2))
    spread = np.ones((len(frames), 2))
    for k in range(1, len(frames)):
        before, after = frames[k - 1], frames[k]
        if min(len(before), len(after)) < FEWEST:
            continue
        moved = _moved(before, after, steps[k - 1])
        if len(moved) >= FEWEST:
            steps[k] = np.median(moved, 0)
            spread[k] = np.median(np.abs(moved - steps[k]), 0)
    path = np.tile(IDENTITY, (len(frames), 1, 1))
    # A shift of less than people's own motion beside it, at most times, is chance: the camera stands.
    if len(frames) and np.median(np.hypot(*steps.T)) >= 0.5 * np.median(np.hypot(*spread.T)):
        path[:, :, 2] = steps
    return path


def _moved(before: np.ndarray, after: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """[m, 2] by how much the middles of boxes that go together moved.

    Args:
        guess: the camera's last step; it goes on as a rule.
    """
    overlap = expanded_overlap(before + np.tile(guess, 2), after, EXPANDED)
    rows, columns = linear_sum_assignment(-overlap)
    good = overlap[rows, columns] >= LEAST_OVERLAP
    shift = after[columns[good]] - before[rows[good]]
    return (shift[:, :2] + shift[:, 2:]) / 2
