"""Where a moving camera has what stands still, frame by frame: `CameraPath.of(steps).carry(boxes, 3, 10)`.

A step [2, 3] maps a point of the frame before to a frame. One of NaN says that another shot begins there: nobody can be
followed across it.
"""

from dataclasses import dataclass

import numpy as np

IDENTITY = np.eye(2, 3)


@dataclass(frozen=True)
class CameraPath:
    """The steps of a take's F frames.

    Attributes:
        steps: float64 [F, 2, 3]; the identity at the first frame and where a shot begins.
        begins: bool [F], where a shot begins but the first.
        stands: whether all steps are the identity.
    """

    steps: np.ndarray
    begins: np.ndarray
    stands: bool
    _from_first: np.ndarray
    _to_first: np.ndarray

    @classmethod
    def of(cls, steps: np.ndarray) -> "CameraPath":
        """The path of steps [F, 2, 3], NaN where a shot begins."""
        begins = np.isnan(steps).any((1, 2))
        steps = np.where(begins[:, None, None], IDENTITY, steps)
        stands = bool((steps == IDENTITY).all())
        path = np.tile(np.eye(3), (len(steps), 1, 1))
        if not stands:
            path[:, :2] = steps
            for k in range(1, len(path)):
                path[k] = path[k] @ path[k - 1]
        return cls(steps, begins, stands, path, np.linalg.inv(path))

    @property
    def shot(self) -> np.ndarray:
        """[F] number of the shot that a frame belongs to, from 0."""
        return self.begins.cumsum()

    def carry(self, boxes: np.ndarray, start: np.ndarray | int, end: np.ndarray | int) -> np.ndarray:
        """[n, 4] where boxes [n, 4] of frames `start` would lie in frames `end`, had their people stood still."""
        if self.stands or not len(boxes):
            return boxes
        return carried(boxes, (self._from_first[end] @ self._to_first[start])[..., :2, :])


def carried(boxes: np.ndarray, step: np.ndarray) -> np.ndarray:
    """[n, 4] boxes [n, 4] by a step [2, 3], or each by its own [n, 2, 3]: middles are mapped, sides stay upright.

    >>> carried(np.array([[0.0, 0.0, 2.0, 4.0]]), np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]])).tolist()
    [[1.0, 0.0, 5.0, 8.0]]
    """
    middle = moved(step, (boxes[:, :2] + boxes[:, 2:]) / 2)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.atleast_1d(scale_of(step))[:, None]
    return np.concatenate([middle - half, middle + half], 1)


def moved(step: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[n, 2] points [n, 2] by a step [2, 3], or each by its own [n, 2, 3]."""
    return (step[..., :, :2] @ points[..., None])[..., 0] + step[..., :, 2]


def scale_of(step: np.ndarray) -> np.ndarray:
    """By how much a step [..., 2, 3] makes things larger."""
    return np.sqrt(np.abs(step[..., 0, 0] * step[..., 1, 1] - step[..., 0, 1] * step[..., 1, 0]))
