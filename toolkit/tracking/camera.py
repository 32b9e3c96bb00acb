"""A take's boxes as a camera that stands still would have shown them: `stand_still(detections, camera)`.

How the camera moves is told by the pictures, or, where there are none, by the boxes alone (`motion_of_boxes`): what all
of them do from one frame to the next is the camera's doing, or might as well be: a motion that all have in common tells
nobody from anybody.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.optimize import linear_sum_assignment

from ..track import BOX
from .geometry import crowding, expanded_overlap

FEWEST = 4  # pairs of boxes from which a shift is read
EXPANDED = 0.3
LEAST_OVERLAP = 0.3
# Share of zoom and roll that is forgotten in a frame. Their errors would add up over a match; what is forgotten in a
# second is too little to matter.
FADING = 0.002
ELSEWHERE = 1e6  # pixels between two shots on the plane: nobody goes on from one to the other


@dataclass(frozen=True)
class Standing:
    """The boxes of a take on one plane.

    Attributes:
        frames: frame, time of the F frames that were looked at.
        rows: [N] rows of the detections that are boxes.
        start: [F + 1] position in `rows` of each frame's first box; the last one is N.
        box: [N, 4] corners on the plane.
        plane: [F, 2, 3] similarities; each maps a point of its frame to the plane.
    """

    frames: pl.DataFrame
    rows: np.ndarray
    start: np.ndarray
    box: np.ndarray
    plane: np.ndarray

    @cached_property
    def time(self) -> np.ndarray:
        """[N] seconds of each box."""
        return np.repeat(self.frames["time"].to_numpy(), np.diff(self.start))

    @cached_property
    def crowd(self) -> np.ndarray:
        """[N] highest intersection over union of each box with another of its frame."""
        return np.concatenate([np.zeros(0), *(crowding(self.box[a:b]) for a, b in itertools.pairwise(self.start))])

    def seen_by_camera(self, box: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """[M, 4] boxes [M, 4] of the plane in the pixels of the frames [M], positions in `frames`."""
        to = self.plane[frame]
        turned = np.linalg.inv(to[:, :, :2])
        return _mapped(box, np.concatenate([turned, -turned @ to[:, :, 2:]], 2))


def stand_still(detections: pl.DataFrame, camera: np.ndarray | None = None) -> Standing:
    """The boxes of a take on one plane.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, by frame; a frame that was looked at and holds nobody has one
            row with null in place of a box.
        camera: [F, 2, 3] maps a point of the frame before to each frame that was looked at, in pixels; NaN where
            another shot begins. None: read off the boxes.
    """
    frames = detections.select("frame", "time").unique(maintain_order=True)
    rows = np.flatnonzero(detections["x1"].is_not_null().to_numpy())
    frame = detections["frame"].to_numpy()[rows]
    box = detections[rows].select(BOX).to_numpy().astype(np.float64).reshape(-1, 4)
    start = np.append(np.searchsorted(frame, frames["frame"].to_numpy()), len(rows)).astype(np.int64)
    if camera is None:
        camera = motion_of_boxes([box[a:b] for a, b in itertools.pairwise(start)])
    plane = _plane(camera)
    return Standing(frames, rows, start, _mapped(box, np.repeat(plane, np.diff(start), axis=0)), plane)


def _plane(steps: np.ndarray) -> np.ndarray:
    """[F, 2, 3] maps a point of each frame to the plane.

    Args:
        steps: [F, 2, 3] maps a point of the frame before to each frame.
    """
    plane = np.zeros((len(steps), 2, 3))
    turn, shift, shot = 1.0 + 0.0j, 0.0 + 0.0j, 0  # a similarity is z -> turn * z + shift in complex numbers
    for k, step in enumerate(steps):
        if np.isnan(step).any():
            shot += 1
            turn, shift = 1.0 + 0.0j, complex(shot * ELSEWHERE)
        elif k:
            turned = complex(step[0, 0] + step[1, 1], step[1, 0] - step[0, 1]) / 2
            turn = turn / turned
            shift -= turn * complex(step[0, 2], step[1, 2])
            turn = turn ** (1 - FADING)
        plane[k] = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return plane


def _mapped(box: np.ndarray, by: np.ndarray) -> np.ndarray:
    """[N, 4] boxes whose middles are mapped by similarities [N, 2, 3]; as upright as before, and larger."""
    middle = (box[:, :2] + box[:, 2:]) / 2
    middle = (by[:, :, :2] @ middle[:, :, None])[:, :, 0] + by[:, :, 2]
    half = (box[:, 2:] - box[:, :2]) / 2 * np.hypot(by[:, 0, 0], by[:, 1, 0])[:, None]
    return np.concatenate([middle - half, middle + half], 1)


def motion_of_boxes(frames: list[np.ndarray]) -> np.ndarray:
    """[F, 2, 3] by how far the camera shifts the picture from the frame before; the identity where it stands.

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
    # A shift of less than people's own motion beside it, at most times, is chance: the camera stands.
    if len(steps) and np.median(np.hypot(*steps.T)) < 0.5 * np.median(np.hypot(*spread.T)):
        steps[:] = 0.0
    return np.concatenate([np.tile(np.eye(2), (len(frames), 1, 1)), steps[:, :, None]], 2)


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
