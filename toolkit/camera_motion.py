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

WIDTH = 320  # pixels of the pictures that are compared
BLOCK = 12  # frames: how long a camera may stand unchecked
STILL = 0.3  # pixels of these pictures; a smaller shift of all corners of the picture is none
CORNERS, QUALITY, LEAST_DISTANCE = 200, 0.005, 6.0  # of the background; share of the best one's; pixels apart
FEWEST = 12  # corners from which a motion is read
RETURN = 0.5  # pixels; a corner followed forwards and backwards must come back so near
AGREE = 2.0  # pixels from the common motion: a pan isn't quite a similarity
LEAST_SHARE = 0.35  # of the corners must agree on it
MARGIN = 0.1  # share of a person's box by which it is masked out on every side
ALIKE = 0.7  # correlation of two tiny pictures from which they are one shot
TINY = (32, 18)
IDENTITY = np.eye(2, 3)
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
        if stands(step_between(before, last), last):
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
                return _cornered(matrix)
    return None if _correlation(before.grey, after.grey) >= ALIKE else UNKNOWN


def stands(step: np.ndarray | None, picture: Picture) -> bool:
    """Whether a step shifts no corner of the picture by as much as STILL."""
    height, width = picture.grey.shape
    ends = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    return step is None or bool(np.abs(moved(step, ends) - ends).max() < STILL)


def _background(picture: Picture) -> np.ndarray:
    """float32 [n, 1, 2] corners where nobody stands."""
    mask = np.full(picture.grey.shape, 255, np.uint8)
    sides = picture.people[:, 2:] - picture.people[:, :2]
    wider = np.concatenate([picture.people[:, :2] - MARGIN * sides, picture.people[:, 2:] + MARGIN * sides], 1)
    for x1, y1, x2, y2 in wider:
        mask[max(0, int(y1)) : max(0, int(np.ceil(y2))), max(0, int(x1)) : max(0, int(np.ceil(x2)))] = 0
    found = cv2.goodFeaturesToTrack(picture.grey, CORNERS, QUALITY, LEAST_DISTANCE, mask=mask)
    return np.zeros((0, 1, 2), np.float32) if found is None else found


def _followed(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[m, 1, 2] those of the points [n, 1, 2] that are found again, in both pictures."""
    end, there, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None)
    back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, end, None)
    good = (there[:, 0] > 0) & (again[:, 0] > 0) & (np.abs(back - start).max((1, 2)) < RETURN)
    return start[good], end[good]


def _cornered(matrix: np.ndarray) -> np.ndarray:
    """OpenCV's whole numbers are the middles of pixels; a box's are their corners."""
    return np.concatenate([matrix[:, :2], matrix[:, 2:] + 0.5 - 0.5 * matrix[:, :2].sum(1, keepdims=True)], 1)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of the two pictures made tiny."""
    tiny = [cv2.resize(grey, TINY, interpolation=cv2.INTER_AREA).astype(np.float64) for grey in (one, other)]
    tiny = [picture - picture.mean() for picture in tiny]
    spread = np.sqrt((tiny[0] ** 2).sum() * (tiny[1] ** 2).sum())
    return float((tiny[0] * tiny[1]).sum() / spread) if spread > 0 else 1.0


def scaled(steps: np.ndarray, scale: float) -> np.ndarray:
    """[n, 2, 3] the same steps in pictures that are `scale` times as large."""
    return steps * np.array([1.0, 1.0, scale])


def moved(step: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[n, 2] points [n, 2] by a step [2, 3], or each by its own [n, 2, 3]."""
    return (step[..., :, :2] @ points[..., None])[..., 0] + step[..., :, 2]
