"""One event, simulated: who, what they do, where, and what every camera sees of it.

    event = make_event("sports", index=0, people=10, cameras=3, seconds=12, fps=15, size=(640, 360), seed=0)
    for pictures, truths in event.frames():      # one entry a camera
        ...

Pictures and truths have one entry a camera, and all cameras see the same moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from . import dance, sports
from .camera import Camera, place
from .people import Person, cast
from .render import CHUNK, Shot, Troupe, Truth
from .scene import SCENES, Scene

PLAYS = {"sports": (sports.play_match, sports.HALF), "dance": (dance.dance, dance.HALF)}
KINDS = tuple(PLAYS)


@dataclass(frozen=True)
class Event:
    """Everything that decides the frames of one event."""

    name: str
    kind: str
    people: list[Person]
    cameras: list[Camera]
    performance: sports.Performance
    seed: int
    detail: int

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
        shots = [Shot(self.scene, c, troupe, self.seed * 1009 + k) for k, c in enumerate(self.cameras)]
        chosen = np.arange(len(self)) if only is None else np.asarray(only)
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            body = troupe.pose(self.performance.pose[part], self.scene)
            ball = None if self.performance.ball is None else self.performance.ball[part]
            for seen in zip(*(shot.frames(body, ball) for shot in shots), strict=True):
                yield [picture for picture, _ in seen], [truth for _, truth in seen]


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
) -> Event:
    """Event number `index` of a seed. The same arguments give the same frames, byte by byte."""
    rng = np.random.default_rng([seed, index, KINDS.index(kind)])
    troupe = cast(kind, people, first_id, rng)
    play, half = PLAYS[kind]
    performance = play(troupe, seconds, fps, rng)
    views = place(kind, cameras, size, half, rng)
    detail = 2 if size[1] >= 700 else 1
    return Event(f"{kind}{index + 1:02d}", kind, troupe, views, performance, seed * 131 + index, detail)
