"""Where a followed person's box is expected next: a Kalman filter of constant velocity for many boxes at once.

    motion = Motion.of(boxes)
    motion.predict(steps=1.0)
    motion.update(rows, boxes)

Centre, width and height of a box are filtered apart from each other, with noise in proportion to the box's height
(as SORT, arXiv 1602.00763, and its successors have it), so that one covariance of place and velocity serves all four.
"""

from dataclasses import dataclass

import numpy as np

from ..camera_path import moved, scale_of

# Standard deviations as shares of a box's height: of a measured box, of a place and of a velocity in one step of time.
MEASURED, PLACE, VELOCITY = 0.05, 0.03, 0.006
FADING = 0.95  # of an unseen person's velocity in a step: nobody runs straight on for long


@dataclass
class Motion:
    """Filters of N boxes.

    Attributes:
        place: [N, 4] centre, width and height in pixels. speed: [N, 4] of each, in a step of time.
        spread: [N, 3] variance of place, covariance, variance of velocity, in squared heights.
    """

    place: np.ndarray
    speed: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, boxes: np.ndarray) -> "Motion":
        """Filters of boxes [N, 4] that are seen for the first time."""
        spread = np.tile([4 * MEASURED**2, 0.0, 100 * VELOCITY**2], (len(boxes), 1))
        return cls(_centred(boxes), np.zeros((len(boxes), 4)), spread)

    @property
    def boxes(self) -> np.ndarray:
        """[N, 4] corners of the expected boxes."""
        half = np.maximum(self.place[:, 2:], 1.0) / 2
        return np.concatenate([self.place[:, :2] - half, self.place[:, :2] + half], 1)

    def predict(self, steps: float, unseen: np.ndarray) -> None:
        """Moves all filters on by `steps` steps of time; the velocities of the `unseen` [N] fade."""
        self.speed[unseen] *= FADING**steps
        self.speed[unseen, 2:] = 0.0
        self.place = self.place + steps * self.speed
        place, both, speed = self.spread.T
        self.spread = np.stack(
            [
                place + 2 * steps * both + steps**2 * speed + steps * PLACE**2,
                both + steps * speed,
                speed + steps * VELOCITY**2,
            ],
            1,
        )

    def carry(self, step: np.ndarray) -> None:
        """Takes all filters along with the camera, which moved by `step` [2, 3]; spreads go with the boxes' heights."""
        turn, scale = step[:, :2], scale_of(step)
        self.place = np.concatenate([moved(step, self.place[:, :2]), scale * self.place[:, 2:]], 1)
        self.speed = np.concatenate([self.speed[:, :2] @ turn.T, scale * self.speed[:, 2:]], 1)

    def update(self, rows: np.ndarray, boxes: np.ndarray) -> None:
        """Corrects the filters `rows` [n] by boxes [n, 4] that were seen."""
        place, both, speed = self.spread[rows].T
        total = place + MEASURED**2
        gain, gain_speed = place / total, both / total
        off = _centred(boxes) - self.place[rows]
        self.place[rows] += gain[:, None] * off
        self.speed[rows] += gain_speed[:, None] * off
        self.spread[rows] = np.stack([(1 - gain) * place, (1 - gain) * both, speed - gain_speed * both], 1)

    def joined(self, other: "Motion") -> "Motion":
        """These filters and the other ones behind them."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("place", "speed", "spread"))
        return Motion(*(np.concatenate(pair) for pair in pairs))

    def only(self, rows: np.ndarray) -> "Motion":
        """The filters `rows`."""
        return Motion(self.place[rows], self.speed[rows], self.spread[rows])


def _centred(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
