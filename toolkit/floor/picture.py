"""The picture of the floors: each camera's view of one moment with the floor and the people on it, and its plan.

    write_picture(Path("out/floor.jpg"), [Scene("final", frame, views, people), …])

A row an event. Lines lie a metre apart. A disc is where a person stands by the camera's own box, a ring where the other
cameras say that this person stands; people carry the colour and the number of their identity, and a trail of the second
before and after. On a floor that holds, discs lie in their rings. The plan shows every camera's discs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...datasets.files import atomic_path
from .feet import STEP, Feet
from .frame import Frame, places
from .homography import transfer

WIDTH = 480  # of a view
ACROSS = 4  # tiles of a row
GAP, HEAD = 8, 26
TRAIL = 1.0  # seconds before and after
MARGIN = 1.0  # metres of floor about the people
MOST_LINES = 60  # of the grid in each direction
BACKGROUND, INK, GRID = (250, 250, 248), (30, 30, 34), (235, 235, 120)
NOBODY = (150, 150, 150)
MARK = "reidkit floor"


@dataclass(frozen=True)
class View:
    """A camera: its name, its picture (uint8 RGB, any size; None: it could not be read) and its own size in pixels."""

    name: str
    image: np.ndarray | None
    width: int
    height: int


@dataclass(frozen=True)
class Scene:
    """An event at one moment.

    Attributes:
        event: its name.
        frame: the floor.
        feet: of all tracklets, on the frame's clocks.
        identity: [tracklets] number of each one's person; below 0: nobody.
        step: the moment.
        views: of the cameras, by number.
    """

    event: str
    frame: Frame
    feet: Feet
    identity: np.ndarray
    step: int
    views: Sequence[View]


def moment(feet: Feet, cameras: Sequence[int]) -> int:
    """The step at which the most feet are seen by the cameras; of several the one nearest the middle."""
    steps = feet.step[np.isin(feet.camera, list(cameras))]
    if not len(steps):
        return 0
    values, counts = np.unique(steps, return_counts=True)
    best = values[counts == counts.max()]
    return int(best[np.abs(best - np.median(values)).argmin()])


def write_picture(path: Path, scenes: Sequence[Scene]) -> Path | None:
    """Writes the picture of some events as a JPEG; where there are none, an earlier one goes and None is returned."""
    if not scenes:
        if _is_ours(path):
            path.unlink()
        return None
    rows = [_row(scene) for scene in scenes]
    width = max(row.width for row in rows)
    image = Image.new("RGB", (width, sum(row.height for row in rows)), BACKGROUND)
    top = 0
    for row in rows:
        image.paste(row, (0, top))
        top += row.height
    with atomic_path(path) as temporary:
        image.save(temporary, "JPEG", quality=88, comment=MARK)
    return path


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.info.get("comment") in (MARK, MARK.encode())
    except (OSError, ValueError, Image.DecompressionBombError):
        return False


def _row(scene: Scene) -> Image.Image:
    on_floor = places(scene.feet, scene.frame.on_floor)
    now = np.flatnonzero((scene.feet.step == scene.step) & np.isfinite(on_floor).all(1))
    # A box that is far off must not stretch the floor.
    low, high = (
        np.quantile(on_floor[np.isfinite(on_floor).all(1)], share, axis=0) + sign * MARGIN
        for share, sign in ((0.01, -1), (0.99, 1))
    )
    low, high = np.floor(low), np.maximum(np.ceil(high), np.floor(low) + 1)
    tiles = [_view(scene, camera, now, on_floor, low, high) for camera in sorted(scene.frame.on_floor)]
    tall = max(tile.height for tile in tiles)
    tiles.append(_plan(scene, now, on_floor, low, high, tall))
    lines = [tiles[k : k + ACROSS] for k in range(0, len(tiles), ACROSS)]
    width = max(sum(tile.width + GAP for tile in line) for line in lines) + GAP
    image = Image.new("RGB", (width, HEAD + len(lines) * (tall + HEAD)), BACKGROUND)
    draw, large, small = ImageDraw.Draw(image), ImageFont.load_default(17), ImageFont.load_default(12)
    draw.text((GAP, 3), f"{scene.event}, {scene.step * STEP:.1f} s", fill=INK, font=large)
    names = [scene.views[camera].name for camera in sorted(scene.frame.on_floor)] + ["from above, a metre a square"]
    y = HEAD
    for line in lines:
        x = GAP
        for tile in line:
            draw.text((x, y + 5), names.pop(0), fill=INK, font=small)
            image.paste(tile, (x, y + HEAD - 4))
            x += tile.width + GAP
        y += tall + HEAD
    return image


def _view(
    scene: Scene, camera: int, now: np.ndarray, on_floor: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Image.Image:
    view, feet = scene.views[camera], scene.feet
    scale = WIDTH / view.width
    size = (WIDTH, max(1, round(view.height * scale)))
    image = Image.new("RGB", size, NOBODY) if view.image is None else Image.fromarray(view.image).resize(size)
    draw = ImageDraw.Draw(image)
    back = np.linalg.inv(scene.frame.on_floor[camera])
    matrix = scene.frame.on_floor[camera]
    for line in _grid(low, high):
        _polyline(draw, line, back, matrix, scale, size, GRID)
    for tracklet in np.unique(feet.tracklet[now[feet.camera[now] == camera]]).tolist():
        near = (feet.tracklet == tracklet) & (np.abs(feet.step - scene.step) * STEP <= TRAIL)
        trail = [tuple(point) for point in (feet.point[near] * scale).tolist()]
        if len(trail) > 1:
            draw.line(trail, fill=_colour(int(scene.identity[tracklet])), width=2)
    for row in now:
        who = int(scene.identity[feet.tracklet[row]])
        colour = _colour(who)
        if feet.camera[row] == camera:
            x, y = (feet.point[row] * scale).tolist()
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour, outline=INK)
            if who >= 0:
                draw.text((x + 6, y - 6), str(who), fill=colour, font=ImageFont.load_default(13))
        elif who >= 0:
            weight = _ahead(back, matrix, on_floor[row][None])[0]
            x, y = (transfer(back, on_floor[row][None])[0] * scale).tolist()
            if weight and -50 < x < size[0] + 50 and -50 < y < size[1] + 50:
                draw.ellipse((x - 8, y - 5, x + 8, y + 5), outline=colour, width=2)
    return image


def _plan(
    scene: Scene, now: np.ndarray, on_floor: np.ndarray, low: np.ndarray, high: np.ndarray, tall: int
) -> Image.Image:
    scale = min(WIDTH / (high - low)[0], tall / (high - low)[1])
    size = (max(1, round((high - low)[0] * scale)), max(1, round((high - low)[1] * scale)))
    image = Image.new("RGB", size, (225, 225, 220))
    draw = ImageDraw.Draw(image)
    for line in _grid(low, high):
        draw.line([tuple(point) for point in ((line[[0, -1]] - low) * scale).tolist()], fill=(205, 205, 200))
    for row in now:
        who = int(scene.identity[scene.feet.tracklet[row]])
        x, y = ((on_floor[row] - low) * scale).tolist()
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_colour(who), outline=INK)
    for who in np.unique(scene.identity[scene.feet.tracklet[now]]).tolist():
        if who >= 0:
            mine = now[scene.identity[scene.feet.tracklet[now]] == who]
            x, y = ((np.median(on_floor[mine], axis=0) - low) * scale).tolist()
            draw.text((x + 6, y - 6), str(who), fill=INK, font=ImageFont.load_default(13))
    return image


def _grid(low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """Lines a metre apart (or more, on a large floor), [40, 2] points of each."""
    lines = []
    for axis in range(2):
        step = max(1, int(np.ceil((high - low)[axis] / MOST_LINES)))
        for value in np.arange(low[axis], high[axis] + 0.5, step):
            line = np.empty((40, 2))
            line[:, axis] = value
            line[:, 1 - axis] = np.linspace(low[1 - axis], high[1 - axis], 40)
            lines.append(line)
    return lines


def _polyline(
    draw: ImageDraw.ImageDraw,
    line: np.ndarray,
    back: np.ndarray,
    matrix: np.ndarray,
    scale: float,
    size: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    """Draws what of a line on the floor lies before the camera."""
    ahead = _ahead(back, matrix, line)
    points = transfer(back, line) * scale
    inside = ahead & (np.abs(points) < 4 * max(size)).all(1)
    for k in range(len(points) - 1):
        if inside[k] and inside[k + 1]:
            draw.line([tuple(points[k].tolist()), tuple(points[k + 1].tolist())], fill=colour)


def _ahead(back: np.ndarray, matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[M] whether points of the floor lie before the camera: where its own pixels weigh above 0, as feet do."""
    weight = points @ back[2, :2] + back[2, 2]
    pixels = transfer(back, points)
    there = pixels @ matrix[2, :2] + matrix[2, 2]
    return np.isfinite(pixels).all(1) & (weight != 0) & (there > 0)


def _colour(who: int) -> tuple[int, int, int]:
    """A colour of each identity; neighbouring numbers lie far apart on the circle."""
    if who < 0:
        return NOBODY
    hue = (who * 0.618034) % 1.0
    red, green, blue = (np.clip(np.abs((hue * 6 + shift) % 6 - 3) - 1, 0, 1) for shift in (0, 4, 2))
    return int(60 + 180 * red), int(60 + 180 * green), int(60 + 180 * blue)
