"""One event, simulated: who, what they do, where, and what every camera sees of it.

    event = make_event("sports", index=0, people=10, cameras=3, seconds=12, fps=15, size=(640, 360), seed=0)
    for pictures, truths in event.frames():      # one entry a camera
        ...

Pictures and truths have one entry a camera, and all cameras see the same moment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from . import dance, sports
from .camera import Camera, place
from .moving import MovingShot, path
from .people import Person, cast
from .render import CHUNK, Shot, Troupe, Truth
from .scene import SCENES, Scene

PLAYS = {"sports": (sports.play_match, sports.HALF), "dance": (dance.dance, dance.HALF)}
KINDS = tuple(PLAYS)


@dataclass(frozen=True)
class Event:
    """Everything that decides the frames of one event.

    Attributes:
        cameras: as they are put up. paths: each one in every frame where they move, empty where they stand.
    """

    name: str
    kind: str
    people: list[Person]
    cameras: list[Camera]
    performance: sports.Performance
    seed: int
    detail: int
    paths: list[list[Camera]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.performance.pose)

    @cached_property
    def scene(self) -> Scene:
        """The place. Painted when first asked for: truth.json needs none."""
        return SCENES[self.kind](np.random.default_rng([self.seed, 1]))

    def frames(self, only: list[int] | None = None) -> Iterator[tuple[list[np.ndarray], list[list[Truth]]]]:
        """For every frame (or those of `only`): each camera's picture, uint8 [H, W, 3] BGR, and its truth
        [(index into people, box, visibility), …]."""
        cv2.setNumThreads(1)
        troupe = Troupe(self.people, self.detail)
        shots = self._shots(troupe)
        chosen = np.arange(len(self)) if only is None else np.asarray(only)
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            body = troupe.pose(self.performance.pose[part], self.scene)
            ball = None if self.performance.ball is None else self.performance.ball[part]
            views = [shot.follow(part, body, ball) if self.paths else shot.frames(body, ball) for shot in shots]
            for seen in zip(*views, strict=True):
                yield [picture for picture, _ in seen], [truth for _, truth in seen]

    def _shots(self, troupe: Troupe) -> list[Shot]:
        seeds = [self.seed * 1009 + k for k in range(len(self.cameras))]
        if self.paths:
            return [MovingShot(self.scene, p, troupe, s) for p, s in zip(self.paths, seeds, strict=True)]
        return [Shot(self.scene, c, troupe, s) for c, s in zip(self.cameras, seeds, strict=True)]


def make_event(
    kind: str,
    index: int,
    people: int,
    cameras: int,
    seconds: float,
    fps: float,
    size: tuple[int, int],
    seed: int,
    first_id: int = 1,
    moving: bool = False,
    returning: Sequence[Person] = (),
) -> Event:
    """Event number `index` of a seed. The same arguments give the same frames, byte by byte.

    Args:
        moving: whether the cameras pan, tilt and zoom.
        returning: people of another event who take the places of this one's first people.
    """
    rng = np.random.default_rng([seed, index, KINDS.index(kind)])
    troupe = [*returning, *cast(kind, people, first_id, rng)[len(returning) :]]
    play, half = PLAYS[kind]
    performance = play(troupe, seconds, fps, rng)
    views = place(kind, cameras, size, half, rng)
    detail = 2 if size[1] >= 700 else 1
    own = np.random.default_rng([seed, index, KINDS.index(kind), 1])  # what else is drawn stays as it is
    paths = [path(camera, seconds, fps, own) for camera in views] if moving else []
    return Event(f"{kind}{index + 1:02d}", kind, troupe, views, performance, seed * 131 + index, detail, paths)
