"""Where the heads of simulated people are: the pixels of each head that a camera sees.

    for place, heads in head_pixels(settings, index=0, frames=range(0, 180, 6)):
        event, camera, frame = place
        rows, columns = heads[person]           # of a person's id, in pixels of the picture

The simulator draws the same figures again, with the head and its hair white and all else black; nearer figures cover.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from reidkit.simulator.body import HEAD
from reidkit.simulator.render import CHUNK, OVERSAMPLE, Body, Shot, Troupe
from reidkit.simulator.simulate import Settings, plan_event

Pixels = tuple[np.ndarray, np.ndarray]


class HeadShot(Shot):
    """A camera's view in which `develop` gives the canvas's heads: [H, W] the person's place + 1 where a head is."""

    def develop(self, body: Body, t: int, ball: np.ndarray | None) -> np.ndarray:
        white = self.canvas[..., 0] == 255
        owners = np.where(white, self.canvas[..., 3], 0)
        return owners[::OVERSAMPLE, ::OVERSAMPLE].copy()


def head_pixels(
    settings: Settings, index: int, frames: Sequence[int]
) -> Iterator[tuple[tuple[str, str, int], dict[int, Pixels]]]:
    """(event, camera, frame) -> the visible head pixels of each person by id, of event number `index`."""
    event = plan_event(settings, index)
    cv2.setNumThreads(1)
    troupe = Troupe(event.people, event.detail)
    starts = np.cumsum([0, *(len(m.vertices) for m in troupe.meshes)])[:-1]
    head = np.concatenate([_head_faces(m) for m in troupe.meshes])
    assert len(starts) == len(event.people)
    troupe.colours = np.where(head[:, None], 1e6, 0.0).astype(np.float32).repeat(3, 1)
    shots = [HeadShot(event.scene, camera, troupe, 0) for camera in event.cameras]
    chosen = np.asarray(list(frames))
    for start in range(0, len(chosen), CHUNK):
        part = chosen[start : start + CHUNK]
        body = troupe.pose(event.performance.pose[part], event.scene)
        ball = None if event.performance.ball is None else event.performance.ball[part]
        for camera, shot in zip(event.cameras, shots, strict=True):
            for frame, (owners, _) in zip(part.tolist(), shot.frames(body, ball), strict=True):
                found = {person.id: np.nonzero(owners == place + 1) for place, person in enumerate(event.people)}
                yield (event.name, camera.name, frame), {k: v for k, v in found.items() if len(v[0])}


def _head_faces(mesh) -> np.ndarray:
    """[F] whether a face follows the head: skull, face and the hair on it, not the neck."""
    follows = (mesh.weights * (mesh.bones == HEAD)).sum(1) > 0.5
    return follows[mesh.faces].all(1)
