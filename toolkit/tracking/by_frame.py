"""The boxes of a take in the order of its frames, and the camera's path beside them: `by_frame(detections, steps)`."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from ..camera_path import CameraPath
from ..track import BOX
from .camera import pan
from .geometry import crowding


@dataclass(frozen=True)
class TakenBoxes:
    """N boxes in F frames that were looked at.

    Attributes:
        frames: frame, time of the F frames.
        rows: [N] rows of the detections that are boxes.
        start: [F + 1] position in `rows` of each frame's first box; the last one is N.
        box: [N, 4] corners in pixels.
        camera: its path through the F frames.
    """

    frames: pl.DataFrame
    rows: np.ndarray
    start: np.ndarray
    box: np.ndarray
    camera: CameraPath

    @cached_property
    def time(self) -> np.ndarray:
        """[N] seconds of each box."""
        return np.repeat(self.frames["time"].to_numpy(), np.diff(self.start))

    @cached_property
    def crowd(self) -> np.ndarray:
        """[N] highest intersection over union of each box with another of its frame."""
        return np.concatenate([np.zeros(0), *(crowding(self.box[a:b]) for a, b in itertools.pairwise(self.start))])


def by_frame(detections: pl.DataFrame, steps: np.ndarray | None = None) -> TakenBoxes:
    """The boxes of a take.

    Args:
        detections: columns frame, time, x1, y1, x2, y2, by frame; a frame that was looked at and holds nobody has one
            row with null in place of a box.
        steps: [F, 2, 3] of the camera (`camera_path`) in each frame that was looked at; None: a pan is read off the
            boxes.
    """
    frames = detections.select("frame", "time").unique(maintain_order=True)
    rows = np.flatnonzero(detections["x1"].is_not_null().to_numpy())
    frame = detections["frame"].to_numpy()[rows]
    box = detections[rows].select(BOX).to_numpy().astype(np.float64).reshape(-1, 4)
    start = np.append(np.searchsorted(frame, frames["frame"].to_numpy()), len(rows)).astype(np.int64)
    if steps is None:
        steps = pan([box[a:b] for a, b in itertools.pairwise(start)])
    return TakenBoxes(frames, rows, start, box, CameraPath.of(steps))
