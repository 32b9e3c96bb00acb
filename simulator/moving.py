"""A camera that pans, tilts and zooms on its tripod: `path(camera, seconds, fps, rng)` -> a camera for every frame.

    shot = MovingShot(scene, path(camera, 12.0, 15.0, rng), troupe, seed)
    for picture, truth in shot.follow(range(48), body, ball):
        ...

The camera's place stays, so that what it sees of the scene in two frames is one picture seen by two homographies:
the backdrop is drawn once, as wide as all frames need it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from .camera import Camera
from .render import Body, Shot, Troupe, Truth
from .scene import Scene, backdrop

PAN, TILT, ZOOM = 12.0, 2.0, 1.3  # degrees to either side, and the largest factor of the focal length
PERIOD = (5.0, 9.0)  # seconds of a swing
REST = 0.35  # of a swing's height: nearer to its ends the camera rests
HALF_PIXEL = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def path(camera: Camera, seconds: float, fps: float, rng: np.random.Generator) -> list[Camera]:
    """The camera in each frame: it swings round where it stood, with rests."""
    time = np.arange(round(seconds * fps)) / fps
    swings = []
    for _ in range(3):
        wave = np.sin(2 * np.pi * (time / rng.uniform(*PERIOD) + rng.uniform()))
        swings.append(np.clip(wave / (1 - REST), -1, 1))
    pan, tilt = np.radians(PAN) * swings[0], np.radians(TILT) * swings[1]
    zoom = 1 + (ZOOM - 1) * (0.5 + 0.5 * swings[2])
    return [_turned(camera, *values) for values in zip(pan, tilt, zoom, strict=True)]


def _turned(camera: Camera, pan: float, tilt: float, zoom: float) -> Camera:
    across = np.array([[np.cos(pan), 0, -np.sin(pan)], [0, 1, 0], [np.sin(pan), 0, np.cos(pan)]])
    up = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    rotation = up @ across @ camera.R
    return replace(
        camera, K=camera.K * [[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]], R=rotation, t=-rotation @ camera.position
    )


def homography(before: Camera, after: Camera) -> np.ndarray:
    """[3, 3] maps a pixel of one camera to the other's, of all that stands still; both are in one place."""
    return after.K @ after.R @ before.R.T @ np.linalg.inv(before.K)


def wide(cameras: Sequence[Camera]) -> Camera:
    """One camera in their place that sees all that they see, as sharply."""
    middle = cameras[len(cameras) // 2]
    focal = max(camera.K[0, 0] for camera in cameras)
    straight = replace(middle, K=np.diag([focal, focal, 1.0]))
    width, height = middle.size
    ends = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], np.float64)
    seen = np.concatenate([homography(camera, straight) @ ends for camera in cameras], axis=1)
    low, high = (seen[:2] / seen[2]).min(1) - 2, (seen[:2] / seen[2]).max(1) + 2
    intrinsics = np.array([[focal, 0, -low[0]], [0, focal, -low[1]], [0, 0, 1]])
    return replace(straight, K=intrinsics, size=tuple(int(n) for n in np.ceil(high - low)))


class MovingShot(Shot):
    """One moving camera's view of one event."""

    def __init__(self, scene: Scene, cameras: Sequence[Camera], troupe: Troupe, seed: int):
        self.cameras, self.wide = cameras, wide(cameras)
        self.all_round = backdrop(scene, self.wide)
        super().__init__(scene, cameras[0], troupe, seed, self._background(cameras[0]))

    def _background(self, camera: Camera) -> np.ndarray:
        seen = np.linalg.inv(HALF_PIXEL) @ homography(self.wide, camera) @ HALF_PIXEL
        return cv2.warpPerspective(self.all_round, seen, camera.size, flags=cv2.INTER_LINEAR)

    def follow(
        self, numbers: Sequence[int], body: Body, ball: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, list[Truth]]]:
        """One (picture, truth) for each frame number, as `frames` gives them."""
        for t, number in enumerate(numbers):
            self.camera = self.cameras[number]
            self.background = self._background(self.camera)
            one = slice(t, t + 1)
            alone = Body(*(getattr(body, name)[one] for name in ("vertices", "normals", "colours", "joints", "tips")))
            yield from self.frames(alone, None if ball is None else ball[one])
