"""A floor with people who walk about, filmed by calibrated cameras: `make_event(cameras=3, seconds=40, …)`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from reidkit.toolkit.floor.feet import STEP, FootTrack

WIDTH, HEIGHT, FOCAL = 1280, 720, 900.0


@dataclass(frozen=True)
class Filmed:
    """An event: a tracklet for each person and camera, whom it shows, and how the cameras stand.

    Attributes:
        tracks: of each tracklet. features: [N, D]. person: [N]. floors: [3, 3] pixels to metres of each camera.
    """

    tracks: list[FootTrack]
    features: np.ndarray
    person: np.ndarray
    floors: list[np.ndarray]


def camera(angle: float, distance: float = 11.0, lift: float = 4.0) -> np.ndarray:
    """[3, 4] projection of an upright camera that looks at the floor's centre."""
    position = np.array([distance * np.cos(angle), distance * np.sin(angle), lift])
    ahead = -position / np.linalg.norm(position)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    intrinsic = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    return intrinsic @ np.column_stack([rotation, -rotation @ position])


def walk(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and places [T, 2] of a person who goes from place to place at 1.5 m/s."""
    time = np.arange(0, seconds, 0.05)
    stops = rng.uniform(-3.5, 3.5, (int(seconds) + 2, 2))
    arrive = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(stops, axis=0), axis=1) / 1.5)])
    return time, np.column_stack([np.interp(time, arrive, stops[:, k]) for k in range(2)])


@pytest.fixture(scope="session")
def make_event() -> Callable[..., Filmed]:
    def make(
        people: int = 8,
        cameras: int = 3,
        seconds: float = 30.0,
        noise: float = 0.02,
        confusion: float = 0.3,
        offset: tuple[float, ...] = (),
        drift: tuple[float, ...] = (),
        seed: int = 0,
    ) -> Filmed:
        """
        Args:
            noise: of feet, in heights of the body.
            confusion: standard deviation of embeddings beside the distance between people, 1.
            offset, drift: by what each camera's clock is wrong: its time is true time - offset - drift * true time.
        """
        rng = np.random.default_rng(seed)
        walks = [walk(rng, seconds) for _ in range(people)]
        looks = rng.normal(size=(people, 16)) / np.sqrt(32)
        tracks, features, person, floors = [], [], [], []
        for k in range(cameras):
            projection = camera(2 * np.pi * k / cameras + 0.2)
            floors.append(np.linalg.inv(projection[:, [0, 1, 3]]))
            for who, (time, place) in enumerate(walks):
                foot = np.column_stack([place, np.zeros(len(place)), np.ones(len(place))]) @ projection.T
                head = np.column_stack([place, np.full(len(place), 1.7), np.ones(len(place))]) @ projection.T
                pixel = foot[:, :2] / foot[:, 2:]
                tall = pixel[:, 1] - (head[:, :2] / head[:, 2:])[:, 1]
                rows = slice(None, None, round(STEP / 0.05))
                pixel, tall, at = pixel[rows], tall[rows], time[rows]
                pixel = pixel + rng.normal(size=pixel.shape) * tall[:, None] * noise
                late = (offset[k] if offset else 0.0) + (drift[k] if drift else 0.0) * at
                spread = np.column_stack([tall, tall]) * 0.03
                tracks.append(FootTrack(k, at - late, pixel, spread, tall))
                vector = looks[who] + rng.normal(size=16) * confusion / np.sqrt(16)
                features.append(vector / np.linalg.norm(vector))
                person.append(who)
        return Filmed(tracks, np.array(features), np.array(person), floors)

    return make


@pytest.fixture(scope="session")
def event(make_event) -> Filmed:
    return make_event()
