"""Frames for MOTChallenge annotation that comes without images: a made-up figure drawn into every box.

    reidkit simulate OUT --from-mot DIR --frames 100

Reads `DIR/<sequence>/gt/gt.txt` and `seqinfo.ini` (SportsMOT's layout), writes `OUT/<sequence>/img1/000001.jpg` with
both beside. Motion and boxes are real, looks are not. SportsMOT numbers its ids anew in every clip `v_<video>_c<clip>`,
so that nothing says who is who in two of them: an id is one person within its clip, and another person in the next.
Where an annotation does keep ids over the clips of a video, `shared_ids` draws one person for each. Ids in OUT count
from 1 over all people, so that `truth.json` can name them; it also says which annotated id is whose.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from ..datasets.errors import UsageError
from ..datasets.files import atomic_path, write_atomic
from ..datasets.mot import Line, SequenceInfo, read_lines, read_seqinfo, write_lines
from .camera import Camera, Look, look_at
from .gait import locomotion, smooth
from .people import Person, cast
from .render import CHUNK, MOST_PEOPLE, Body, Shot, Troupe
from .scene import sports_scene
from .skeleton import INDEX

STRETCH = (0.72, 1.35)  # how much narrower or wider a figure may get to fill its box


@dataclass(frozen=True)
class Sequence:
    """One annotated sequence: boxes [frames, ids, 4] (x, y, w, h; NaN where absent) and its seqinfo.ini."""

    name: str
    video: str
    ids: list[int]
    boxes: np.ndarray
    lines: list[Line]  # of the frames taken
    info: SequenceInfo

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.info.width, self.info.height

    @property
    def fps(self) -> float:
        return self.info.fps

    def __len__(self) -> int:
        return len(self.boxes)


def video_of(sequence: str) -> str:
    """The video that a clip is of, as SportsMOT names clips; any other name is a video of its own.

    >>> video_of("v_abc_c003"), video_of("final")
    ('v_abc', 'final')
    """
    match = re.fullmatch(r"(.+)_c\d+", sequence)
    return match[1] if match else sequence


def read_sequences(folder: Path, frames: int | None = None) -> list[Sequence]:
    """The sequences below `folder`, by name, each cut to its first `frames` frames.

    Raises:
        UsageError: no sequence there, two of one name, a file that can't be read, more people than can be drawn.
    """
    found = sorted({p.parent.parent for p in folder.rglob("gt/gt.txt")})
    if not found:
        raise UsageError(f"No `<sequence>/gt/gt.txt` below '{folder}'; give a folder of MOTChallenge sequences.")
    name, count = Counter(path.name for path in found).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} sequences below '{folder}' are named '{name}'. Give a folder in which names differ.")
    sequences = []
    for path in found:
        info = read_seqinfo(path / "seqinfo.ini")
        if not (info.length and info.width and info.height):
            raise UsageError(
                f"'{path / 'seqinfo.ini'}' must say seqLength, imWidth and imHeight, which decide the images. Add them."
            )
        taken = min(info.length, frames or info.length)
        lines = [line for line in read_lines(path / "gt" / "gt.txt") if line.frame <= taken]
        drawn = [line for line in lines if line.person and line.width > 1 and line.height > 1]
        ids = sorted({line.id for line in drawn})
        if len(ids) > MOST_PEOPLE:
            raise UsageError(f"'{path}' has {len(ids)} people; at most {MOST_PEOPLE} can be drawn in one sequence.")
        boxes = np.full((taken, len(ids), 4), np.nan)
        for line in drawn:
            boxes[line.frame - 1, ids.index(line.id)] = (line.x, line.y, line.width, line.height)
        sequences.append(Sequence(path.name, video_of(path.name), ids, boxes, lines, info))
    return sequences


def looks(sequences: list[Sequence], seed: int, shared_ids: bool) -> dict[str, dict[int, Person]]:
    """Sequence -> annotated id -> who is drawn there. The people's own ids count from 1 over all sequences.

    Args:
        shared_ids: an id is the same person in all clips of a video; otherwise every sequence has people of its own.
    """
    groups: dict[str, list[Sequence]] = {}
    for sequence in sequences:
        groups.setdefault(sequence.video if shared_ids else sequence.name, []).append(sequence)
    people: dict[str, dict[int, Person]] = {}
    first = 1
    for number, name in enumerate(sorted(groups), 1):
        ids = sorted({i for sequence in groups[name] for i in sequence.ids})
        drawn = dict(zip(ids, cast("sports", len(ids), first, np.random.default_rng([seed, number])), strict=True))
        first += len(ids)
        people |= {sequence.name: {i: drawn[i] for i in sequence.ids} for sequence in groups[name]}
    return people


def view(size: tuple[int, int]) -> Camera:
    """The camera all figures are seen by before they are fitted into their boxes: broadcast height, far away."""
    position = np.array([0.0, -13.0, 5.0])
    rotation = look_at(position, np.array([0.0, 0.6, 0.5]))
    focal = size[0] * 0.95
    intrinsics = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1.0]])
    return Camera("view", intrinsics, rotation, -rotation @ position, size, Look((1, 1, 1), 1.0, 0.3, 2.5, 0.15))


class Imitation(Shot):
    """A shot whose figures are stretched into annotated boxes; the lower a box ends, the nearer its figure."""

    boxes: np.ndarray  # [T, N, 4] of the chunk being drawn

    def locate(self, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels, depth, _ = super().locate(body)
        pixels = pixels.copy()
        for n, part in enumerate(self.troupe.vertex_slices):
            points = pixels[:, part]
            low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
            x, y, w, h = (self.boxes[:, n, k, None, None] for k in range(4))
            tall = h / (high - low)[..., 1:]
            wide = np.clip(w / (high - low)[..., :1], tall * STRETCH[0], tall * STRETCH[1])
            fitted_x = (points[..., :1] - (low + high)[..., :1] / 2) * wide + x + w / 2
            fitted_y = (points[..., 1:] - low[..., 1:]) * tall + y
            pixels[:, part] = np.nan_to_num(np.concatenate([fitted_x, fitted_y], -1), nan=-1e4)
        bottom = np.nan_to_num(self.boxes[..., 1] + self.boxes[..., 3], nan=0.0)
        return pixels, depth, -bottom

    def floor_light(self, body: Body, t: int, ball) -> np.ndarray:
        """The background with a soft shadow at every pair of feet."""
        dark = np.full((self.camera.size[1] // 2, self.camera.size[0] // 2), 255, np.uint8)
        for x, y, w, h in self.boxes[t]:
            if not np.isnan(x):
                centre = (round((x + w / 2) / 2), round((y + h * 0.985) / 2))
                cv2.ellipse(dark, centre, (max(2, round(h * 0.11)), max(1, round(h * 0.035))), 0, 0, 360, 120, -1)
        dark = cv2.resize(cv2.blur(dark, (9, 5)), self.camera.size, interpolation=cv2.INTER_LINEAR)
        return cv2.multiply(self.background, cv2.cvtColor(dark, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def poses(sequence: Sequence, people: list[Person]) -> np.ndarray:
    """[T, N, C]: figures at the origin that step and turn as their boxes move.

    A box's way is read in metres by the person's height; moving up in the picture is moving away from the camera.
    """
    frames, count = sequence.boxes.shape[:2]
    position, heading = np.zeros((frames, count, 2)), np.zeros((frames, count))
    times = np.arange(frames)
    for n, person in enumerate(people):
        there = np.flatnonzero(~np.isnan(sequence.boxes[:, n, 0]))
        box = np.stack([np.interp(times, there, sequence.boxes[there, n, k]) for k in range(4)], 1)
        metre = smooth(box[:, 3:], sequence.fps * 0.4)[:, 0] / person.height  # pixels a metre
        feet = smooth(np.stack([box[:, 0] + box[:, 2] / 2, box[:, 1] + box[:, 3]], 1), sequence.fps * 0.15)
        step = np.gradient(feet, axis=0) / metre[:, None] if frames > 1 else np.zeros((frames, 2))
        step[:, 1] *= -2.2  # the floor is seen under a flat angle
        step *= np.minimum(1.0, 7.0 / np.maximum(np.linalg.norm(step, axis=1) * sequence.fps, 1e-6))[:, None]
        position[:, n] = np.cumsum(step, axis=0)
        way = (
            smooth(step, sequence.fps * 0.3) + np.array([0.02 * np.cos(n * 2.4), 0.02 * np.sin(n * 2.4)]) / sequence.fps
        )
        heading[:, n] = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
    if frames < 2:
        position = np.repeat(position, 2, 0)
        heading = np.repeat(heading, 2, 0)
    pose = locomotion(position, smooth(heading, sequence.fps * 0.12), people, sequence.fps)[:frames]
    pose[..., INDEX["x"]] = pose[..., INDEX["y"]] = 0
    return pose


def render_sequence(sequence: Sequence, people: dict[int, Person], out: Path, seed: int, advance=None) -> None:
    """Writes `out/<sequence>/img1/*.jpg`, `seqinfo.ini` and `gt/gt.txt`, which comes last: its presence means done."""
    cv2.setNumThreads(1)
    folder = out / sequence.name
    scene = sports_scene(np.random.default_rng([seed, sum(sequence.video.encode())]))
    drawn = [people[i] for i in sequence.ids]
    if drawn:
        troupe = Troupe(drawn, 1)
        pose = poses(sequence, drawn)
        shot = Imitation(scene, view(sequence.size), troupe, seed)
        for start in range(0, len(sequence), CHUNK):
            body = troupe.pose(pose[start : start + CHUNK], scene)
            shot.boxes = sequence.boxes[start : start + CHUNK]
            for k, (picture, _) in enumerate(shot.frames(body, None)):
                _write_jpeg(folder / "img1" / f"{start + k + 1:06d}.jpg", picture)
                if advance:
                    advance(1)
    entries = sequence.info.entries | {"seqLength": str(len(sequence)), "imDir": "img1", "imExt": ".jpg"}
    text = "\n".join(["[Sequence]", *(f"{key}={value}" for key, value in entries.items())])
    write_atomic(folder / "seqinfo.ini", f"{text}\n")
    lines = [msgspec.structs.replace(line, id=people[line.id].id) for line in sequence.lines if line.id in people]
    write_lines(folder / "gt" / "gt.txt", lines)


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)
