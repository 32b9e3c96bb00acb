"""How the camera moves from frame to frame, seen in the small pictures that the detector is given.

    finder = MotionFinder()
    for image, boxes in pictures:           # uint8 RGB [h, w, 3], the people's boxes in its pixels
        finder.add(image, boxes)
    steps = finder.finish()                 # [n, 2, 3]: maps a point of the frame before to this frame

Corners outside the people's boxes (Shi and Tomasi, CVPR 1994) are followed by pyramidal Lucas-Kanade (Bouguet 2000)
forwards and backwards, and RANSAC fits the similarity on which most agree. Frames are taken in blocks: where the last
frame of a block shows the background where the first one had it, the camera stands, and the frames between are not
looked at. A step is NaN where nothing tells what became of the picture: another shot begins.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import polars as pl

from .camera_path import IDENTITY, moved

STEP = ("xx", "xy", "x", "yx", "yy", "y")
STEP_COLUMNS = {
    "frame": pl.Int64,
    **dict.fromkeys(STEP, pl.Float64),  # source pixels; NaN where another shot begins
    # Of a stretch's first and last frame: the picture as PNG, its people's boxes as bytes of float64, and how many
    # source pixels make one of its.
    "picture": pl.Binary,
    "people": pl.Binary,
    "scale": pl.Float64,
}

WIDTH = 320  # pixels of the pictures that are compared
BLOCK = 12  # frames: how long a camera may stand unchecked
STILL = 0.3  # pixels of these pictures; a smaller shift of all corners of the picture is none
CORNERS, QUALITY, LEAST_DISTANCE = 200, 0.005, 6.0  # of the background; share of the best one's; pixels apart
FEWEST = 12  # corners from which a motion is read
RETURN = 0.5  # pixels; a corner followed forwards and backwards must come back so near
AGREE = 2.0  # pixels from the common motion: a pan isn't quite a similarity
LEAST_SHARE = 0.35  # of the corners must agree on it
BETTER = 0.9  # share of the pictures' difference that may remain when the motion is taken out
MARGIN = 0.1  # share of a person's box by which it is masked out on every side
ALIKE = 0.7  # correlation of the backgrounds of two tiny pictures from which they are one shot,
LEAST_CHANGE = 5.0  # and so they are where half of these differ by fewer grey levels: a bare wall's are noise
TINY = (32, 18)
UNKNOWN = np.full((2, 3), np.nan)


@dataclass(frozen=True)
class Picture:
    """grey: uint8 [h, w]; people: their boxes [n, 4] in its pixels."""

    grey: np.ndarray
    people: np.ndarray


@dataclass
class MotionFinder:
    """Takes the frames of one stretch one after the other.

    Attributes:
        first, last: of the pictures given; None before there is one. What lies between two stretches is told by the
            last picture of one and the first of the other (`step_between`).
        scale: pixels of an image given for one of a picture.
    """

    first: Picture | None = None
    last: Picture | None = None
    scale: float = 1.0
    _block: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    _steps: list[np.ndarray] = field(default_factory=list)

    def add(self, image: np.ndarray, boxes: np.ndarray) -> None:
        """The next frame, uint8 RGB [h, w, 3] of the same size as the others, and the boxes [n, 4] of its people."""
        if self.first is None:
            self.scale = scale_of(image)
            self.first = self.last = picture_of(image, boxes)
            self._steps.append(IDENTITY)
            return
        self._block.append((image, boxes))
        if len(self._block) == BLOCK:
            self._look()

    def finish(self) -> np.ndarray:
        """[n, 2, 3] of all frames given, in pixels of the images; the first one's is the identity."""
        if self._block:
            self._look()
        return scaled(np.array(self._steps).reshape(-1, 2, 3), self.scale)

    def _look(self) -> None:
        before, last = self.last, picture_of(*self._block[-1])
        across = step_between(before, last)
        # Where the ends of a block have too little in common to tell, the camera may have swung far.
        if across is not None and stands(across, last):
            self._steps += [IDENTITY] * len(self._block)
        else:
            for after in (*(picture_of(*one) for one in self._block[:-1]), last):
                step = step_between(before, after)
                # Where too little is seen to tell, the camera goes on as it did.
                going_on = IDENTITY if np.isnan(self._steps[-1]).any() else self._steps[-1]
                self._steps.append(going_on if step is None else step)
                before = after
        self.last, self._block = last, []


def scale_of(image: np.ndarray) -> float:
    """How many of an image's pixels make one of its picture's."""
    return max(1.0, image.shape[1] / WIDTH)


def picture_of(image: np.ndarray, boxes: np.ndarray) -> Picture:
    """What is compared of a frame, uint8 RGB [h, w, 3]."""
    height, width = image.shape[:2]
    scale = scale_of(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = max(1, round(width / scale)), max(1, round(height / scale))
    if size != (width, height):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return Picture(grey, np.asarray(boxes, np.float64).reshape(-1, 4) / scale)


def step_between(before: Picture, after: Picture) -> np.ndarray | None:
    """[2, 3] maps a point of one picture to the next: a similarity, in which pixels' corners are whole numbers.

    Returns:
        NaN where the pictures are of two shots; None where too little is seen to tell more than that they aren't.
    """
    found = _background(before)
    if len(found) >= FEWEST:
        start, end = _followed(before.grey, after.grey, found)
        if len(start) >= FEWEST:
            matrix, agree = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=AGREE)
            if matrix is not None and agree.sum() >= max(FEWEST, LEAST_SHARE * len(found)):
                # Shadows, and people whom nobody found, move under a camera that stands.
                return _cornered(matrix) if _explains(matrix, before, after) else IDENTITY
    return None if _one_shot(before, after) else UNKNOWN


def stands(step: np.ndarray, picture: Picture) -> bool:
    """Whether a step shifts no corner of the picture by as much as STILL."""
    height, width = picture.grey.shape
    ends = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    return bool(np.abs(moved(step, ends) - ends).max() < STILL)


def _background(picture: Picture) -> np.ndarray:
    """float32 [n, 1, 2] corners where nobody stands."""
    mask = _nobody(picture)
    found = cv2.goodFeaturesToTrack(picture.grey, CORNERS, QUALITY, LEAST_DISTANCE, mask=mask)
    return np.zeros((0, 1, 2), np.float32) if found is None else found


def _followed(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[m, 1, 2] those of the points [n, 1, 2] that are found again, in both pictures."""
    end, there, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None)
    back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, end, None)
    good = (there[:, 0] > 0) & (again[:, 0] > 0) & (np.abs(back - start).max((1, 2)) < RETURN)
    return start[good], end[good]


def _explains(matrix: np.ndarray, before: Picture, after: Picture) -> bool:
    """Whether a motion makes the backgrounds of two pictures more alike than they are as they stand."""
    bare = np.minimum(_nobody(before), _nobody(after))
    height, width = after.grey.shape
    carried = cv2.warpAffine(before.grey, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    remains = cv2.mean(cv2.absdiff(carried, after.grey), bare)[0]
    return remains < BETTER * cv2.mean(cv2.absdiff(before.grey, after.grey), bare)[0]


def _cornered(matrix: np.ndarray) -> np.ndarray:
    """OpenCV's whole numbers are the middles of pixels; a box's are their corners."""
    return np.concatenate([matrix[:, :2], matrix[:, 2:] + 0.5 - 0.5 * matrix[:, :2].sum(1, keepdims=True)], 1)


def _nobody(picture: Picture) -> np.ndarray:
    """uint8 [h, w] 255 where nobody stands, 0 in people's boxes and near them."""
    mask = np.full(picture.grey.shape, 255, np.uint8)
    sides = picture.people[:, 2:] - picture.people[:, :2]
    wider = np.concatenate([picture.people[:, :2] - MARGIN * sides, picture.people[:, 2:] + MARGIN * sides], 1)
    for x1, y1, x2, y2 in wider:
        mask[max(0, int(y1)) : max(0, int(np.ceil(y2))), max(0, int(x1)) : max(0, int(np.ceil(x2)))] = 0
    return mask


def _one_shot(before: Picture, after: Picture) -> bool:
    """Whether the backgrounds are alike, made tiny."""
    bare = cv2.resize(np.minimum(_nobody(before), _nobody(after)), TINY, interpolation=cv2.INTER_AREA) == 255
    if bare.sum() < FEWEST:
        return True
    one, other = (
        cv2.resize(picture.grey, TINY, interpolation=cv2.INTER_AREA)[bare].astype(np.float64)
        for picture in (before, after)
    )
    # The median, as a score that is shown on the picture changes by itself.
    change = other - one
    if np.median(np.abs(change - np.median(change))) < LEAST_CHANGE:
        return True
    one, other = one - one.mean(), other - other.mean()
    return bool((one * other).sum() >= ALIKE * np.sqrt((one**2).sum() * (other**2).sum()))


def scaled(steps: np.ndarray, scale: float) -> np.ndarray:
    """[..., 2, 3] the same steps in pictures that are `scale` times as large."""
    return steps * np.array([1.0, 1.0, scale])


def steps_table(finder: MotionFinder, frames: list[int], scale: float) -> pl.DataFrame:
    """STEP_COLUMNS of the frames that a finder was given; `scale` of the source's pixels make one of their images'."""
    steps = scaled(finder.finish(), scale).reshape(-1, 6)
    table = pl.DataFrame({"frame": frames} | dict(zip(STEP, steps.T, strict=True)))
    ends = {0: finder.first, len(frames) - 1: finder.last} if frames else {}
    rows = [ends.get(k) for k in range(len(frames))]
    return table.with_columns(
        picture=pl.Series([row and cv2.imencode(".png", row.grey)[1].tobytes() for row in rows], dtype=pl.Binary),
        people=pl.Series([row and row.people.tobytes() for row in rows], dtype=pl.Binary),
        scale=pl.Series([row and finder.scale * scale for row in rows], dtype=pl.Float64),
    ).cast(STEP_COLUMNS)


def joined(tables: list[pl.DataFrame], frames: np.ndarray) -> np.ndarray:
    """[F, 2, 3] the steps of a take's frames [F] (numbers, increasing), from the tables of its stretches in order.

    The first frame's step is the identity, as is that of a frame which no table knows.
    """
    steps, last = np.tile(IDENTITY, (len(frames), 1, 1)), None
    for table in tables:
        if not len(table):
            continue
        own = table.select(STEP).to_numpy().reshape(-1, 2, 3)
        if last is not None:
            first = _stored(table.row(0, named=True))
            step = step_between(last, first)
            own[0] = IDENTITY if step is None or stands(step, first) else scaled(step, table["scale"][0])
        last = _stored(table.row(-1, named=True))
        places = np.searchsorted(frames, table["frame"].to_numpy())
        steps[places] = own
    return steps


def _stored(row: dict) -> Picture:
    grey = cv2.imdecode(np.frombuffer(row["picture"], np.uint8), cv2.IMREAD_GRAYSCALE)
    return Picture(grey, np.frombuffer(row["people"], np.float64).reshape(-1, 4))
