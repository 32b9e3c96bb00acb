"""Calibrated perspective cameras round a floor, each with its own look (colour cast, exposure, blur, noise).

    cameras = place("sports", count=3, size=(640, 360), half=(7.0, 4.5), rng=rng)
    pixels, depth = cameras[0].project(points)      # points [..., 3] in metres

The floor's centre is the origin, z points up, and lengths are in metres.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Look:
    """What a camera does to the light.

    Attributes:
        gains: factors of red, green, blue.
        blur: sigma in pixels at a width of 640.
        noise: sigma in grey levels.
    """

    gains: tuple[float, float, float]
    gamma: float
    blur: float
    noise: float
    vignette: float


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: pixels = K (R X + t), x to the right, y down, origin at the top left corner.

    Attributes:
        K, R: float64 [3, 3]; t: float64 [3], metres; size: width and height in pixels.
    """

    name: str
    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    size: tuple[int, int]
    look: Look

    @property
    def position(self) -> np.ndarray:
        return -self.R.T @ self.t

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2] and depth [...] in metres of world points [..., 3]. Depth <= 0 is behind the camera."""
        dtype = points.dtype if points.dtype.kind == "f" else np.float64
        inside = points @ self.R.T.astype(dtype) + self.t.astype(dtype)
        depth = inside[..., 2]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        pixels = inside[..., :2] / safe[..., None]
        focal = np.array([self.K[0, 0], self.K[1, 1]], dtype)
        return pixels * focal + self.K[:2, 2].astype(dtype), depth


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation world -> camera of an upright camera at `position` that looks at `target`."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def place(kind: str, count: int, size: tuple[int, int], half: tuple[float, float], rng: np.random.Generator):
    """`count` cameras that see the floor of half extents `half` (metres) from different sides.

    Sports: all round the court. Dance: an arc on the audience's side (the dancers face negative y).
    """
    width, height = size
    cameras = []
    if kind == "sports":
        start = -90.0 + float(rng.uniform(-20, 20))
        angles = start + np.arange(count) * (360.0 / count if count != 2 else 110.0)
        angles += rng.uniform(-12, 12, count)
    else:
        arc = min(120.0, 50.0 * (count - 1))
        angles = -90.0 + (np.linspace(-arc / 2, arc / 2, count) if count > 1 else np.zeros(1))
        angles = angles + rng.uniform(-7, 7, count)
    for k, degrees in enumerate(angles):
        a = np.radians(degrees)
        reach = np.hypot(half[0] * np.cos(a), half[1] * np.sin(a))
        distance = reach + 4.6 + float(rng.uniform(0, 1.2))
        lift = float(rng.uniform(3.3, 4.9)) if kind == "sports" else float(rng.uniform(2.2, 3.4))
        position = np.array([distance * np.cos(a), distance * np.sin(a), lift])
        target = np.array([0.0, 0.0, 0.55]) + np.array([*rng.uniform(-0.4, 0.4, 2), 0.0])
        # as wide as needed for most of the floor to be in view
        across = np.hypot(half[0] * np.sin(a), half[1] * np.cos(a))
        field = 2 * np.arctan((across * (0.78 if kind == "sports" else 0.84)) / (distance * 0.98))
        focal = width / 2 / np.tan(max(field, np.radians(34)) / 2)
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        rotation = look_at(position, target)
        warm = float(rng.uniform(-0.09, 0.09))
        tint = float(rng.uniform(-0.04, 0.04))
        exposure = float(rng.uniform(0.86, 1.16))
        look = Look(
            gains=(exposure * (1 + warm), exposure * (1 + tint), exposure * (1 - warm)),
            gamma=float(rng.uniform(0.88, 1.14)),
            blur=float(rng.uniform(0.25, 0.75)),
            noise=float(rng.uniform(1.5, 5.0)),
            vignette=float(rng.uniform(0.05, 0.28)),
        )
        cameras.append(Camera(f"cam{k + 1}", intrinsics, rotation, -rotation @ position, (width, height), look))
    return cameras
